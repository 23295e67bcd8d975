"""The constants of a model as they are compared: entries, numbers, rows and columns, and who reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.findings.difference import TensorAt
from ...ir.graph.linear import Scope
from ...ir.io.tensors import read
from ...ir.onnx_ir import onnx_ir as ir
from .quantised import dequantised, is_quantised
from .submatrix_match import Lines
from .tensor_identity import Contents, raw
from .value_numbering import Anatomy, constant_of, is_constant

__all__ = [
    *("Held", "constants_behind", "constants_of", "form_of", "is_matrix", "is_number", "is_real"),
    *("layers_of", "line_sums", "may_be_permuted", "share_name"),
]

Array = npt.NDArray[Any]

MOST_ENTRIES = 1 << 27  # of a constant that is searched for parts


@dataclass(slots=True, eq=False)
class Held:
    """A constant of one model."""

    value: ir.Value
    tensor: Any
    content: int
    at: TensorAt
    stored: str
    readers: tuple[ir.Node, ...]
    size: int = field(init=False)  # how many entries it has
    _lines: Lines | None = None
    _numbers: Array | None = None

    def __post_init__(self) -> None:
        self.size = math.prod(self.at.shape)

    def array(self) -> Array:
        """Its entries, mapped where they lie in a file."""
        return _array(self.tensor)

    def numbers(self) -> Array | None:
        """The numbers that its entries stand for, None where it is quantised and nothing tells its scale."""
        if not is_quantised(self.tensor):
            return self.array()
        if self._numbers is None:
            self._numbers = dequantised(self.value)
        return self._numbers

    def lines(self) -> Lines:
        """It as a matrix, extents of 1 left out."""
        if self._lines is None:
            self._lines = Lines(_matrix(self.array()))
        return self._lines


def constants_of(seen: Anatomy, contents: Contents) -> list[Held]:
    found = []
    for body in seen.bodies:
        initializers: Iterable[ir.Value] = getattr(body.scope.graph, "initializers", {}).values()
        made = (node.outputs[0] for node in body.scope.graph if is_constant(node))
        for stored, values in (("initializer", initializers), ("Constant node", made)):
            for value in values:
                tensor = constant_of(value)
                if tensor is not None:
                    found.append(_hold(value, tensor, contents, stored, body.scope, seen))
    return found


def _hold(value: ir.Value, tensor: Any, contents: Contents, stored: str, scope: Scope, seen: Anatomy) -> Held:
    if value not in seen.content:
        seen.content[value] = contents.of(tensor)
    at = TensorAt(
        name=f"{scope.path}{value.name}",
        dtype=tensor.dtype.name.lower(),
        shape=tuple(tensor.shape.numpy()),
        nbytes=tensor.nbytes,
    )
    readers = tuple(dict.fromkeys(node for node, _ in value.uses()))
    return Held(value, tensor, seen.content[value], at, stored, readers)


def _array(tensor: Any) -> Array:
    if tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth < 8:
        return np.asarray(read(tensor))
    array: Array = raw(tensor).view(np.dtype(tensor.dtype.numpy()))
    return array.reshape(tensor.shape.numpy())


def _matrix(array: Array) -> Array:
    kept = [extent for extent in array.shape if extent != 1]
    if len(kept) < 2:
        return array.reshape(-1, 1)
    return array.reshape(kept[0], math.prod(kept[1:]))


def layers_of(held: Held) -> Iterator[Lines]:
    """A constant as a matrix, or each matrix of a stack."""
    array = held.array()
    if array.ndim < 3 or array.shape[-1] * array.shape[-2] < 2:
        yield held.lines()
    else:
        yield from (Lines(layer) for layer in array.reshape(-1, *array.shape[-2:]))


def line_sums(lines: Lines) -> npt.NDArray[np.uint64]:
    """The sums of all rows and columns that are not empty, each once."""
    sums: npt.NDArray[np.uint64] = np.unique(np.concatenate([lines.sums(0), lines.sums(1)]))
    filled: npt.NDArray[np.uint64] = sums[sums != 0]
    return filled


def constants_behind(nodes: Iterable[ir.Node]) -> Iterator[ir.Value]:
    """Constants that nodes read, directly or through others that read constants only."""
    stack = [value for node in nodes for value in node.inputs if value is not None]
    seen: set[ir.Value] = set()
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        node = value.producer()
        if constant_of(value) is not None:
            yield value
        elif node is not None and len(node.inputs) == 1 and node.inputs[0] is not None:
            stack.append(node.inputs[0])


def may_be_permuted(was: Held, held: Held) -> bool:
    """Whether the entries of two constants of one form add up to the same, as integers: in any order they would."""
    kind = held.tensor.dtype
    if kind == ir.DataType.STRING or kind.bitwidth not in (8, 16, 32, 64):
        return False
    words = f"u{kind.bitwidth // 8}"
    sums = [int(raw(one.tensor).view(words).sum(dtype=np.uint64)) for one in (was, held)]
    return sums[0] == sums[1]


def is_number(held: Held) -> bool:
    return held.tensor.dtype not in (ir.DataType.STRING, ir.DataType.BOOL) and held.tensor.dtype.bitwidth >= 8


def is_real(held: Held) -> bool:
    """Whether entries are numbers that may stand for a weight, quantised or not."""
    kind = held.tensor.dtype
    return held.size > 1 and (kind.is_floating_point() or is_quantised(held.tensor))


def share_name(one: Held, other: Held) -> bool:
    """Whether the name of one begins with that of the other: tools that quantise append to it."""
    return one.at.name.startswith(other.at.name) or other.at.name.startswith(one.at.name)


def is_matrix(held: Held) -> bool:
    """Whether rows and columns of a constant may tell where it comes from."""
    kind = held.tensor.dtype
    return kind.is_floating_point() and kind.bitwidth in (16, 32, 64) and 1 < held.size <= MOST_ENTRIES


def form_of(at: TensorAt) -> str:
    return f"{at.dtype} {list(at.shape)}"
