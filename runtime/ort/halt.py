"""Runs of models that another thread can end, between two of their nodes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from .library import Foreign, onnxruntime

__all__ = ["Halt", "halted_by", "run_options"]


class Halt:
    """Ends every run that was begun under it, and each that is begun afterwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Foreign] = []
        self.asked = False

    def stop(self) -> None:
        """End what runs, from any thread; ONNX Runtime raises there."""
        with self._lock:
            self.asked = True
            for options in self._running:
                options.terminate = True

    def enter(self, options: Foreign) -> None:
        """A run with these options can be ended from now on."""
        with self._lock:
            self._running.append(options)
            options.terminate = self.asked

    def leave(self, options: Foreign) -> None:
        """The run with these options has ended."""
        with self._lock:
            self._running.remove(options)


CURRENT: ContextVar[Halt | None] = ContextVar("halt", default=None)


@contextlib.contextmanager
def halted_by(halt: Halt) -> Iterator[None]:
    """Whatever this thread runs for as long as the context lasts can be ended by `halt`."""
    token = CURRENT.set(halt)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextlib.contextmanager
def run_options(entries: tuple[tuple[str, str], ...] = ()) -> Iterator[Foreign]:
    """Options of one run with these settings, which what `halted_by` names can end; None where nothing is special."""
    halt = CURRENT.get()
    if halt is None and not entries:
        yield None
        return
    options = onnxruntime().RunOptions()
    for entry in entries:
        options.add_run_config_entry(*entry)
    if halt is None:
        yield options
        return
    halt.enter(options)
    try:
        yield options
    finally:
        halt.leave(options)
