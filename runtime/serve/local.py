"""Parts of a model in one process: each in a session of its own, index work in between."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.io.load import load
from ...ir.parts.manifest import Manifest, PartFile
from ...ir.parts.share import ManifestError, Share
from ..ort.library import SessionError
from ..ort.session import Session, open_session
from .activation import OffResults, is_off, key_of
from .activity import Activity, activity_of
from .folder import read_manifest, require_files
from .resting import Resting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ort.library import Choice

__all__ = ["LocalParts", "load_parts"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LocalParts:
    """A model in parts that run in this process, one after another.

    manifest: what they are; sessions: one a part, in the order in which they run; watch: is called with the place of
    a part that was called and the seconds that it took, in whatever thread runs it; off: the number that inputs hold
    where they are off, by name, 0 for others; None where every part is called whatever it reads; idle: what each part
    makes of inputs that are off; resting: what all of them together do; activity: what they read.
    """

    manifest: Manifest
    sessions: tuple[Session, ...]
    activity: Activity
    watch: Callable[[int, float], None] = lambda *_: None
    off: Mapping[str, float] | None = field(default_factory=dict)
    idle: tuple[OffResults, ...] = ()
    resting: Resting = field(default_factory=Resting)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the model for its inputs, by name and in order.

        A part is called once for inputs that are off and have these shapes, and what it made is taken again.
        Raises SessionError where an input is missing or has another size, or ONNX Runtime refuses it.
        """
        there = {value.name: np.asarray(inputs[value.name]) for value in self.manifest.inputs if value.name in inputs}
        on = None if self.off is None else self.activity.of(there, self.off)
        off = [] if on is None else np.flatnonzero(~on).tolist()
        key = key_of(there) if off else ()
        begun, done = self.resting.begun(key, off, self.writes) if off else ({}, set())
        there.update(begun)
        for index, part in enumerate(self.manifest.parts):
            if index in done:
                continue
            name = self.sessions[index].name
            fed = {share.value: _taken(share, there, name) for share in part.reads}
            call = functools.partial(self._call, index, fed)
            if on is not None and not on[index]:
                made = call()
                self.resting.learn(key, index, part.writes, made)
            else:  # what reads what others made is looked at here
                inner = index in self.activity.inner and not self._is_on(fed)
                made = self.idle[index].of(fed, call) if inner else call()
            for share in part.writes:
                _put(share, made[share.value], there, name)
        return {value.name: there[value.name] for value in self.manifest.outputs}

    @property
    def writes(self) -> list[tuple[Share, ...]]:
        """What each part writes."""
        return [part.writes for part in self.manifest.parts]

    def activated(self, inputs: Mapping[str, Array]) -> tuple[str, ...]:
        """The names of the parts that these inputs of the model activate: those that read anything that is not off.

        A part that reads what other parts make counts as activated. Raises SessionError as `run` does.
        """
        there = {name: np.asarray(array) for name, array in inputs.items()}
        found = []
        for index, part in enumerate(self.manifest.parts):
            inner, name = index in self.activity.inner, self.sessions[index].name
            if inner or self._is_on({share.value: _taken(share, there, name) for share in part.reads}):
                found.append(part.name)
        return tuple(found)

    def _call(self, index: int, fed: Mapping[str, Array]) -> dict[str, Any]:
        began = time.perf_counter()
        made = self.sessions[index].run(fed)
        self.watch(index, time.perf_counter() - began)
        return made

    def _is_on(self, fed: Mapping[str, Array]) -> bool:
        off = self.off
        return off is None or not all(is_off(array, off.get(name, 0.0)) for name, array in fed.items())


def load_parts(
    folder: str | os.PathLike[str],
    *,
    off: Mapping[str, float] | None = MappingProxyType({}),
    provider: Choice = "cpu",
    threads: int | None = None,
    optimize: bool = True,
    tf32: bool = True,
    custom_ops: Sequence[Path] = (),
) -> LocalParts:
    """Open the parts of a folder that `partition` wrote.

    off: the number that inputs hold where they are off, by name, 0 for those without one: a part that reads nothing
    else is not called again for it; None where every part is to be called, as they are anyway where there are libraries
    of custom operators, which may draw random numbers. provider, threads, custom_ops: as ONNX Runtime runs each of
    them; optimize: whether it optimises their graphs; tf32: whether on CUDA factors of float32 products may be rounded
    to 10 bits. Raises ManifestError where the folder is none, or a file is not the one that its manifest tells of,
    ModelError for a part that is no model, SessionError where ONNX Runtime refuses one, or for an input in `off` that
    there is not.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    if unknown := sorted({*(off or {})} - {value.name for value in manifest.inputs}):
        raise SessionError(f"{place}: there is no input {unknown[0]!r} that could be off")
    sessions = []
    for part in manifest.parts:
        require_files(place, part)
        path = place / part.model
        model = load(path)
        if not {file.name for file in model.data_files()} <= {*part.files}:
            raise ModelError(
                f"{path}: its weights lie in a file that the manifest does not tell of; cut the model again"
            )
        session = open_session(
            path, provider=provider, threads=threads, optimize=optimize, tf32=tf32, custom_ops=custom_ops
        )
        _require_interface(part, session)
        sessions.append(session)
    return LocalParts(
        manifest,
        tuple(sessions),
        activity_of(manifest),
        off=None if custom_ops else off,
        idle=tuple(OffResults() for _ in sessions),
    )


def _require_interface(part: PartFile, session: Session) -> None:
    """Raise ManifestError where a part has other inputs or outputs than its manifest says."""
    inputs, outputs = ({spec.name for spec in specs} for specs in (session.inputs, session.outputs))
    if inputs != {share.value for share in part.reads} or outputs != {share.value for share in part.writes}:
        raise ManifestError(f"{session.name}: it reads or writes other values than its manifest says")


def _taken(share: Share, there: Mapping[str, Array], name: str) -> Array:
    if share.value not in there:
        raise SessionError(f"{name}: no value for the input {share.value!r}")
    array = there[share.value]
    for axis, size in share.size.items():
        if array.ndim <= axis or array.shape[axis] != size:
            raise SessionError(
                f"{name}: {share.value!r} has the shape {list(array.shape)}, not {size} places on axis {axis}"
            )
    return np.ascontiguousarray(share.of(array)) if array.ndim else array


def _put(share: Share, made: Array, there: dict[str, Array], name: str) -> None:
    """Put what a part made in its places of the whole."""
    if share.is_whole:
        there[share.value] = made.copy()  # what is kept for inputs that are off is nobody's to change
        return
    ((axis, size),) = share.size.items()
    shape = list(made.shape)
    if made.ndim <= axis or shape[axis] != share.places[axis].size:
        raise SessionError(
            f"{name}: {share.value!r} has the shape {shape}, not {share.places[axis].size} places on axis {axis}"
        )
    shape[axis] = size
    if share.value not in there:
        there[share.value] = np.empty(shape, made.dtype)
    whole = there[share.value]
    if list(whole.shape) != shape or whole.dtype != made.dtype:
        raise SessionError(
            f"{name}: {share.value!r} is {made.dtype}{shape}, and of another part {whole.dtype}{list(whole.shape)}"
        )
    whole[share.where(made.ndim)] = made
