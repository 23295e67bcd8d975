"""Parts of a model in one process: each in a session of its own, index work in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.io.load import load
from ...ir.parts.manifest import Manifest, PartFile
from ...ir.parts.share import ManifestError, Share
from ..ort.library import SessionError
from ..ort.session import Session, open_session
from .folder import read_manifest, require_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ort.library import Choice

__all__ = ["LocalParts", "load_parts"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LocalParts:
    """A model in parts that run in this process, one after another.

    manifest: what they are; sessions: one a part, in the order in which they run; watch: is called with the place of
    a part and the seconds that it took, in whatever thread runs it.
    """

    manifest: Manifest
    sessions: tuple[Session, ...]
    watch: Callable[[int, float], None] = lambda *_: None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the model for its inputs, by name and in order.

        Raises SessionError where an input is missing or has another size, or ONNX Runtime refuses it.
        """
        there = {value.name: np.asarray(inputs[value.name]) for value in self.manifest.inputs if value.name in inputs}
        for index, (part, session) in enumerate(zip(self.manifest.parts, self.sessions, strict=True)):
            fed = {share.value: _taken(share, there, session.name) for share in part.reads}
            began = time.perf_counter()
            made = session.run(fed)
            self.watch(index, time.perf_counter() - began)
            for share in part.writes:
                _put(share, made[share.value], there, session.name)
        return {value.name: there[value.name] for value in self.manifest.outputs}


def load_parts(
    folder: str | os.PathLike[str],
    *,
    provider: Choice = "cpu",
    threads: int | None = None,
    optimize: bool = True,
    tf32: bool = True,
    custom_ops: Sequence[Path] = (),
) -> LocalParts:
    """Open the parts of a folder that `partition` wrote.

    provider, threads, custom_ops: as ONNX Runtime runs each of them; optimize: whether it optimises their graphs; tf32:
    whether on CUDA factors of float32 products may be rounded to 10 bits. Raises ManifestError where the folder is
    none, or a file is not the one that its manifest tells of, ModelError for a part that is no model, SessionError
    where ONNX Runtime refuses one.
    """
    place = Path(folder)
    manifest = read_manifest(place)
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
    return LocalParts(manifest, tuple(sessions))


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
        there[share.value] = made
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
