"""Names of nodes in as many letters as there are, so that what tells them from one another stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

__all__ = ["Naming", "shortened"]

LEAST = 12  # letters that a name keeps: fewer tell nothing
TAIL = 0.6  # of a name whose middle is cut: its end tells more than its beginning, which names have in common


def shortened(name: str, width: int) -> str:
    """A name in so many letters, its middle left out: both ends are there to be read.

    >>> shortened("/model/layers.0/self_attn/q_proj/MatMul", 24), shortened("/a/MatMul", 24)
    ('/model/la…/q_proj/MatMul', '/a/MatMul')
    """
    width = max(width, LEAST)
    if len(name) <= width:
        return name
    tail = int(width * TAIL)
    return f"{name[: width - tail - 1]}…{name[len(name) - tail :]}"


class Naming:
    """Names that stand below one another: parts that all of them have are left out before those that tell them apart.

    >>> names = Naming(f"/model/encoder/layers.{layer}/attention/query/MatMul" for layer in (0, 1))
    >>> names.short("/model/encoder/layers.1/attention/query/MatMul", 34)
    '/model…/layers.1…/query/MatMul'
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(dict.fromkeys(names))

    @cached_property
    def _counts(self) -> Counter[str]:
        """In how many names each part stands."""
        return Counter(part for name in self._names for part in set(_parts(name)))

    def short(self, name: str, width: int) -> str:
        """One of the names in so many letters, or a few more where that is less than anything can be told in."""
        width = max(width, LEAST)
        parts: list[str] = _parts(name)
        if len(name) <= width or len(parts) < 3 or len(self._names) < 2:
            return shortened(name, width)
        inner = sorted(range(1, len(parts) - 1), key=lambda at: -len(parts[at]))
        gone: set[int] = set()
        told = name
        for at in (at for at in (*inner, 0) if self._counts[parts[at]] == len(self._names)):
            gone.add(at)
            if len(told := _joined(parts, gone)) <= width:
                return told
        if gone and self._counts[parts[-1]] == len(self._names):  # its middle tells nothing either
            before = told[: -len(parts[-1])]
            told = before + shortened(parts[-1], width - len(before))
        return shortened(told, width)


def _parts(name: str) -> list[str]:
    """The levels of a name, each with what stands before it."""
    return re.findall(r"[/:]*[^/:]+" if "/" in name else r"[.:]*[^.:]+", name)


def _joined(parts: list[str], gone: set[int]) -> str:
    told = ["…" if at in gone else part for at, part in enumerate(parts)]
    return re.sub("…+", "…", "".join(told))
