"""How one part is run: what it reads is copied into memory that is bound to it, for the few shapes that come again.

A small part takes as long as what is around its run: to look at its inputs, to make room for its outputs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.manifest import PartFile
from ..ort.library import Foreign
from ..ort.prepared import PreparedRun, prepare
from ..ort.session import Session
from .activation import MOST, SHAPES, Key, key_of
from .windows import Window, window_of

__all__ = ["PartRun", "PartRuns", "part_runs"]

Array = npt.NDArray[Any]


@dataclass(slots=True, eq=False)
class _Shape:
    """The prepared runs of one shape that no thread uses now; spoilt: whether there can be none."""

    free: list[PreparedRun] = field(default_factory=list)
    spoilt: bool = False

    def spoil(self) -> None:
        """No run of this shape is prepared any more."""
        self.spoilt = True
        self.free.clear()


@dataclass(frozen=True, slots=True, eq=False)
class PartRuns:
    """The runs of one session, from any thread. reads, writes: where what it reads and writes lies in the whole."""

    session: Session
    reads: tuple[Window, ...]
    writes: tuple[Window, ...]
    shapes: dict[Key, _Shape] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """What the session is called in messages."""
        return self.session.name

    def run(self, fed: Mapping[str, Array], how: Foreign) -> PartRun:
        """Run the session on these arrays, which need not lie in one piece; how: options of the run.

        What it made is what the context gives, and nobody's afterwards. Raises SessionError as `Session.run` does.
        """
        key = key_of(fed)
        known = self.shapes.get(key)
        if known is not None and known.free:
            ready = _popped(known.free)
            if ready is not None:
                if _ran(ready, fed, how):
                    return PartRun(ready.outputs, known, ready)
                known.spoil()  # sizes that depend on what is in the inputs, or an error that the run below tells
        made = self.session.run({name: _in_one_piece(array) for name, array in fed.items()})
        self._prepare(key, fed, made)
        return PartRun(made)

    def _prepare(self, key: Key, fed: Mapping[str, Array], made: Mapping[str, Array]) -> None:
        """Prepare a run of a shape that came for the second time; only the last few shapes are kept."""
        with self.lock:
            if key not in self.shapes:
                while len(self.shapes) >= SHAPES:
                    del self.shapes[next(iter(self.shapes))]
                self.shapes[key] = _Shape()
                return
            known = self.shapes[key]
        if known.spoilt or sum(np.asarray(one).nbytes for one in (*fed.values(), *made.values())) > MOST:
            return
        ready = prepare(self.session, fed, made)
        if ready is None:
            known.spoil()
        else:
            known.free.append(ready)


class PartRun:
    """What a run made, as long as the context lasts."""

    __slots__ = ("made", "ready", "shape")

    def __init__(
        self, made: Mapping[str, Array], shape: _Shape | None = None, ready: PreparedRun | None = None
    ) -> None:
        self.made, self.shape, self.ready = made, shape, ready

    def __enter__(self) -> Mapping[str, Array]:
        return self.made

    def __exit__(self, *_: object) -> None:
        if self.shape is not None and self.ready is not None and not self.shape.spoilt:
            self.shape.free.append(self.ready)


def part_runs(session: Session, part: PartFile) -> PartRuns:
    """The runs of the session of a part."""
    return PartRuns(session, tuple(map(window_of, part.reads)), tuple(map(window_of, part.writes)))


def _popped(free: list[PreparedRun]) -> PreparedRun | None:
    try:
        return free.pop()
    except IndexError:  # another thread was faster
        return None


def _ran(ready: PreparedRun, fed: Mapping[str, Array], how: Foreign) -> bool:
    """Whether a prepared run has made the outputs."""
    for name, array in fed.items():
        ready.inputs[name][...] = array
    try:
        ready(how)
    except Exception:
        return False
    return True


def _in_one_piece(array: Array) -> Array:
    return np.ascontiguousarray(array) if array.ndim else array
