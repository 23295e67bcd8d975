import os

import pytest
import typer

from scission.ir.supervision import telling
from scission.ir.supervision.board import Board
from scission.runtime.cli.common.patience import hurried


@pytest.fixture
def board(monkeypatch):
    """What the process that waits for this one would see."""
    monkeypatch.setattr(telling, "_line", None)
    board, (told, pipe) = Board(), os.pipe()
    telling.serve(board, pipe)
    yield board
    os.close(told)
    os.close(pipe)


def test_how_long_a_run_may_take_is_told_to_whoever_waits(board):
    assert hurried(None) is None and board.limit == 0
    assert hurried(2.5) == 2.5 and board.limit == 2.5


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(board, seconds):
    with pytest.raises(typer.BadParameter, match="above 0"):
        hurried(seconds)


def test_without_anybody_who_waits_it_is_refused(folder, scission_cli):
    status, out, err = scission_cli("check in.onnx split.onnx --timeout 5")
    assert (status, out) == (2, "") and err.startswith("error: --timeout: needs a process") and err.count("\n") == 1
