import errno
import json
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.staging import place as placing
from scission.ir.staging.place import Move, go_back, place

OURS = re.compile("staging[0-9]*")  # what temporary folders are called
CALLS = ("link", "replace", "open")  # of the system, at each of which a process may end


class Killed(BaseException):
    """What no code sees of a process that is killed."""


class Machine:
    """The calls that place files, of which the n-th does not come to pass: `dies` before it, or is told of an error."""

    def __init__(self, patch, at, dies, links=True):
        self.left, self.dies = at, dies
        for name in CALLS:
            real = getattr(os, name)
            patch.setattr(placing.os, name, lambda *a, real=real, name=name, **k: self.call(name, real, links, *a, **k))

    def call(self, name, real, links, *args, **kwargs):
        self.left -= 1
        if self.left < 0 and self.dies:
            raise Killed
        if self.left == -1:
            raise OSError(errno.ENOSPC, "No space left on device")
        if name == "link" and not links:
            raise OSError(errno.EPERM, "Operation not permitted")
        return real(*args, **kwargs)


def arranged(root, before):
    """Moves of new files into a folder in which some of their names are taken, with what was staged."""
    folder = root / "staging"
    folder.mkdir(0o700)
    moves = []
    for index, there in enumerate(before):
        move = Move(folder / f"{index}", root / f"out{index}")
        move.staged.write_text(f"new {index}")
        if there:
            move.target.write_text(f"old {index}")
        moves.append(move)
    return moves, folder


def texts(moves):
    return [move.target.read_text() if move.target.exists() else None for move in moves]


@settings(deadline=None, max_examples=150)
@given(
    before=st.lists(st.booleans(), min_size=1, max_size=3),
    at=st.integers(0, 9),
    dies=st.booleans(),
    links=st.booleans(),
)
def test_all_are_placed_or_none_wherever_it_ends(before, at, dies, links, tmp_path_factory):
    root = tmp_path_factory.mktemp("place")
    moves, folder = arranged(root, before)
    old, new = texts(moves), [f"new {index}" for index in range(len(before))]
    overwrite = any(before)
    ended = False
    with pytest.MonkeyPatch.context() as patch:
        Machine(patch, at, dies, links)
        if dies:
            patch.setattr(placing, "_undo", lambda *_, **__: None)  # nobody goes back
        try:
            place(moves, folder, overwrite)
        except (OSError, Killed):
            ended = True
    if dies:
        go_back(folder, OURS)
    told = dies and not links and len(moves) > 1  # where there are no second names nobody can tell
    assert told or texts(moves) in ([old] if ended and not dies else [new] if not ended else [old, new])


def test_what_is_there_is_replaced_only_where_that_is_wanted(tmp_path):
    moves, folder = arranged(tmp_path, [False, True, False])
    with pytest.raises(FileExistsError) as caught:
        place(moves, folder, overwrite=False)
    assert caught.value.filename == str(tmp_path / "out1") and texts(moves) == [None, "old 1", None]
    place(moves, folder, overwrite=True)
    go_back(folder, OURS)  # which comes too late
    assert texts(moves) == ["new 0", "new 1", "new 2"]


def test_what_somebody_else_has_put_there_since_stays(tmp_path, monkeypatch):
    moves, folder = arranged(tmp_path, [True, True])
    monkeypatch.setattr(placing, "_undo", lambda *_, **__: None)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        Machine(patch, 5, dies=True)
        place(moves, folder, overwrite=True)
    monkeypatch.undo()
    assert texts(moves) == ["new 0", "old 1"]
    moves[0].target.unlink()
    moves[0].target.write_text("theirs")
    go_back(folder, OURS)
    assert texts(moves) == ["theirs", "old 1"]


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[["/a"]]', "[]"])
def test_a_journal_that_is_none_says_nothing(tmp_path, text):
    (tmp_path / placing.JOURNAL).write_text(text)
    assert go_back(tmp_path, OURS)


