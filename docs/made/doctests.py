"""Examples in docstrings, as doctest runs them, are code on the page of the function that they belong to."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

__all__ = ["Doctests", "fenced"]

EXAMPLE = re.compile(r"(?:^>>> .*\n?(?:^(?!\n).+\n?)*\n?(?=>>>)?)+", re.MULTILINE)


def fenced(text: str) -> str:
    """A docstring with each of its examples in a fence; they begin with a prompt and end at an empty line.

    >>> print(fenced("One.\\n\\n>>> 1 + 1\\n2\\n"))
    One.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    <BLANKLINE>
    """
    return EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)


class Doctests(Extension):
    """Sees every object as it is read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Fence what its docstring shows."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
