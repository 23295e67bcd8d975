"""Prose that PyPI packages ship: sentences of the docstrings in their sources."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

__all__ = ["PACKAGES", "prose"]

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


def _sources(package: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    return sorted(path for folder in folders for path in Path(folder).rglob("*.py"))


def _sentences(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf8"))
    except (OSError, SyntaxError, UnicodeDecodeError):  # such as a file that is there to be wrong
        return
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
                    if _is_prose(sentence):
                        yield sentence


def _is_prose(text: str) -> bool:
    letters = sum(one.isalpha() or one == " " for one in text)
    plain = text[:1].isalpha() and len(text.split()) >= WORDS
    return plain and len(text) in LENGTHS and letters >= LETTERS * len(text)