def test_a_link_that_is_replaced_comes_back_as_a_link(tmp_path):
    moves, folder = arranged(tmp_path, [False, True])
    (tmp_path / "real").write_text("real")
    moves[0].target.symlink_to(tmp_path / "real")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError):
        Machine(patch, 5, dies=False)
        place(moves, folder, overwrite=True)
    assert moves[0].target.is_symlink() and texts(moves) == ["real", "old 1"]


@pytest.mark.parametrize("mode", [0o600, 0o755])
@pytest.mark.parametrize("count", [1, 2])
def test_what_is_replaced_keeps_its_mode_and_what_is_new_has_its_own(tmp_path, mode, count):
    (folder := tmp_path / "staged").mkdir()
    moves = [Move(folder / f"{index}", tmp_path / f"{index}") for index in range(count)]
    for staged, _ in moves:
        staged.write_bytes(b"new")
        staged.chmod(0o644)
    moves[0].target.write_bytes(b"old")
    moves[0].target.chmod(mode)
    place(moves, folder, overwrite=True)
    modes = [move.target.stat().st_mode & 0o777 for move in moves]
    assert modes == [mode, 0o644][:count] and moves[0].target.read_bytes() == b"new"


def test_moves_out_of_several_folders_of_ours_are_gone_back_on(tmp_path):
    moves, folder = arranged(tmp_path, [True])
    (there := tmp_path / "there").mkdir()
    other, another = arranged(there, [True])
    another = another.rename(there / "staging2")
    both = [*moves, Move(another / "0", other[0].target)]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(placing, "_undo", lambda *_, **__: None)
        Machine(patch, 5, dies=True)
        place(both, folder, overwrite=True)
    assert texts(both) == ["new 0", "old 0"] and go_back(folder, OURS) and texts(both) == ["old 0", "old 0"]


def everything(root):
    return {path: path.is_file() and path.read_text() for path in root.rglob("*")}


@pytest.mark.parametrize(
    ("staged", "target"),
    [
        ("{home}/thesis", "{home}/thesis"),  # would be deleted
        ("{repo}/staging/0", "{home}/new"),  # would be made of what was put aside
        ("0", "{home}/new"),
        ("0", "{repo}/deeper/../../home/new"),
        ("0", "{repo}/away/new"),  # a link to where the user's files are
        ("../0", "{repo}/new"),
        ("0", "{repo}/staging/0"),
        ("0", "new"),
        ("link", "{repo}/new"),
        ("{home}/staging3/0", "{repo}/new"),
        ("{repo}/staging4/0", "{home}/new"),
    ],
)
def test_a_journal_that_a_stranger_wrote_reaches_no_other_files(tmp_path, staged, target, monkeypatch):
    home, repo = tmp_path / "home", tmp_path / "repo"
    for path, mode in ((home, 0o755), (repo, 0o755), (repo / "deeper", 0o755), (repo / "staging", 0o700)):
        path.mkdir(mode)
    (home / "staging3").mkdir(0o755)
    (repo / "staging4").symlink_to(home)
    (repo / "away").symlink_to(home)
    (folder := repo / "staging").joinpath("link").symlink_to(home / "thesis")
    for path in (home / "thesis", home / "staging3/0", repo / "0", folder / "0", folder / f"{placing.ASIDE}.0"):
        path.write_text("of somebody")
    noted = [staged.format(home=home, repo=repo), target.format(home=home, repo=repo)]
    (folder / placing.JOURNAL).write_text(json.dumps([noted, ["0", str(repo / "last")]]))
    before = everything(tmp_path)
    monkeypatch.chdir(home)
    assert not go_back(folder, OURS) and everything(tmp_path) == before


@pytest.mark.parametrize("of", ["folder", "aside"])
def test_a_folder_that_others_may_write_to_or_that_holds_no_files_is_none_of_ours(tmp_path, of):
    moves, folder = arranged(tmp_path, [False, False])
    (folder / placing.JOURNAL).write_text(json.dumps([[move.staged.name, str(move.target)] for move in moves]))
    aside = folder / f"{placing.ASIDE}.1"
    if of == "folder":
        folder.chmod(0o755)
        aside.write_text("of somebody")
    else:
        aside.symlink_to(tmp_path)
    assert not go_back(folder, OURS) and texts(moves) == [None, None] and os.path.lexists(aside)
