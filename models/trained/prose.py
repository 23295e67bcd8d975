"""Prose that PyPI packages ship: sentences of the docstrings in their sources, and pairs of those that go together."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

__all__ = ["PACKAGES", "pairs", "prose"]

PACKAGES = ("numpy", "scipy")
LENGTHS = range(40, 221)  # characters
WORDS = 6
LETTERS = 0.8  # the least share of letters and spaces: what is more of a formula or a table is left out
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def prose(count: int, seed: int = 0, packages: Sequence[str] = PACKAGES) -> list[str]:
    """Different sentences of English prose, in random order: of docstrings of installed packages, which are not
    imported.

    Which ones there are depends on their versions. Raises ValueError when there are not so many.

    >>> prose(2, packages=["email"]) == prose(2, packages=["email"])
    True
    """
    found = sorted({one for package in packages for path in _sources(package) for one in _sentences(path)})
    if len(found) < count:
        raise ValueError(f"{', '.join(packages)} have {len(found)} sentences, not {count}; name further packages")
    return [found[place] for place in np.random.default_rng(seed).permutation(len(found))[:count]]


def pairs(count: int, seed: int = 0, packages: Sequence[str] = PACKAGES) -> list[tuple[str, str]]:
    """How docstrings begin, their first sentence, each with the next one, in random order: what a search for the one
    should find is the other. No sentence is in two pairs.

    Raises ValueError when there are not so many.

    >>> [len(pair) for pair in pairs(2, packages=["email"])]
    [2, 2]
    """
    found: dict[str, str] = {}
    for package in packages:
        for path in _sources(package):
            for text in _docstrings(path):
                first, *others = list(_of_text(text))[:2] or [""]
                if others and first not in found:
                    found[first] = others[0]
    ends = Counter(found.values())
    alone = [(one, other) for one, other in sorted(found.items()) if ends[other] == 1 and other not in found]
    if len(alone) < count:
        raise ValueError(f"{', '.join(packages)} have {len(alone)} pairs, not {count}; name further packages")
    return [alone[place] for place in np.random.default_rng(seed).permutation(len(alone))[:count]]


def _sources(package: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    return sorted(path for folder in folders for path in Path(folder).rglob("*.py"))


def _sentences(path: Path) -> Iterator[str]:
    for text in _docstrings(path):
        yield from _of_text(text)


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf8"))
    except (OSError, SyntaxError, UnicodeDecodeError):  # such as a file that is there to be wrong
        return
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            yield ast.get_docstring(node) or ""


def _of_text(text: str) -> Iterator[str]:
    """The sentences of a docstring that are prose."""
    for paragraph in text.split("\n\n"):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            if _is_prose(sentence):
                yield sentence


def _is_prose(text: str) -> bool:
    letters = sum(one.isalpha() or one == " " for one in text)
    plain = text[:1].isalpha() and len(text.split()) >= WORDS
    return plain and len(text) in LENGTHS and letters >= LETTERS * len(text)
