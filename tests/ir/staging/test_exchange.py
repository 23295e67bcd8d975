"""A folder takes the place of another one whole, or nothing happens."""

import sys
from pathlib import Path

import pytest

from scission.ir.staging import exchange as exchanging
from scission.ir.staging.exchange import exchange


def folder(path, content):
    path.mkdir()
    (path / "inner").mkdir()
    (path / "inner" / "file").write_text(content)
    return path


def content(path):
    return (path / "inner" / "file").read_text()


@pytest.fixture
def two_steps(monkeypatch):
    """A system that cannot swap in one."""
    monkeypatch.setattr(exchanging, "_swapped", lambda *_: False)


def test_a_folder_goes_where_none_is(tmp_path):
    exchange(folder(tmp_path / "made", "new"), tmp_path / "out")
    assert content(tmp_path / "out") == "new" and [*tmp_path.iterdir()] == [tmp_path / "out"]


def test_a_folder_takes_its_place(tmp_path, two_steps):
    made, target = folder(tmp_path / "made", "new"), folder(tmp_path / "out", "old")
    (target / "more").write_text("")
    exchange(made, target)
    assert content(target) == "new" and [*tmp_path.iterdir()] == [target] and not (target / "more").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
def test_a_place_is_never_empty(tmp_path, monkeypatch):
    """The two are swapped by the kernel: nobody who is killed, and nobody who looks, finds none of them."""
    made, target = folder(tmp_path / "made", "new"), folder(tmp_path / "out", "old")
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("a step of two"))
    exchange(made, target)
    assert content(target) == "new" and content(made) == "old" and {*tmp_path.iterdir()} == {made, target}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
def test_what_the_kernel_refuses_is_an_error(tmp_path):
    target = folder(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError, match="out"):
        exchange(tmp_path / "none", target)
    assert content(target) == "old"


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()])
def test_where_it_cannot_the_old_one_is_back(tmp_path, monkeypatch, two_steps, error):
    made, target, rename = folder(tmp_path / "made", "new"), folder(tmp_path / "out", "old"), Path.rename

    def failing(self, to):
        if self == made:
            raise error
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        exchange(made, target)
    assert content(target) == "old" and content(made) == "new" and {*tmp_path.iterdir()} == {made, target}


def test_who_is_killed_in_between_leaves_both(tmp_path, monkeypatch, two_steps):
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
