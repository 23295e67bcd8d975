"""Real inputs with what they should give: batches of samples and their labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inputs.inputs import InputError, count_feeds, fit_type
from ..ort.tensor_spec import TensorSpec, numpy_dtype
from .sources.columns import LABELS, Columns, LabelledError, which_labels
from .sources.source import read_source

__all__ = ["BATCH", "Labelled", "labelled", "read_labelled", "split"]

Array = npt.NDArray[Any]
Feed = dict[str, Array]

EXACT = 2**53  # from which on not every whole number is a float64
BATCH = 32  # samples of a feed, where the model leaves that open


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Samples of a model's inputs, with or without labels.

    samples: how many; arrays: inputs with a row for each sample; shared: inputs that every batch gets as they are;
    targets: the labels, a row for each sample; batch: samples of a feed, exactly so many where `exact`, else at most.
    """

    samples: int
    arrays: Mapping[str, Array]
    shared: Mapping[str, Array]
    targets: Array | None
    batch: int
    exact: bool

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """What the model is fed, batch by batch; views of the whole arrays."""
        return tuple({**{n: a[part] for n, a in self.arrays.items()}, **self.shared} for part in self._parts())

    @property
    def labels(self) -> tuple[Array, ...] | None:
        """The labels of each feed."""
        return None if self.targets is None else tuple(self.targets[part] for part in self._parts())

    def _parts(self) -> Iterator[slice]:
        return (slice(start, start + self.batch) for start in range(0, self.samples, self.batch))


def labelled(
    arrays: Mapping[str, Array],
    spec: Sequence[TensorSpec],
    labels: Array | Path | None = None,
    batch: int = BATCH,
    most: int | None = None,
) -> Labelled:
    """The same as `read_labelled` for arrays that are in memory already."""
    held = {name: np.asarray(array) for name, array in arrays.items()}
    return _labelled(Path("the arrays given"), Columns(arrays=held, typed=True), spec, labels, (batch, most))


def read_labelled(
    path: Path,
    spec: Sequence[TensorSpec],
    labels: Array | Path | None = None,
    batch: int = BATCH,
    most: int | None = None,
) -> Labelled:
    """The samples of a source for the inputs of a model, see `read_source`: a file, a folder, or module:function.

    labels: a source of their own, with an array or a column called labels, y, label or target, or with only one;
    without it what is called so in `path` and is no input of the model. Feeds have `batch` samples at most, and where
    the model fixes its first dimension exactly that many. Beside inputs whose first dimension is open, one with a fixed
    shape is shared. most: bytes that samples may take.
    Raises LabelledError or InputError naming the file, the array and its shape: missing or unknown names, types that
    lose values, a wrong shape, or different numbers of samples; NoMemoryError for more than may be used.
    """
    return _labelled(path, read_source(path, spec, most), spec, labels, (batch, most))


def _labelled(
    path: Path,
    columns: Columns,
    spec: Sequence[TensorSpec],
    labels: Array | Path | None,
    sizes: tuple[int, int | None],
) -> Labelled:
    """sizes: samples of a feed, and bytes that labels may take."""
    held, (batch, most) = columns.arrays, sizes
    if batch < 1:
        raise LabelledError(f"a batch needs at least one sample, got {batch}")
    wanted = [value.name for value in spec]
    inside = [name for name in LABELS if name in held and name not in wanted]
    missing = [value.name for value in spec if value.name not in held and not value.optional]
    spec = [value for value in spec if value.name in held]
    unknown = [name for name in held if name not in wanted and name not in inside]
    if missing or unknown:
        parts = [f"missing: {missing}"] * bool(missing) + [f"unknown: {unknown}"] * bool(unknown)
        raise LabelledError(f"{path}: the names do not match the model's inputs {wanted} ({'; '.join(parts)})")
    called = str(labels) if isinstance(labels, Path) else "labels"
    if len(inside) + (labels is not None) > 1:
        given = [*inside, *([called] if labels is not None else [])]
        raise LabelledError(f"{path}: labels are given twice, by {given}; keep one")
    rounded = (held[value.name] if columns.typed else _rounded(path, value, held[value.name]) for value in spec)
    data = {value.name: fit_type(path, value, array) for value, array in zip(spec, rounded, strict=True)}
    made = _batches(path, spec, data, batch)
    if labels is not None:
        return _with_labels(
            made, _read_labels(labels, most) if isinstance(labels, Path) else np.asarray(labels), called
        )
    return _with_labels(made, held[inside[0]], f"{path}: array {inside[0]!r}") if inside else made


