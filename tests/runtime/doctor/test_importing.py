import pytest

from scission.runtime.doctor import importing
from scission.runtime.doctor.importing import broken_imports


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", None),
        ("raise RuntimeError('no\\nsuch card')", "such card"),
        ("raise OSError('libx.so: cannot open')", "OSError: libx.so: cannot open"),
        ("import os; os.abort()", "its process ended with status -6"),
    ],
)
def test_what_is_installed_is_really_imported(tmp_path, monkeypatch, text, why):
    (tmp_path / "some_extra.py").write_text(text)
    (tmp_path / "left_behind").mkdir()  # by an uninstallation
    monkeypatch.syspath_prepend(tmp_path)
    assert broken_imports(["some_extra", "left_behind", "no_such_extra"]) == {"some_extra": why}


def test_one_that_does_not_end_is_broken(tmp_path, monkeypatch):
    (tmp_path / "slow_extra.py").write_text("import time; time.sleep(1000)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importing, "PATIENCE", 0.2)
    assert broken_imports(["slow_extra"]) == {"slow_extra": "not within 0.2 seconds"}
