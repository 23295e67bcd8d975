"""Which columns of a table are which input of a model, and which are labels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.sizes import InputError
from ...ort.tensor_spec import TensorSpec
from .columns import LABELS, which_labels

__all__ = ["assign", "piece_of", "together"]

Array = npt.NDArray[Any]

SHOWN = 8  # columns that an error lists


def assign(where: str, names: Sequence[str], spec: Sequence[TensorSpec]) -> dict[str, tuple[int, ...]]:
    """For each input, and for the labels where there are any, the places of its columns in the order of its features.

    A column has the name of an input or of labels, or several have it with a number behind: `x[0]`, `x.0` or `x_0`,
    counted from 0 or 1. One input without such a column takes all that are left, where they are as many as its
    features. Without any inputs it is labels alone that are wanted. Raises InputError naming the source: columns that
    are missing, unknown or there twice.

    >>> spec = [TensorSpec(name="x", dtype="float32", shape=("batch", 2))]
    >>> assign("data.csv", ["age", "y", "height"], spec)
    {'x': (0, 2), 'y': (1,)}
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{where}: there are several columns {twice[0]!r}; give each a name of its own")
    found: dict[str, tuple[int, ...]] = {}
    inputs = [value.name for value in spec]
    for target in (*inputs, *(name for name in LABELS if name not in inputs)):
        if places := _places(where, names, target):
            found[target] = places
    if not inputs:
        return found if len(found) == 1 else {LABELS[0]: (names.index(which_labels(where, names, "columns")),)}
    taken = {place for places in found.values() for place in places}
    free = tuple(place for place in range(len(names)) if place not in taken)
    missing = [value for value in spec if value.name not in found and not value.optional]
    if len(missing) == 1 and free and _fits(missing[0], len(free)):
        return {missing[0].name: free} | found
    if missing or free:
        parts = [f"no column for {[value.name for value in missing]}"] * bool(missing)
        parts += [f"no input for {len(free)} columns {_some(names[place] for place in free)}"] * bool(free)
        shapes = ", ".join(f"{value.name!r} {_shape(value)}" for value in spec)
        raise InputError(
            f"{where}: the columns do not match the model's inputs {shapes} ({'; '.join(parts)}); call them after the "
            f"inputs, features as name[0], name[1] …, and the labels 'y'"
        )
    return found


def _places(where: str, names: Sequence[str], target: str) -> tuple[int, ...]:
    if target in names:
        return (names.index(target),)
    numbered = re.compile(rf"{re.escape(target)}(?:\[(\d{{1,9}})\]|[._](\d{{1,9}}))")
    at = {int(hit[1] or hit[2]): place for place, name in enumerate(names) if (hit := numbered.fullmatch(name))}
    if at and sorted(at) not in ([*range(len(at))], [*range(1, len(at) + 1)]):
        gap = next(number for number in range(min(at), max(at) + 1) if number not in at) if min(at) < 2 else 0
        raise InputError(f"{where}: there is no column {target}[{gap}], though there is {names[at[max(at)]]!r}")
    return tuple(at[number] for number in sorted(at))


def _fits(value: TensorSpec, count: int) -> bool:
    sizes = value.shape[1:]
    if all(isinstance(size, int) for size in sizes):
        return not value.shape or math.prod(size for size in sizes if isinstance(size, int)) == count
    return len(sizes) == 1


def piece_of(
    where: str,
    places: Mapping[str, Sequence[int]],
    spec: Sequence[TensorSpec],
    column: Callable[[int, TensorSpec | None], Array],
) -> dict[str, Array]:
    """Rows of a table as arrays of inputs and labels. column: that of a place, for an input, or None for labels."""
    values = {value.name: value for value in spec}
    return {
        target: together(where, [column(at, values.get(target)) for at in own], values.get(target))
        for target, own in places.items()
    }


def together(where: str, columns: Sequence[Array], value: TensorSpec | None) -> Array:
    """Columns (n, …) as one array in the shape of an input, samples first; value: None for labels.

    Raises InputError where their number is another than that of its features.
    """
    made = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
    if value is None or not value.shape or made.ndim == len(value.shape) > 2:
        return made
    sizes = value.shape[1:]
    known = [size for size in sizes if isinstance(size, int)]
    nested = made.ndim > 2 and len(known) > 1  # only axes of one may come or go: others would be mixed up
    if nested and [size for size in made.shape[1:] if size != 1] != [size for size in known if size != 1]:
        raise InputError(f"{where}: {value.name!r} gets {made.shape[1:]} of a row, and the model wants {_shape(value)}")
    if len(known) == len(sizes) and made[:1].size == math.prod(known):
        return made.reshape(len(made), *known)
    if len(sizes) == 1 and made.ndim == 1:
        return made.reshape(-1, 1)
    if made.ndim != len(value.shape):
        raise InputError(
            f"{where}: {value.name!r} gets {made[:1].size} numbers of a row, and the model wants {_shape(value)}"
        )
    return made


def _shape(value: TensorSpec) -> str:
    return f"({', '.join('?' if dim is None else str(dim) for dim in value.shape)})"


def _some(names: Any) -> str:
    listed = list(names)
    return f"{listed[:SHOWN]}{' …' if len(listed) > SHOWN else ''}"
