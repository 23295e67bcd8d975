"""Which constants of a model are trained, and as what: blocks, whole weights with entries that stay zero, vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.operators import ARITHMETIC, NORMS, SKIP_NORMS, is_one_of, is_standard
from ....ir.graph.survey import Survey
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Decomposition
from ....ir.plan.step import Step
from ....ir.reason import Cause, Reason
from ....passes.lowering.linear.lowerings import ON_ANY, lowering_of

__all__ = ["BlockRole", "Held", "Roles", "roles_of"]

FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
IN_BLOCKS = frozenset({"MatMul", "Gemm"})  # operators whose product blocks take the place of
NORMALISING = NORMS | {"BatchNormalization", "InstanceNormalization", "GroupNormalization"}
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BlockRole:
    """A linear whose weight is blocks. leaf: the stored constant; order: its axes as the node reads it."""

    linear: Linear
    leaf: ir.Value
    order: tuple[int, ...]
    decomposition: Decomposition


@dataclass(frozen=True, slots=True)
class Held:
    """A linear whose weight stays as it is, and why. node: its address."""

    node: str
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """blocks: by node; whole: stored constants that are trained, each with the entries that may move where some may
    not; held: linears that are not trained."""

    blocks: dict[ir.Node, BlockRole]
    whole: dict[ir.Value, Mask | None]
    held: tuple[Held, ...]

    @property
    def trained(self) -> frozenset[ir.Value]:
        """All stored constants that training changes."""
        return frozenset(self.whole) | {role.leaf for role in self.blocks.values()}


def roles_of(model: ir.Model, found: Survey, steps: dict[str, Step]) -> Roles:
    """What is trained of a model.

    steps: of a plan, by address, whose blocks are kept: entries outside of them stay zero. Trained are the weights and
    biases of linears, and scales and shifts of norms; tables that are looked up, masks and single numbers stay. A
    weight that several nodes read stays one. A linear is held where its weight is computed from what is stored by more
    than turning it, where it stands in a function, or is to be written in a way that not every weight can be.
    """
    held: list[Held] = []
    frozen = set(_needed(found, steps))
    places: list[tuple[Linear, ir.Value, tuple[int, ...]]] = []
    for linear in found.linears:
        at = _stored(linear.weight, model, found)
        step = steps.get(linear.address)
        if at is None or at[0] in frozen:
            special = step is not None and step.lowering != "dense" and not _any_weight(step)
            text = "its lowering needs the weight that it has" if special else "its weight is not stored as it is read"
            held.append(Held(linear.address, Reason(Cause.UNSUPPORTED, text)))
        else:
            places.append((linear, *at))
    whole: dict[ir.Value, Mask | None] = {}
    blocks: dict[ir.Node, BlockRole] = {}
    for linear, leaf, order in places:
        step = steps.get(linear.address)
        split = None if step is None or step.lowering == "dense" else step.decomposition
        if split is not None and _alone(linear) and linear.op in IN_BLOCKS:
            blocks[linear.node] = BlockRole(linear, leaf, order, split)
            continue
        mask = None if split is None else _as_stored(split.inside(), linear, leaf, order, found)
        known = whole.get(leaf)
        whole[leaf] = mask if known is None else known if mask is None else known & mask
    for value in _vectors(model, found):
        if value not in frozen:
            whole.setdefault(value, None)
    return Roles(blocks, whole, tuple(held))


def _any_weight(step: Step) -> bool:
    """Whether a step can be carried out whatever numbers are inside of its blocks."""
    return not (ON_ANY if step.lowering in ("region", "cells") else lowering_of(step.lowering)).needs


def _needed(found: Survey, steps: dict[str, Step]) -> Iterator[ir.Value]:
    """Stored constants that have to stay: what weights of split linears are computed from, or must be as they are."""
    for linear in found.linears:
        step = steps.get(linear.address)
        if step is None or step.lowering == "dense":
            continue
        leaves = found.constants.leaves(linear.weight)
        if not _any_weight(step) or _turned(linear.weight, found) is None:
            yield from leaves
    for way in found.recurrents:
        for value in way.node.inputs[1:]:
            if value is not None and value in found.constants:
                yield from found.constants.leaves(value)


def _turned(value: ir.Value, found: Survey) -> tuple[ir.Value, tuple[int, ...]] | None:
    """The stored constant that a value is, and its axes in the order of the value; None where more is done to it."""
    order = tuple(range(len(found.constants.describe(value)[0])))
    while (node := value.producer()) is not None and node.op_type != "Constant":
        if not is_standard(node) or node.op_type not in ("Identity", "Transpose") or node.inputs[0] is None:
            return None
        if node.op_type == "Transpose":
            perm = node.attributes.get("perm")
            own = tuple(reversed(range(len(order)))) if perm is None else tuple(perm.as_ints())
            order = tuple(own[axis] for axis in order)
        value = node.inputs[0]
    return value, order


def _stored(value: ir.Value, model: ir.Model, found: Survey) -> tuple[ir.Value, tuple[int, ...]] | None:
    """The same where that constant can be trained and written back: a plain one of the main graph."""
    at = _turned(value, found) if value in found.constants else None
    if at is None:
        return None
    leaf, node = at[0], at[0].producer()
    home = leaf.graph if node is None else node.graph
    plain = node is None or "value" in node.attributes
    fits = home is model.graph and plain and not leaf.is_graph_output() and not found.constants.is_ambiguous(leaf)
    return at if fits and bool(leaf.name) and found.constants.describe(leaf)[1] in FLOATS else None


def _alone(linear: Linear) -> bool:
    """Whether nobody else reads the weight of a plain product."""
    value: ir.Value | None = linear.weight
    if linear.slices or linear.picked is not None or linear.layout.kind == "conv":
        return False
    while value is not None:
        if len(value.uses()) != 1 or value.is_graph_output():
            return False
        node = value.producer()
        value = node.inputs[0] if node is not None and node.op_type != "Constant" else None
    return True


def _as_stored(inside: Mask, linear: Linear, leaf: ir.Value, order: tuple[int, ...], found: Survey) -> Mask:
    """Entries (K, N) of a canonical weight as those of the constant that stores it."""
    matrix = inside.T if linear.transposed else inside
    shape = found.constants.describe(linear.weight)[0]
    if linear.slices and linear.layout.kind != "conv":
        matrix = np.broadcast_to(matrix, shape)
    else:
        matrix = np.broadcast_to(matrix.reshape(*matrix.shape, *[1] * (len(shape) - 2)), shape)
    return np.ascontiguousarray(np.transpose(matrix, np.argsort(order)))


def _vectors(model: ir.Model, found: Survey) -> Iterator[ir.Value]:
    """Biases of linears, scales and shifts of norms, and vectors that are added or multiplied."""
    wanted: list[Any] = [linear.bias.value for linear in found.linears if linear.bias is not None]
    for node in model.graph:
        if is_standard(node) and node.op_type in NORMALISING:
            wanted += node.inputs[1:3]
        elif is_one_of(node, SKIP_NORMS):
            wanted += node.inputs[2:]
        elif is_standard(node) and node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            wanted += node.inputs[2:3]
        elif is_standard(node) and node.op_type in ARITHMETIC and node.op_type in ("Add", "Mul"):
            given = [value for value in node.inputs if value is not None and value in found.constants]
            wanted += [value for value in given if len(given) == 1 and len(found.constants.describe(value)[0]) == 1]
    for value in wanted:
        at = None if value is None else _stored(value, model, found)
        if at is not None and int(np.prod(found.constants.describe(at[0])[0])) > 1:
            yield at[0]
