"""Former names of keyword arguments, which are still understood."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["renamed"]

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**former: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that takes arguments by their former names too, with a DeprecationWarning; former: old name, new name.

    Raises TypeError for an argument that is given by both.

    >>> with warnings.catch_warnings(action="ignore"):
    ...     renamed(rows="batch")(lambda batch: batch)(rows=3)
    3
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> R:
            for old in former.keys() & options.keys():
                new = former[old]
                if new in options:
                    raise TypeError(f"{function.__name__}() got both {new!r} and its former name {old!r}")
                warnings.warn(f"{old!r} is called {new!r} now", DeprecationWarning, stacklevel=2)
                options[new] = options.pop(old)
            return function(*args, **options)

        return call

    return decorate
