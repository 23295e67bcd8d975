import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.supervision import telling
from scission.ir.supervision.board import Act, Board, Running


@pytest.fixture
def line(monkeypatch):
    """(board, reader of the pipe) of a process that is supervised."""
    monkeypatch.setattr(telling, "_line", None)
    board, (told, pipe) = Board(), os.pipe()
    telling.serve(board, pipe)
    yield board, told
    os.close(told)
    os.close(pipe)


def test_what_runs_stands_on_the_board_and_stays_there_when_it_has_ended(line):
    board, _ = line
    assert telling.is_supervised() and (board.running(), board.since()) == (None, None)
    with telling.running("ONNX Runtime", Act.OPEN, "a b.onnx"):
        assert board.since() is not None
    with pytest.raises(ZeroDivisionError), telling.running("x", Act.RUN, "ä"):
        raise ZeroDivisionError
    assert board.since() is None and board.running() == Running("x", Act.RUN, "ä")


def test_what_is_asked_for_and_where_the_work_stands_leave_one_another_alone(line):
    board, _ = line
    telling.limit(2.5)
    with telling.running("x", Act.RUN, "m" * 10_000):
        telling.stage(("plan", "weights"))
        assert (board.limit, board.stage) == (2.5, "plan / weights")
        what = board.running()
        assert what is not None and what.model == "m" * len(what.model) and len(what.model) > 1000
    telling.stage(())
    assert (board.limit, board.stage) == (2.5, "")


def test_a_forked_process_and_its_parent_see_one_board():
    board = Board()
    if not os.fork():
        board.begin(Running("x", Act.RUN, "m"))
        os._exit(0)
    os.wait()
    assert board.running() == Running("x", Act.RUN, "m") and board.since() is not None


def test_without_a_supervisor_nothing_is_told(monkeypatch):
    monkeypatch.setattr(telling, "_line", None)
    with telling.running("x", Act.RUN, "m"):
        telling.stage(("plan",))
        telling.limit(1)
        telling.made("/nowhere")
        telling.gone("/nowhere")
    assert not telling.is_supervised()


NAMES = st.lists(st.sampled_from([b"/a", b"/a b", b"/\xff", b"/n\nl"]), max_size=8)


@given(NAMES, NAMES, st.integers(0, 3))
def test_what_is_left_is_what_was_made_and_is_not_gone_however_the_telling_ends(made, gone, cut):
    told = b"".join(b"+" + name + b"\0" for name in made) + b"".join(b"-" + name + b"\0" for name in gone)
    expected = {os.fsdecode(name) for name in made} - {os.fsdecode(name) for name in gone}
    assert set(telling.left(told + b"+/unfinished"[:cut])) == expected


def test_folders_are_told_as_they_are_named(line, tmp_path):
    _, told = line
    telling.made(tmp_path / "a\nb")
    telling.made("/c")
    telling.gone("/c")
    assert telling.left(os.read(told, 1 << 12)) == [str(tmp_path / "a\nb")]
