"""New nodes before they are any: what is to be made out of what, so that it can be priced before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["Fixed", "Made", "Ref", "copied", "in_order", "integers", "turned_back"]


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A new constant: its shape, and what makes it when it is needed; role: what it is for."""

    shape: tuple[int, ...]
    make: Callable[[], npt.NDArray[Any]]
    role: str


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """The output of a new node.

    like: a value of one branch, of which it holds as many elements as `lanes` times; of 0 times it holds the extents;
    slot: which of the node's outputs it is, of which no other is read.
    """

    op: str
    inputs: tuple[Ref, ...]
    like: ir.Value
    lanes: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    slot: int = 0


Ref: TypeAlias = "ir.Value | Fixed | Made | None"


def integers(values: Iterable[int], role: str) -> Fixed:
    """A new constant of one dimension."""
    array = np.asarray(list(values), np.int64)
    return Fixed(array.shape, lambda: array, role)


def turned_back(value: Ref, order: Sequence[int]) -> Ref:
    """What a value was before a Transpose that another one in this order undoes; None where there is none."""
    if not isinstance(value, Made) or value.op != "Transpose" or "perm" not in value.attributes:
        return None
    first = value.attributes["perm"]
    perm = list(first.as_ints() if isinstance(first, ir.Attr) else first)
    return value.inputs[0] if [perm[axis] for axis in order] == list(range(len(perm))) else None


def copied(before: Sequence[int | None], behind: Sequence[int]) -> list[int] | None:
    """What tells a Reshape that its first extents stay; None where others cannot follow: of nothing none does.

    >>> copied([None, 3], [4]), copied([2, 3], [-1]), copied([None, 3], [-1])
    ([0, 0], [2, 3], None)
    """
    if -1 not in behind:
        return [0] * len(before)
    known = [extent for extent in before if extent]
    return known if len(known) == len(before) else None


def in_order(ends: Iterable[Ref]) -> list[Made | Fixed]:
    """All that some results are made of, inputs first, each once; what leads to none of them is left out."""
    done: dict[Made | Fixed, None] = {}
    stack: list[Ref] = list(ends)[::-1]
    while stack:
        top = stack[-1]
        if not isinstance(top, Made | Fixed) or top in done:
            stack.pop()
        elif isinstance(top, Made) and (
            missing := [one for one in top.inputs if isinstance(one, Made | Fixed) and one not in done]
        ):
            stack.extend(reversed(missing))
        else:
            done[top] = None
            stack.pop()
    return list(done)
