"""The one door to onnx_ir, opened without sympy.

onnx_ir imports sympy for arithmetic on symbolic dimensions, which nothing here does, and that import alone takes
longer than analysing a model of 20 million parameters. The two modules concerned are put off until first use with
the standard library's lazy loader; whoever needs them still gets them.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["OBJECTS", "collected_seldom", "onnx_ir", "quiet"]

DEFERRED = ("sympy", "onnx_ir._symbolic_shapes")
OBJECTS = 10  # new ones for each node after which Python looks for garbage


class _Deferring:
    """A finder that wraps the loader of the deferred modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in DEFERRED else None
        if spec is None or spec.loader is None:
            return None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def _open() -> ModuleType:
    if "onnx_ir" in sys.modules:
        return sys.modules["onnx_ir"]
    sys.meta_path.insert(0, _Deferring)
    try:
        return importlib.import_module("onnx_ir")
    finally:
        sys.meta_path.remove(_Deferring)


_open()

import onnx_ir  # noqa: E402 - the import above had to come first


@contextmanager
def quiet() -> Iterator[None]:
    """Without what onnx_ir logs, for as long as the context lasts: what matters of it is said as an error."""
    log = logging.getLogger("onnx_ir")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def collected_seldom(nodes: int) -> Iterator[None]:
    """Inside of it Python looks for garbage the more seldom the more nodes a graph has.

    Every node is some fifty objects that refer to one another in circles. Python looks through them all again whenever
    there are a quarter more, so that half the time of a walk over ten thousand nodes went there; here it looks when
    there are a fifth as many more, and through these alone. What is there already
    is not looked through at all: it stays as long as the walk, unless the caller keeps such a set of its own.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < OBJECTS * nodes:  # 0: it is off
        yield
        return
    ours = gc.get_freeze_count() == 0
    gc.set_threshold(OBJECTS * nodes, *before[1:])
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
        gc.set_threshold(*before)
