"""Which parts of a folder data activate, counted and kept beside the manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.activation import Activation, OffWord, activation_of
from ...ir.parts.manifest import Manifest
from ...ir.parts.share import ManifestError
from ..calibrate.dataset import Labelled, labelled, read_labelled
from ..calibrate.sources.forms import FORMS
from ..inputs.inputs import InputError
from ..ort.memory import limit_of
from ..ort.tensor_spec import TensorSpec
from .activation import Off, differing
from .activity import activity_of
from .folder import read_manifest, write_activation
from .local import load_parts
from .off import off_numbers

__all__ = ["count_activation", "counted", "require_unheeded", "samples_of"]

Array = npt.NDArray[Any]
Data = Labelled | Mapping[str, Any] | str | os.PathLike[str]

ROWS = 1024  # that are looked at together
TRIED = 64  # rows, at least, of which the parts that these do not activate are run
LOOKED_AT = 1 << 20  # entries of an input from which is learned what it is where it is off
NUMBERS = "biuf"


def count_activation(
    folder: str | os.PathLike[str], data: Data, *, off: Mapping[str, float | OffWord] = MappingProxyType({})
) -> Activation:
    """Count which parts of a folder the rows of data activate, and write it to activation.json in the folder.

    data: what holds an array for each input, samples along the first axis, as `sweep` reads it, or such arrays by
    name; off: the number that an input holds where it is off, by name, or MASKED for
    one that may hold anything where all else that a part reads is off; of others what most of its entries in the data
    are, 0 where nothing is. From then on `load_parts` takes these numbers. Raises ManifestError where the folder is
    none or cannot be written to, or there is no such input, and LabelledError or InputError for data that do not suit
    the inputs; and SessionError where a part heeds an input that is said to be masked.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    samples = samples_of(manifest, data)
    found = counted(manifest, samples, off)
    require_unheeded(place, found, samples)
    write_activation(place, found)
    return found


def require_unheeded(place: Path, found: Activation, samples: Labelled) -> None:
    """Raise SessionError where a part heeds an input that is said to be masked, in some of the rows that do not
    activate it; parts are opened only where there is such an input."""
    if any(isinstance(value, OffWord) for value in found.off.values()):
        parts = load_parts(place, off=found.off)
        for row in range(0, samples.samples, max(1, samples.samples // TRIED)):
            parts.run({**samples.shared, **{name: array[row : row + 1] for name, array in samples.arrays.items()}})


def samples_of(manifest: Manifest, data: Data) -> Labelled:
    """Data as the inputs of a manifest have them. Raises LabelledError or InputError."""
    spec = [
        TensorSpec(name=one.name, dtype=one.dtype, shape=() if one.shape is None else one.shape)
        for one in manifest.inputs
    ]
    if isinstance(data, Labelled):
        return data
    if not isinstance(data, (Mapping, str, os.PathLike)):
        raise InputError(f"data are {FORMS}, or arrays by the names of inputs, not {type(data).__name__}")
    if isinstance(data, Mapping):
        return labelled(data, spec)
    return read_labelled(Path(data), spec, most=limit_of(None, asked=True).most)


def counted(manifest: Manifest, samples: Labelled, off: Mapping[str, float | OffWord]) -> Activation:
    """What samples activate; off: as in `count_activation`. Raises ManifestError for an input that there is not, and
    InputError for what that cannot hold."""
    arrays = {**samples.arrays, **samples.shared}
    if not isinstance(off, Mapping):
        raise InputError(f"what is off is told by the names of inputs, as {{'x': 0.0}}, not by {type(off).__name__}")
    if unknown := sorted({*off} - {*arrays}):
        raise ManifestError(f"there is no input {unknown[0]!r} that could be off")
    told = off_numbers({value.name: value for value in manifest.inputs}, off)
    if unfit := sorted(name for name, value in told.items() if _strange(value)):
        raise InputError(f"what the input {unfit[0]!r} holds where it is off is counted for one finite number alone")
    known = {name: _word(told[name]) if name in told else _usual(array) for name, array in arrays.items()}
    activity = activity_of(manifest)
    on = [
        activity.of({**samples.shared, **_rows(samples.arrays, start)}, known, [*samples.arrays])
        for start in range(0, samples.samples, ROWS)
    ]
    return activation_of(manifest, np.concatenate(on, axis=1), known)


def _rows(arrays: Mapping[str, Array], start: int) -> dict[str, Array]:
    return {name: array[start : start + ROWS] for name, array in arrays.items()}


def _strange(value: Off) -> bool:
    return not isinstance(value, OffWord) and (bool(np.ndim(value)) or not bool(np.isfinite(value)))


def _word(value: Off) -> float | OffWord:
    return value if isinstance(value, OffWord) else float(value)


def _usual(array: Array) -> float:
    """The number that most entries of an array are; 0 where they are not one."""
    if array.dtype.kind not in NUMBERS or not array.size:
        return 0.0
    flat = array.reshape(-1)
    some = flat[:: max(1, flat.size // LOOKED_AT)]
    values, counts = np.unique(some, return_counts=True)
    most = int(counts.argmax())
    usual = float(values[most])
    fits = 2 * int(counts[most]) > some.size and np.isfinite(usual) and differing(array[:1], usual) is not None
    return usual + 0.0 if fits else 0.0
