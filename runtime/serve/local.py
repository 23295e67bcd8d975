"""Parts of a model in one process: each in a session of its own, index work in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.io.load import load
from ...ir.parts.activation import MASKED, OffWord
from ...ir.parts.manifest import Manifest, PartFile
from ...ir.parts.share import ManifestError
from ...ir.supervision.board import Act
from ...ir.supervision.telling import running
from ..inputs.inputs import InputError
from ..ort.halt import run_options
from ..ort.library import Foreign, SessionError
from ..ort.session import ORT, ModelSource, Session, open_session
from .activation import Key, Off, OffResults, is_off, key_of
from .activity import PartActivity, activity_of
from .awaited import Awaited, Runs
from .folder import read_activation, read_manifest, require_files
from .masked import require_masked
from .off import off_numbers
from .part_runs import PartRun, part_runs
from .resting import Resting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ort.library import Choice

__all__ = ["LocalParts", "load_parts"]

Array = npt.NDArray[Any]

MOST_ROWS = (
    0.75  # of all rows, beyond which a part is run for all of them: to take some and put them back costs as well
)

MOST_PROVED = 1 << 14  # shapes of parts that are kept as tried


@dataclass(frozen=True, slots=True, eq=False)
class LocalParts:
    """A model in parts that run in this process, one after another, or elsewhere, those of a request at once.

    manifest: what they are; runs: of one session a part, in the order in which they run; watch: is called with the
    place of a part that was called and the seconds that it took, in whatever thread runs it; off: the number that
    inputs hold where they are off, an array of them for the last axes, or MASKED, by name, 0 for others; None where
    every part is called whatever it reads; idle: what each part makes of inputs that are off; resting: what all of them
    together do; activity: what they read; rowed: the inputs that have rows, where no part mixes them; proved: the parts
    of which was tried that they heed nothing that is masked, whether others made zeros for them, and in which shapes:
    a softmax over one place is 1 whatever stands there, and over two it is not.
    """

    manifest: Manifest
    runs: tuple[Runs, ...]
    activity: PartActivity
    watch: Callable[[int, float], None] = lambda *_: None
    off: Mapping[str, Off] | None = field(default_factory=dict)
    idle: tuple[OffResults, ...] = ()
    resting: Resting = field(default_factory=Resting)
    rowed: frozenset[str] = frozenset()
    proved: set[tuple[int, bool, Key]] = field(default_factory=set)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the model for its inputs, by name and in order.

        A part is called once for inputs that are off and have these shapes, and what it made is taken again. Where
        inputs have rows it is called for the rows in which they are not off, unless these are most of them.
        Raises SessionError where an input is missing or has another size, or ONNX Runtime refuses it.
        """
        there = {value.name: np.asarray(inputs[value.name]) for value in self.manifest.inputs if value.name in inputs}
        with running(ORT, Act.RUN, self.manifest.name), run_options() as how:
            try:
                return _Request(self, there, how).outputs()
            except SessionError as error:
                raise _explained(self.manifest, there, error) from error

    def written(self, index: int) -> list[str]:
        """The names of what a part writes."""
        return [window.name for window in self.runs[index].writes]

    def activated(self, inputs: Mapping[str, Array]) -> tuple[str, ...]:
        """The names of the parts that these inputs of the model activate: those that read anything that is not off, or
        what a part makes that does."""
        there = {name: np.asarray(array) for name, array in inputs.items()}
        on = [True] * len(self.runs)
        if self.off is not None:
            on = [bool(own.any()) for own in self.activity.of(there, self.off)]
        return tuple(part.name for part, own in zip(self.manifest.parts, on, strict=True) if own)


class _Sent(NamedTuple):
    """A call of a part elsewhere; rows, heard: as of `_call`."""

    part: int
    results: Awaited
    rows: npt.NDArray[np.int64] | int | None
    heard: Callable[[Mapping[str, Array]], None] | None


