"""Functions of the user's own, by the module that they are in, and what went wrong in them."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..ir.errors import ScissionError

__all__ = ["file_of_module", "load_user_function", "told"]


def load_user_function(
    text: str, module_name: str, name: str, kind: type[ScissionError]
) -> tuple[Callable[..., Any], str | None]:
    """A function of a module, and the file that it is in; text: what errors call it.

    Raises `kind` where there is none, or where importing the module raises anything.
    """
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise kind(f"{text}: {told(error)}") from error
        raise kind(
            f"{text}: there is no module {error.name!r}; install it, or put its folder on the path: PYTHONPATH=folder"
        ) from error
    except Exception as error:  # whatever the user's module does when it is imported
        raise kind(f"{text}: {told(error)}") from error
    function, file = getattr(module, name, None), getattr(module, "__file__", None)
    if not callable(function):
        raise kind(f"{text}: {file or module_name} holds no function {name!r}")
    return function, file


def file_of_module(name: str) -> Path | None:
    """The file that a module is in, without importing it; None where there is none."""
    try:
        found = importlib.util.find_spec(name)
    except Exception:  # whatever the packages do that the module is in: who loads it says so
        return None
    return Path(found.origin) if found is not None and found.origin is not None else None


def told(error: Exception, file: str | None = None) -> str:
    """Type, message and place of an exception in the user's code; the last place in `file`, if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    place = ([frame for frame in frames if frame.filename == file] or frames)[-1:]
    where = f" ({place[0].filename}, line {place[0].lineno})" if place else ""
    return f"{type(error).__name__}: {error}{where}"
