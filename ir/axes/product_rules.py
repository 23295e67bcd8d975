"""Rules of products: axes that are summed over have no order, the others go on."""

from __future__ import annotations

from collections.abc import Callable

from .axis_rule import AxisRef, AxisRule, RuleView, UnknownRuleError, makes, reads

__all__ = ["PRODUCT_RULES"]


def _matmul(view: RuleView) -> AxisRule:
    """a b, of any ranks; the fused form transposes the last two axes."""
    ranks = a, b = view.rank(0), view.rank(1)
    if view.attribute("transBatchA", 0) or view.attribute("transBatchB", 0) or 0 in ranks:
        raise UnknownRuleError("is an unusual product")
    # Counted from the last: (rows, K) and (K, columns), turned where the fused form says so; a vector has K alone.
    rows, inner_a = (a - 1, a - 2) if view.attribute("transA", 0) and a > 1 else (a - 2, a - 1)
    columns, inner_b = (b - 2, b - 1) if view.attribute("transB", 0) and b > 1 else (b - 1, b - 2)
    inner = (reads(inner_a), reads(inner_b if b > 1 else 0, 1))
    batches = max(a - 2, b - 2, 0)
    same = [
        (
            *(reads(axis - (batches - own + 2), index) for index, own in enumerate(ranks) if axis >= batches - own + 2),
            makes(axis),
        )
        for axis in range(batches)
    ]
    rank = batches
    for own, outer in ((a, reads(rows)), (b, reads(columns, 1))):
        if own > 1:
            same.append((outer, makes(rank)))
            rank += 1
    return AxisRule(same=(*same, inner), mixed=frozenset(inner), ranks={0: rank})


def _quantised(view: RuleView) -> AxisRule:
    """A product of integers: scales and zero points are one number, or one for each column of the weight."""
    is_linear = view.node.op_type == "QLinearMatMul"
    right, columns, scalars = (3, (4, 5), (1, 2, 6, 7)) if is_linear else (1, (3,), (2,))
    a, b = view.rank(0), view.rank(right)
    told = [index for index in (*columns, *scalars) if view.operand(index) is not None]
    several = [index for index in told if any(extent != 1 for extent in view.extents(index))]
    if a < 2 or b != 2 or any(index not in columns or view.rank(index) != 1 for index in several):
        raise UnknownRuleError("is an unusual product")
    inner = (reads(a - 1), reads(0, right))
    outer = (reads(1, right), *(reads(0, index) for index in several), makes(a - 1))
    rows = ((reads(axis), makes(axis)) for axis in range(a - 1))
    return AxisRule(same=(*rows, outer, inner), mixed=frozenset(inner), ranks={0: a})


def _packed(view: RuleView) -> AxisRule:
    """MatMulNBits: columns of the weight are the first axis of what is stored; along the other one blocks have scales.

    The entries of a block have to stay together, so that features that are multiplied have an order.
    """
    rank = view.rank(0)
    if view.operand(4) is not None or any(view.rank(index) != 2 for index in (2, 3) if view.operand(index) is not None):
        raise UnknownRuleError("has scales without a dimension for columns, or an order of its own")
    stored = [reads(0, index) for index in (1, 2, 3, 5) if view.operand(index) is not None]
    rows = ((reads(axis), makes(axis)) for axis in range(rank - 1))
    return AxisRule(same=(*rows, (*stored, makes(rank - 1))), ranks={0: rank})


def _gemm(view: RuleView) -> AxisRule:
    rows, inner_a = (1, 0) if view.attribute("transA", 0) else (0, 1)
    columns, inner_b = (0, 1) if view.attribute("transB", 0) else (1, 0)
    added = view.rank(2) if view.operand(2) is not None else 0
    if view.rank(0) != 2 or view.rank(1) != 2 or added > 2:
        raise UnknownRuleError("is an unusual product")
    # What is added broadcasts: its last axis lies along the columns, one before that along the rows.
    # A vector has no other; a number, of no axes, is in no group.
    row = (reads(rows), makes(0), *([reads(0, 2)] if added == 2 else []))
    column = (reads(columns, 1), makes(1), *([reads(added - 1, 2)] if added else []))
    inner = (reads(inner_a), reads(inner_b, 1))
    return AxisRule(same=(row, column, inner), mixed=frozenset(inner), ranks={0: 2})


def _conv(view: RuleView) -> AxisRule:
    """Windows over all axes but the first two, of all channels, or of each channel alone."""
    rank, weight, group = view.rank(0), view.extents(1), view.attribute("group", 1)
    if len(weight) != rank or view.operand(3) is not None:
        raise UnknownRuleError("is an unusual convolution")
    channel, batch = reads(1), (reads(0), makes(0))
    kernels = (reads(0, 1), makes(1), *([reads(0, 2)] if view.operand(2) is not None else []))
    # Kernels are written along the channels of y. Where all channels go into each, they are summed over like K of a
    # product; where each channel has kernels of its own, as many as there are channels, it is one order for all three.
    if group == 1:
        inner = (channel, reads(1, 1))
        return AxisRule(same=(batch, kernels, inner), mixed=frozenset(inner), ranks={0: rank})
    if weight[0] == group and weight[1] == 1:
        return AxisRule(same=(batch, (channel, *kernels)), ranks={0: rank})
    raise UnknownRuleError("is a convolution in groups")


def _einsum(view: RuleView) -> AxisRule:
    """All axes of one letter; a letter that the result lacks is summed over."""
    terms, arrow, out = str(view.attribute("equation", "")).replace(" ", "").partition("->")
    if "." in terms + out:
        raise UnknownRuleError("broadcasts in an Einsum")
    if not arrow:
        out = "".join(sorted(letter for letter in set(terms) - {","} if terms.count(letter) == 1))
    names = terms.split(",")
    if [len(term) for term in names] != [view.rank(index) for index in view.present]:
        raise UnknownRuleError("is an unusual Einsum")
    found: dict[str, list[AxisRef]] = {}
    for index, term in enumerate(names):
        for axis, letter in enumerate(term):
            found.setdefault(letter, []).append(reads(axis, index))
    mixed = frozenset(ref for letter, refs in found.items() if letter not in out for ref in refs)
    for axis, letter in enumerate(out):
        found.setdefault(letter, []).append(makes(axis))
    return AxisRule(same=tuple(map(tuple, found.values())), mixed=mixed, ranks={0: len(out)})


PRODUCT_RULES: dict[str, Callable[[RuleView], AxisRule]] = {
    **dict.fromkeys(("MatMul", "FusedMatMul"), _matmul),
    **dict.fromkeys(("Gemm", "FusedGemm"), _gemm),
    **dict.fromkeys(("MatMulInteger", "QLinearMatMul"), _quantised),
    "Conv": _conv,
    "Einsum": _einsum,
    "MatMulNBits": _packed,
}
