"""Activation rows: how many rows a linear multiplies at once, in each setting of a model's open dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..onnx_ir import onnx_ir as ir
from .linear import Linear
from .recurrent import Recurrent
from .shapes import Extents, shape_of, shapes_at
from .sizes import UNNAMED, Setting, extent, input_dims, open_dims

__all__ = ["Activations"]

SEQUENCES = 3  # dimensions of what a recurrent operator reads: positions, batch, features


@dataclass(frozen=True, slots=True, eq=False)
class Activations:
    """What linears of a model compute in each setting, features left out.

    Shapes are inferred with the sizes of a setting where the symbols of a shape do not tell. What is unknown even so is
    taken from the open dimensions of the inputs that a shape does not name: all its unknown extents together come to
    their product, or to the batch where no dimension is open.
    """

    model: ir.Model
    sized: Callable[[], tuple[Setting, ...]]
    inferred: list[dict[ir.Value, Extents]] = field(default_factory=list)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings, which are found where they are first asked for."""
        return self.sized()

    def of(self, linear: Linear) -> tuple[tuple[int, ...], ...]:
        """The extents of what a linear computes, in each setting; their product is its activation rows."""
        axis = linear.layout.axis_out
        return tuple(self._extents(linear.output, axis, place, None) for place in range(len(self.settings)))

    def of_sequences(self, way: Recurrent) -> tuple[tuple[int, ...], ...]:
        """(positions, batch) of what a recurrent operator reads, in each setting."""
        return tuple(self._extents(way.activation, -1, place, SEQUENCES) for place in range(len(self.settings)))

    def shape(self, value: ir.Value, place: int) -> tuple[int, ...]:
        """All extents of a value of known rank in one of the settings."""
        dims, unknown = self._known(value, place)
        return _filled(dims or (), unknown)

    def _extents(self, value: ir.Value, axis: int, place: int, rank: int | None) -> tuple[int, ...]:
        dims, unknown = self._known(value, place)
        if not dims or (rank is not None and len(dims) != rank):
            dims, axis = (None,) * (rank or 2), -1
        return _filled([dim for at, dim in enumerate(dims) if at != axis % len(dims)], unknown)

    def _known(self, value: ir.Value, place: int) -> tuple[Extents | None, int]:
        """What is known of a shape, and what its unknown extents come to together."""
        setting, shape = self.settings[place], shape_of(value)
        own = setting.sizes.get(UNNAMED) if value in self.model.graph.inputs else None
        dims = _closed(shape, setting.sizes, own)
        if dims is None or None in dims:
            dims = _merged(dims, self._at(place).get(value))
        if dims is None or None in dims:
            dims = _merged(dims, _closed(value.shape, setting.sizes, own))
        if dims is not None and None not in dims:
            return dims, 1
        axes = open_dims(input_dims(self.model))
        named = {dim for dim in map(extent, shape or ()) if not isinstance(dim, int)}
        left = (setting.sizes[name] ** count for name, count in axes.items() if name not in named)
        return dims, math.prod(left) if axes else setting.batch

    def _at(self, place: int) -> dict[ir.Value, Extents]:
        if not self.inferred:
            self.inferred.extend(shapes_at(self.model, [setting.sizes for setting in self.settings]))
        return self.inferred[place]


def _closed(shape: ir.Shape | None, sizes: Mapping[str, int], unnamed: int | None) -> Extents | None:
    """The extents of a shape with these sizes of symbols, and of dimensions without a name."""
    if shape is None:
        return None
    known = map(extent, shape)
    return tuple(dim if isinstance(dim, int) else sizes.get(dim) if dim else unnamed for dim in known)


def _merged(one: Extents | None, other: Extents | None) -> Extents | None:
    """What either says of a shape, the first where both do."""
    if one is None or other is None or len(one) != len(other):
        return other if one is None else one
    return tuple(b if a is None else a for a, b in zip(one, other, strict=True))


def _filled(extents: Sequence[int | None], unknown: int) -> tuple[int, ...]:
    """The extents with numbers for what is unknown, which come to `unknown` together, or as few more as can be."""
    count = extents.count(None)
    if not count:
        return tuple(max(extent or 1, 1) for extent in extents)
    each = max(1, round(unknown ** (1 / count)))
    first = extents.index(None)
    filled = [max(each if extent is None else extent, 1) for extent in extents]
    filled[first] = max(1, -(-unknown // each ** (count - 1)))
    return tuple(filled)
