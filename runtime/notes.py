"""Notes: the warnings that are meant for whoever typed a command, as lines on stderr."""

from __future__ import annotations

import sys
import warnings
from typing import Any, cast

from .say import say

__all__ = ["InputsWarning", "LoweredWarning", "note", "show_notes"]

QUIET = {"-q", "--quiet"}


class LoweredWarning(UserWarning):
    """Models are run on smaller inputs than was asked for, so that they fit into memory."""


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
        say(f"note: {message}", err=True)
