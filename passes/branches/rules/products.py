"""Products: one weight for all branches, a weight for each in a stack, or their columns side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ....ir.graph.constants import Constants
from ....ir.graph.operators import STORING
from ....ir.onnx_ir import onnx_ir as ir
from ..packing.packed import Pack, Packed, Result
from ..packing.recipe import Made, Ref, integers
from .pointwise import pointwise

__all__ = ["gemm", "matmul"]

ZEROS = 14  # operator set from which on a Reshape can be told that a zero is one


def matmul(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """The products of all branches.

    one weight            (B, …, M, K) · (K, N)
    a weight each         (B, …, M, K) · (B, …, K, N)
    one input             (…, M, K) · (K, B N), the results one after another on the last axis
    """
    left, right = operands
    if left is None or right is None:
        return None
    if right.kind == "fixed":
        return _product(pack, left, right, transposed=False)
    if left.kind == "fixed":
        rank = right.rank
        if rank is None or rank < 2 or not _plain(left, pack.constants) or len(pack.shape_of(left)) != 2:
            return None
        other = right.ref if right.kind == "same" else pack.stacked(right)
        weight = left.values[0] if pack.equal(left) else pack.stacked_constant(left, rank)
        if other is None or weight is None or (right.kind == "same" and weight is left.values[0]):
            return None
        return pack.made("MatMul", weight, other), "stack"
    refs = [one.ref if one.kind == "same" else pack.stacked(one) for one in (left, right)]
    alike = left.rank == right.rank and (left.rank or 0) >= 2
    return (pack.made("MatMul", *refs), "stack") if alike and None not in refs else None


def gemm(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """A product and the bias behind it, where no factor scales them."""
    one = pack.view
    if one.attribute("alpha", 1.0) != 1.0 or one.attribute("beta", 1.0) != 1.0 or one.attribute("transA", 0):
        return None
    left, right, *rest = operands
    if left is None or right is None or right.kind != "fixed" or left.rank != 2:
        return None
    found = _product(pack, left, right, transposed=bool(one.attribute("transB", 0)))
    if found is None or not rest or rest[0] is None:
        return found
    bias = rest[0]
    if bias.kind != "fixed":
        return None
    outputs = tuple(node.outputs[0] for node in pack.nodes)
    return _added(pack, Packed(outputs, found[1], found[0]), bias)


def _added(pack: Pack, product: Packed, bias: Packed) -> Result:
    """The sum of the products and their biases."""
    found = pointwise(pack, [product, bias])
    if found is None or not isinstance(found[0], Made):
        return None
    return pack.made("Add", *found[0].inputs), found[1]


def _product(pack: Pack, left: Packed, right: Packed, *, transposed: bool) -> Result:
    rank, shape = left.rank, pack.shape_of(right)
    if rank is None or rank < 2 or len(shape) != 2 or not _plain(right, pack.constants):
        return None
    same = pack.equal(right)
    if rank == 2 and pack.turns and left.kind in ("same", "turned") and not (same and left.kind == "same"):
        return _turned(pack, left, right, transposed=transposed)
    if left.kind == "same":
        if same:
            return None  # the same product several times
        weight: Ref = pack.joined_constant(right, shape[0] if transposed else shape[1], transposed=transposed)
        return pack.made("MatMul", left.ref, weight), "join"
    stacked = pack.stacked(left)
    if stacked is None:
        return None
    if not same:
        own = _own(pack, left, stacked, right, transposed=transposed)
        return None if own is None else (own, "stack")
    weight = right.values[0]
    if transposed:
        weight = Made("Transpose", (weight,), weight, 1, {"perm": [1, 0]})
    return pack.made("MatMul", stacked, weight), "stack"


def _own(pack: Pack, left: Packed, stacked: Ref, right: Packed, *, transposed: bool) -> Ref:
    """The product of each branch with a weight of its own; None where it has no form that runs without rows.

    (B, n, …, M, K) · (B, 1, …, K, N)                      where there is surely something to multiply
    (B, n … M, K) · (B, K, N)  ──►  (B, n, …, M, N)        else: ONNX Runtime (1.31) stretches no 1 to a 0
    """
    shape, weight = left.shape, pack.shape_of(right)
    K, N = weight[::-1] if transposed else weight
    if shape is None or all(shape[:-2]) or not K or not N:
        return pack.made("MatMul", stacked, pack.stacked_constant(right, left.rank or 0, transposed=transposed))
    rows = pack.made("Reshape", stacked, integers([pack.lanes, -1, K], "rows"), like=left.values[0])
    product = pack.made("MatMul", rows, pack.stacked_constant(right, 2, transposed=transposed))
    before = shape[:-1]
    if before.count(None) == 1 and 0 not in before:
        target = [-1 if one is None else one for one in before]
        return pack.made("Reshape", product, integers([pack.lanes, *target, N], "shape"))
    if pack.opset < ZEROS:  # a zero of an extent would copy another one
        return None
    return pack.made("Reshape", product, pack.extents(stacked, len(shape), [N]), allowzero=1)


def _turned(pack: Pack, left: Packed, right: Packed, *, transposed: bool) -> Result:
    """The transposes of the products: an input that several branches read is multiplied once with all their weights.

    (B, N, K) · (B, K, M)        (T, c N, K) · (T, K, M)  ──►  (T c, N, M)
    """
    width = pack.shape_of(right)[0 if transposed else 1]
    each = pack.lanes if left.kind == "same" else left.each
    source = left.ref
    if left.kind == "same":
        whole = pack.made("Transpose", source, like=left.values[0], perm=[1, 0])
        source = pack.moved("Unsqueeze", whole, [0], like=left.values[0])
    product = pack.made("MatMul", pack.turned_constant(right, transposed=transposed, each=each), source)
    if each == 1:
        return product, "turned"
    return pack.made("Reshape", product, integers([pack.lanes, width, -1], "shape")), "turned"


def _plain(weights: Packed, constants: Constants) -> bool:
    """Whether some weights are stored as they are read, nothing quantised, and nobody else's."""
    return all(map(_stored, weights.values)) and not any(map(constants.has_ambiguous_leaf, weights.values))


def _stored(value: ir.Value) -> bool:
    node = value.producer()
    if node is None or node.op_type == "Constant":
        return True
    return node.op_type in STORING and all(one is None or _stored(one) for one in node.inputs)