def split(labelled: Labelled, share: float = 0.5, seed: int = 0) -> tuple[Labelled, Labelled]:
    """(to tune on, held back): a random partition of the samples; the same seed makes the same one.

    share: of the samples in the first part, rounded to whole batches where the model fixes their size; neither part is
    empty. Raises LabelledError when the share is not between 0 and 1, or there is only one sample or batch.
    """
    unit = labelled.batch if labelled.exact else 1
    units = labelled.samples // unit
    if not 0 < share < 1:
        raise LabelledError(f"the share of the first part must lie between 0 and 1, got {share:g}")
    if units < 2:
        what = f"{labelled.samples} sample{'s' * (labelled.samples > 1)}" + f" in batches of {unit}" * (unit > 1)
        raise LabelledError(f"{what} cannot be split in two; give more samples")
    first = min(max(round(share * units), 1), units - 1) * unit
    order = np.random.default_rng(seed).permutation(labelled.samples)
    return _take(labelled, np.sort(order[:first])), _take(labelled, np.sort(order[first:]))


def _take(labelled: Labelled, samples: npt.NDArray[np.int64]) -> Labelled:
    return dataclasses.replace(
        labelled,
        samples=samples.size,
        arrays={name: array[samples] for name, array in labelled.arrays.items()},
        targets=None if labelled.targets is None else labelled.targets[samples],
    )


def _batches(path: Path, spec: Sequence[TensorSpec], data: Feed, batch: int) -> Labelled:
    fixed = {value.name: value.shape[0] for value in spec if value.shape and isinstance(value.shape[0], int)}
    parts = {value.name: count_feeds(path, value, data[value.name]) for value in spec}
    rowed = [name for name, array in data.items() if array.ndim]  # ONNX Runtime shows an unknown rank as a scalar
    open_ = [name for name in rowed if name not in fixed]
    if open_:
        wrong = [f"{name!r} {data[name].shape}" for name in fixed if parts[name] != 1]
        if wrong:
            raise LabelledError(f"{path}: {', '.join(wrong)} must have the shape that the model fixes, for all samples")
    batched = open_ or rowed
    rows = {name: data[name].shape[0] for name in batched}
    if not batched or not min(rows.values()):
        raise LabelledError(f"{path}: there are no samples; each input needs them along its first axis")
    if len(set(rows.values() if open_ else (parts[name] for name in batched))) > 1:
        raise LabelledError(f"{path}: the arrays hold different numbers of samples: {rows}")
    sizes = {fixed[name] for name in batched} if not open_ else {batch}
    if len(sizes) > 1:
        raise LabelledError(
            f"{path}: the model fixes different first dimensions {fixed}, so none of them counts samples"
        )
    return Labelled(
        samples=next(iter(rows.values())),
        arrays={name: data[name] for name in batched},
        shared={name: array for name, array in data.items() if name not in batched},
        targets=None,
        batch=sizes.pop(),
        exact=not open_,
    )


def _rounded(path: Path, value: TensorSpec, array: Array) -> Array:
    """Floats of a table in the type of an input: nobody chose how many digits they have.

    Raises InputError where one is too large for it, or is whole and became a float that is another number.
    """
    dtype = numpy_dtype(value.dtype)
    if dtype is not None and dtype.kind in "iu" and array.dtype.kind == "f" and _inexact(array):
        raise InputError(
            f"{path}: input {value.name!r} holds numbers of more than 53 bits beside some that are written as floats "
            "or do not fit int64, which changes them; save them with numpy.savez"
        )
    if dtype is None or array.dtype.kind not in "iuf" or not (dtype.kind == "f" or value.dtype == "bfloat16"):
        return array
    with np.errstate(over="ignore"):
        found = array.astype(dtype)
    if array.size and (np.isfinite(array) & ~np.isfinite(found.astype(np.float64))).any():
        raise InputError(f"{path}: input {value.name!r} holds numbers that are too large for {value.dtype}; scale them")
    return found


def _inexact(array: Array) -> bool:
    return bool((np.isfinite(array) & (np.abs(array) >= EXACT)).any())


def _read_labels(path: Path, most: int | None) -> Array:
    held = read_source(path, [], most).arrays
    return held[which_labels(str(path), held)]


def _with_labels(labelled: Labelled, targets: Array, where: str) -> Labelled:
    if not targets.ndim or targets.shape[0] != labelled.samples:
        shapes = {name: array.shape for name, array in labelled.arrays.items()}
        want = f"one label for each of the {labelled.samples} samples of {shapes}"
        raise LabelledError(f"{where} has shape {targets.shape} and must hold {want}")
    return dataclasses.replace(labelled, targets=targets)
