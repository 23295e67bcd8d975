"""Phases of the work: how long each takes, for the log, and which one it is, for whoever watches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

__all__ = ["LOG", "Watcher", "phase", "watching"]

LOG = logging.getLogger("scission")
Watcher: TypeAlias = Callable[[tuple[str, ...]], None]

_open: ContextVar[tuple[str, ...]] = ContextVar("phases", default=())
_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Log at level INFO how many seconds a part of the work took, below the parts that it belongs to.

    As a context or as a decorator. Whoever is `watching` is told the names of the parts that are open, outermost first,
    whenever one begins or ends. A part that fails is logged as well.

    >>> told = []
    >>> with watching(told.append), phase("plan"), phase("weights"):
    ...     pass
    >>> told
    [('plan',), ('plan', 'weights'), ('plan',), ()]
    """
    around = _open.get()
    inside = (*around, name)
    mark = _open.set(inside)
    _tell(inside)
    started = time.perf_counter()
    end = "failed after "
    try:
        yield
        end = ""
    finally:
        _open.reset(mark)
        LOG.info("%s: %s%.3f s", " / ".join(inside), end, time.perf_counter() - started)
        _tell(around)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Tell a function of every phase that begins or ends inside the context, on this thread."""
    mark = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(mark)


def _tell(path: tuple[str, ...]) -> None:
    for watcher in _watchers.get():
        watcher(path)
