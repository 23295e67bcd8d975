"""Constants that a rewrite has stored already, by what they hold: equal ones are stored once, whoever reads them."""

from __future__ import annotations

import zlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["Sharing"]

Array = npt.NDArray[Any]
Key: TypeAlias = tuple[object, ir.DataType, tuple[int, ...], int]


class Sharing:
    """New constants of one model, by place and content.

    >>> held, kept = (ir.Value(name=n, const_value=ir.tensor([1, 2])) for n in "ab"), Sharing()
    >>> [kept.first(one, None).name for one in held]
    ['a', 'a']
    """

    def __init__(self) -> None:
        self._known: dict[Key, list[tuple[ir.Value, Array]]] = {}

    def first(self, value: ir.Value, place: object) -> ir.Value:
        """The first constant of a place that holds the same type, shape and bytes: `value` itself where it is new.

        place: where constants can be read from, such as a graph.
        """
        tensor = value.const_value
        assert tensor is not None
        held = _bytes(tensor)
        key = (place, tensor.dtype, tuple(tensor.shape.numpy()), zlib.crc32(held.data))
        known = self._known.setdefault(key, [])
        for one, bytes_ in known:
            if np.array_equal(bytes_, held):
                return one
        known.append((value, held))
        return value


def _bytes(tensor: ir.TensorProtocol) -> Array:
    """What a tensor holds, byte for byte: zeros of either sign and every NaN for themselves."""
    return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
