"""Notes: the warnings that are meant for whoever typed a command, as lines on stderr."""

from __future__ import annotations

import sys
import warnings
from typing import Any, cast

from ..ir.errors import Remedy, ScissionError
from .say import say

__all__ = ["InputsWarning", "LoweredWarning", "note", "show_notes"]

QUIET = {"-q", "--quiet"}


class LoweredWarning(UserWarning):
    """Models are run on smaller inputs than was asked for, so that they fit into memory or time.

    It is made of texts and of what they tell to use, as errors are: `str` of it is for Python, `for_shell` for the
    command line.
    """

    def __init__(self, *parts: str | Remedy) -> None:
        super().__init__("".join(map(str, parts)))
        self.for_shell = ScissionError(*parts).for_shell


class InputsWarning(UserWarning):
    """Inputs are made up as a file says that nobody named, or a file was written."""


def note(text: str) -> None:
    """Warn of something about inputs."""
    warnings.warn(text, InputsWarning, stacklevel=3)


def show_notes() -> None:
    """Print every note once from now on, unless nothing is to be printed."""
    for kind in (LoweredWarning, InputsWarning):
        warnings.filterwarnings("once", category=kind)
    warnings.showwarning = cast("Any", _show)


def _show(message: Warning | str, *_: Any) -> None:
    if not QUIET & set(sys.argv):
        say(f"note: {message.for_shell if isinstance(message, LoweredWarning) else message}", err=True)
