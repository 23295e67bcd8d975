"""Notes name what helps as it is typed where it is read: in Python, or on the command line."""

import sys
import warnings

from scission.ir.errors import option
from scission.runtime.notes import LoweredWarning, show_notes

ALLOW = LoweredWarning("n 4 instead of 16: allow more with ", option("memory"))


def test_a_note_says_the_option_as_it_is_typed(capsys, monkeypatch):
    assert str(ALLOW) == "n 4 instead of 16: allow more with memory=…"
    monkeypatch.setattr(sys, "argv", ["scission", "optimize"])
    with warnings.catch_warnings():
        show_notes()
        warnings.warn(ALLOW, stacklevel=1)
    assert capsys.readouterr().err == "note: n 4 instead of 16: allow more with --memory\n"


def test_a_plain_text_is_a_note_as_well(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scission", "optimize"])
    with warnings.catch_warnings():
        show_notes()
        warnings.warn("m.onnx takes n = 1 only: 3 is not used", LoweredWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: m.onnx takes n = 1 only: 3 is not used\n"
