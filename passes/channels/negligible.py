"""What is too small to matter: entries that may be flushed to zero, and what the rounding of a bias swallows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.graph.linear import only_use
from ...ir.graph.operators import CONVOLUTIONS, VECTOR_BIASED, WEIGHTED, is_one_of, is_standard
from ...ir.onnx_ir import onnx_ir as ir
from .bounds.forward import Facts
from .bounds.interval import Bools, Floats
from .bounds.products import weight_of

__all__ = ["Negligible", "Swallowed"]

SMALLEST_NORMAL = {ir.DataType.FLOAT: 2.0**-126, ir.DataType.BFLOAT16: 2.0**-126, ir.DataType.DOUBLE: 2.0**-1022}
# Of sums, which are of 32 bits at least wherever the numbers are of 16.
ROUNDOFF = {ir.DataType.DOUBLE: 2.0**-53}
SUMS = 2.0**-24
SURE = 1.01  # times what bounds say, which are those of exact arithmetic


@dataclass(frozen=True, slots=True, eq=False)
class Swallowed:
    """What may be left out of a product for the sake of its bias: how large each input is at most, of scale and all,
    and how much of one input each result swallows; (groups, in, 1) and (groups, 1, out)."""

    #     y = Σ x_j w_j + b, of K terms          is computed up to γ Σ |x_j w_j| + u |Σ x_j w_j + b| ≥ u |b|, so that
    #     |x_j| ≤ B,  B |w_j| ≤ u |b| / K        terms that go, K of them at most, change it by no more than u |b|
    largest: Floats
    ceiling: Floats

    def spares(self, sizes: Floats, few: int) -> Bools:
        """Which inputs may be left out of which of the first few results; sizes: (groups, in, few), of the weights that
        each is multiplied by all together."""
        with np.errstate(invalid="ignore"):  # of what has no bounds nothing is spared
            return np.asarray(sizes * self.largest <= self.ceiling[:, :, :few])


@dataclass(frozen=True, slots=True)
class Negligible:
    """What counts as nothing; exact: whether that is only what is zero."""

    exact: bool

    def below(self, facts: Facts, value: ir.Value) -> float:
        """The size up to which entries of a weight are nothing, whatever they are multiplied by."""
        # Nothing is known of what that is, so only what processors may flush to zero themselves.
        if self.exact or value.producer() is not None:
            return 0.0
        return SMALLEST_NORMAL.get(facts.sizes.constants.describe(value)[1], 0.0)

    def swallowed(
        self, facts: Facts, weight: Operand, largest: Floats, groups: int, kind: ir.DataType
    ) -> Swallowed | None:
        """What a bias swallows of a product whose inputs are at most so large; None where that is nothing."""
        node = weight.node
        # A bias lies along the results of a weight on the right.
        if self.exact or node in facts.quantised or weight.index != 1 or not np.isfinite(largest).any():
            return None
        bias = _bias(RuleView(node, facts.sizes.constants, facts.sizes))
        if bias is None or not bias.any():
            return None
        terms = largest.size // groups
        ceiling = ROUNDOFF.get(kind, SUMS) * bias / terms
        return Swallowed(
            (SURE * largest).reshape(groups, -1, 1), ceiling.reshape(groups if bias.size > 1 else 1, 1, -1)
        )


def _bias(view: RuleView) -> Floats | None:
    """How large a constant that is added to a product is at least, for each result or for all; None where none is."""
    node = view.node
    if is_one_of(node, CONVOLUTIONS) or is_one_of(node, WEIGHTED):
        added = weight_of(view, 2)
        scale = float(view.attribute("beta", 1.0)) if node.op_type in WEIGHTED else 1.0
        return None if added is None else abs(scale) * _least(view, added)
    if (use := only_use(node.outputs[0])) is None:
        return None
    reader, place = use
    if not (is_standard(reader) and reader.op_type == "Add") and not (is_one_of(reader, VECTOR_BIASED) and not place):
        return None
    added = reader.inputs[1 - place] if len(reader.inputs) == 2 else None
    return _least(view, added) if added is not None and added in view.constants else None


def _least(view: RuleView, added: ir.Value) -> Floats:
    """The least size along the last axis, wherever else it is."""
    held = np.abs(view.constants.read(added).astype(np.float64))
    found: Floats = held.reshape(-1, held.shape[-1] if held.ndim else 1).min(axis=0)
    return found
