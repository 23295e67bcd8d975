"""One sample, or rows of several: its inputs and labels with samples along the first axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.sizes import InputError
from ...ort.tensor_spec import TensorSpec
from .columns import LABELS, which_labels

__all__ = ["rows_of", "sample_rows"]

Array = npt.NDArray[Any]


def sample_rows(where: str, held: Mapping[str, Array], spec: Sequence[TensorSpec]) -> dict[str, Array]:
    """The arrays of inputs and labels, each of one sample or each of as many; without inputs the labels alone.

    Raises InputError where an array is no input and no labels, has another shape, or holds other samples than the rest.
    """
    if not spec:
        labels = held[which_labels(where, held)]
        return {LABELS[0]: labels if labels.ndim else labels[None]}
    values = {value.name: value for value in spec}
    for name in held:
        if name not in values and name not in LABELS:
            raise InputError(f"{where}: {name!r} is no input of the model ({[*values]}), and no labels")
    made = {name: rows_of(where, array, values[name]) for name, array in held.items() if name in values}
    counted = {name: array for name, array in made.items() if array.ndim}
    single = all(held[name].ndim < array.ndim for name, array in counted.items())
    open_ = [name for name in counted if values[name].shape and not isinstance(values[name].shape[0], int)]
    rows = {len(made[name]) for name in open_ or counted}
    if open_ and len(rows) > 1:
        shapes = {name: held[name].shape for name in open_}
        raise InputError(f"{where}: the arrays hold different numbers of samples: {shapes}")
    for name in held.keys() - made.keys():
        made[name] = held[name][None] if single else held[name]
        if not made[name].ndim or len(made[name]) not in rows:
            shape = held[name].shape
            raise InputError(f"{where}: {name!r} has shape {shape}, and there are {max(rows, default=0)} samples")
    return {name: made[name] for name in held}


def rows_of(where: str, array: Array, value: TensorSpec) -> Array:
    """An array of a sample, or of rows of samples, with samples along its first axis.

    Raises InputError where it has neither the dimensions of the input nor all but the first of them.
    """
    rank = len(value.shape)
    if rank and array.ndim == rank:
        return array
    if not rank and not array.ndim:
        return array  # one value, for all samples
    if not rank or array.ndim == rank - 1:
        return np.asarray(array)[None]
    shape = ", ".join("?" if dim is None else str(dim) for dim in value.shape)
    raise InputError(f"{where}: {value.name!r} has shape {array.shape}, the model wants ({shape}), or one row of it")
