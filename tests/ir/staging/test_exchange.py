"""A folder takes the place of another one whole, or nothing happens."""

from pathlib import Path

import pytest

from scission.ir.staging.exchange import exchange


def folder(path, content):
    path.mkdir()
    (path / "inner").mkdir()
    (path / "inner" / "file").write_text(content)
    return path


def content(path):
    return (path / "inner" / "file").read_text()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_takes_its_place(tmp_path, there):
    made, target = folder(tmp_path / "made", "new"), tmp_path / "out"
    if there:
        folder(target, "old")
        (target / "more").write_text("")
    exchange(made, target)
    assert content(target) == "new" and [*tmp_path.iterdir()] == [target] and not (target / "more").exists()


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()])
def test_where_it_cannot_the_old_one_is_back(tmp_path, monkeypatch, error):
    made, target, rename = folder(tmp_path / "made", "new"), folder(tmp_path / "out", "old"), Path.rename

    def failing(self, to):
        if self == made:
            raise error
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        exchange(made, target)
    assert content(target) == "old" and content(made) == "new" and {*tmp_path.iterdir()} == {made, target}


def test_who_is_killed_in_between_leaves_both(tmp_path, monkeypatch):
    made, target, rename = folder(tmp_path / "made", "new"), folder(tmp_path / "out", "old"), Path.rename

    def killed(self, to):
        if self == made:
            monkeypatch.setattr(Path, "rename", lambda self, to: None)  # nothing of ours runs any more
            raise SystemExit
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(SystemExit):
        exchange(made, target)
    (aside,) = set(tmp_path.iterdir()) - {made}
    assert aside.name.startswith("out.before-") and content(aside) == "old" and content(made) == "new"