class _Request:
    """One request: the values that are there by now, and which parts are on in which of its rows."""

    def __init__(self, parts: LocalParts, there: dict[str, Array], how: Foreign) -> None:
        self.parts, self.there, self.how = parts, there, how
        self.rows, rowed = _rows_of(parts.rowed, there, parts.off or {})
        self.on = None if parts.off is None else parts.activity.of(there, parts.off, rowed)
        self.full = [True] * len(parts.runs)
        if self.on is not None:
            self.full = np.logical_and.reduce(self.on, axis=1).tolist()
        off = [index for index, full in enumerate(self.full) if not full]
        shapes = {name: array[:1] if name in rowed else array for name, array in there.items()} if off else {}
        self.key = key_of(shapes)
        begun, self.known = parts.resting.begun(self.key, off, parts.written, self.rows) if off else ({}, set())
        there.update(begun)
        self.awaited: list[_Sent] = []
        self.some = [] if self.on is None else np.logical_or.reduce(self.on, axis=1).tolist()

    def outputs(self) -> dict[str, Array]:
        """Run the parts, in order."""
        known = self.known
        for index, full in enumerate(self.full):
            if index in self.parts.activity.sources:  # what others make must be there
                self._collect()
            if full:
                self._run_whole(index)
            elif index in known and not self.some[index]:
                continue  # most parts of most requests
            elif self.rows is None:
                self._rest(index, None)
            else:
                self._run_rows(index)
        self._collect()
        return {value.name: self.there[value.name] for value in self.parts.manifest.outputs}

    def _run_rows(self, index: int) -> None:
        """Run a part for the rows in which it is on, or for all of them where these are most."""
        assert self.on is not None
        on = self.on[index]
        rows = np.flatnonzero(on)
        if rows.size > MOST_ROWS * on.size:
            self._call(index, self._fed(index))
            return
        self._rest(index, int(np.argmin(on)))
        if rows.size:
            self._call(index, self._fed(index, rows), rows)

    def _rest(self, index: int, row: int | None) -> None:
        """Put what a part makes where it is off in all rows; row: one in which it is off."""
        if index in self.known:
            return

        def learned(made: Mapping[str, Array]) -> None:
            parts = self.parts
            parts.resting.learn(self.key, index, parts.manifest.parts[index].writes, made)

        fed = self._fed(index) if row is None else self._fed(index, np.array([row]))
        self._require_masked(index, fed, made=False)
        self._call(index, fed, self.rows, learned)

    def _run_whole(self, index: int) -> None:
        """Run a part for all rows; one that reads what others made, which is off, is not called again."""
        parts, fed, off = self.parts, self._fed(index), self.parts.off
        if (
            off is None
            or index not in parts.activity.sources
            or not all(is_off(array, off.get(name, 0.0)) for name, array in fed.items())
        ):
            self._call(index, fed)
        else:
            known = parts.idle[index].of(fed, lambda: self._made(index, fed))
            self._put(index, known, None)

    def _made(self, index: int, fed: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        self._require_masked(index, fed, made=True)
        self._call(index, fed, heard=lambda made: found.update({name: made[name].copy() for name in made}))
        self._collect()
        return found

    def _require_masked(self, index: int, fed: Mapping[str, Array], made: bool) -> None:
        """Raise SessionError where a part that is off heeds inputs that are said to be masked; tried once a shape.

        made: whether it is off since others made zeros for it, and not since they are off themselves.
        """
        masked = [name for name in fed if (self.parts.off or {}).get(name) is MASKED]
        if not masked:
            return
        key, proved = (index, made, key_of(fed)), self.parts.proved
        if key not in proved:
            require_masked(lambda fed: self._results(index, fed), self.parts.runs[index].name, fed, masked)
            if len(proved) >= MOST_PROVED:
                proved.clear()
            proved.add(key)

    def _results(self, index: int, fed: Mapping[str, Array]) -> dict[str, Array]:
        """What a part makes, and nothing is put anywhere."""
        found = self.parts.runs[index].run(fed, self.how)
        if not isinstance(found, PartRun):
            return dict(found.wait()[0])
        with found as made:
            return {name: array.copy() for name, array in made.items()}

    def _call(
        self,
        index: int,
        fed: Mapping[str, Array],
        rows: npt.NDArray[np.int64] | int | None = None,
        heard: Callable[[Mapping[str, Array]], None] | None = None,
    ) -> None:
        """Run a part, and put what it makes in its places; heard: is given it as well, and keeps nothing of it."""
        began = time.perf_counter()
        found = self.parts.runs[index].run(fed, self.how)
        if not isinstance(found, PartRun):  # to look for a protocol takes longer than a small part
            self.awaited.append(_Sent(index, found, rows, heard))
            return
        with found as made:
            self.parts.watch(index, time.perf_counter() - began)
            if heard is not None:
                heard(made)
            self._put(index, made, rows)

    def _collect(self) -> None:
        """Wait for the parts that run elsewhere, and put what they made in its places, in the order of the calls."""
        for sent in self.awaited:
            made, seconds = sent.results.wait()
            self.parts.watch(sent.part, seconds)
            if sent.heard is not None:
                sent.heard(made)
            self._put(sent.part, made, sent.rows)
        self.awaited.clear()

    def _put(self, index: int, made: Mapping[str, Array], rows: npt.NDArray[np.int64] | int | None) -> None:
        name, there = self.parts.runs[index].name, self.there
        for window in self.parts.runs[index].writes:
            window.put(made[window.name], there, name, rows)

    def _fed(self, index: int, rows: npt.NDArray[np.int64] | None = None) -> dict[str, Array]:
        """What a part reads, in some of the rows or in all."""
        own, there = self.parts.runs[index], self.there
        fed = {window.name: window.taken(there, own.name) for window in own.reads}
        if rows is not None:
            fed |= {name: fed[name][rows] for name in self.parts.manifest.parts[index].rows}
        return fed


def load_parts(
    folder: str | os.PathLike[str],
    *,
    off: Mapping[str, Off] | None = MappingProxyType({}),
    provider: Choice = "cpu",
    threads: int | None = None,
    optimize: bool = True,
    tf32: bool = True,
    custom_ops: Sequence[Path] = (),
) -> LocalParts:
    """Open the parts of a folder that `partition` wrote.

    off: the number that inputs hold where they are off, by name, or an array of them for the last axes, or MASKED where
    they may hold anything as long as all else that a part reads is off, which is tried for each part; for others what
    `count_activation` found, or 0: a part that reads nothing else is not called again for it; None where every part is
    to be called, as they are anyway where there are libraries of custom operators, which may draw random numbers.
    provider, threads, custom_ops: as ONNX Runtime runs each of them; optimize: whether it optimises their graphs; tf32:
    whether on CUDA factors of float32 products may be rounded to 10 bits. Raises ManifestError where the folder is
    none, or a file is not the one that its manifest tells of, ModelError for a part that is no model, SessionError
    where ONNX Runtime refuses one, or for an input in `off` that there is not, InputError for what that cannot hold.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    counted = read_activation(place, manifest) if off is not None else None
    if unknown := sorted({*(off or {})} - {value.name for value in manifest.inputs}):
        raise SessionError(f"{place}: there is no input {unknown[0]!r} that could be off")
    try:
        told = off_numbers({value.name: value for value in manifest.inputs}, off or {})
    except InputError as error:
        raise InputError(f"{place}: ", *error.parts) from None
    for part in manifest.parts:
        _require_own_weights(place, part)
    runs = []
    for part in manifest.parts:  # once nothing else is read: what is freed between sessions would stay between them
        source = ModelSource(place / part.model, is_one_of_many=True)
        session = open_session(
            source, provider=provider, threads=threads, optimize=optimize, tf32=tf32, custom_ops=custom_ops
        )
        _require_interface(part, session)
        runs.append(part_runs(session, part))
    return LocalParts(
        manifest,
        tuple(runs),
        activity_of(manifest),
        off=None if custom_ops or off is None else {**(counted.off if counted else {}), **told},
        idle=tuple(OffResults() for _ in runs),
        rowed=manifest.rows,
    )


def _require_own_weights(place: Path, part: PartFile) -> None:
    """Raise ManifestError or ModelError unless a part is made of the files that the manifest tells of."""
    require_files(place, part)
    path = place / part.model
    if not {file.name for file in load(path).data_files()} <= {*part.files}:
        raise ModelError(f"{path}: its weights lie in a file that the manifest does not tell of; cut the model again")


def _require_interface(part: PartFile, session: Session) -> None:
    """Raise ManifestError where a part has other inputs or outputs than its manifest says."""
    inputs, outputs = ({spec.name for spec in specs} for specs in (session.inputs, session.outputs))
    if inputs != {share.value for share in part.reads} or outputs != {share.value for share in part.writes}:
        raise ManifestError(f"{session.name}: it reads or writes other values than its manifest says")


def _rows_of(
    rowed: frozenset[str], there: Mapping[str, Array], off: Mapping[str, Off]
) -> tuple[int | None, frozenset[str]]:
    """How many rows the inputs have, and which of them have any; None where they have not the same number, or rows of
    one that are off are not all the same: what a part makes of one of them is not what it makes of the others."""
    counts = {there[name].shape[:1] for name in rowed if name in there}
    found = next(iter(counts), ())
    by_row = any(name in there and _axes(off.get(name, 0.0)) >= there[name].ndim for name in rowed)
    return (found[0], rowed) if len(counts) == 1 and found and found[0] and not by_row else (None, frozenset())


def _axes(off: Off) -> int:
    return 0 if isinstance(off, OffWord) else np.ndim(off)


def _explained(manifest: Manifest, there: Mapping[str, Array], error: SessionError) -> SessionError:
    """An error of a run, and what may be its reason: inputs that differ where the model says that they do not."""
    seen: dict[str, tuple[str, int]] = {}
    for value in manifest.inputs:
        shape = there[value.name].shape if value.name in there else ()
        for symbol, extent in zip(value.shape or (), shape, strict=False):
            if not isinstance(symbol, str):
                continue
            name, other = seen.setdefault(symbol, (value.name, extent))
            if other != extent:
                why = f"{name!r} has {other} and {value.name!r} {extent} places along axes that the model calls"
                return SessionError(*error.parts, f"; {why} {symbol!r}: give both the same number of them")
    return error
