"""The power or the magnitude of a transform behind it, taken where frequencies lie behind one another.

    STFT (B, F, bins, 2) ─ Slice of frames ─ ReduceSumSquare over 2     ──►   two squares and their sum, (B, bins, F)
    Conv (B, 2 · bins, F) ─ Reshape (B, 2, bins, F) ─ ReduceSumSquare         ─ Transpose ─ Slice of frames

ONNX Runtime reduces pairs of neighbours ten times as slowly as it squares and adds what lies in rows, and real and
imaginary parts need not be brought together first.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.node import NodeView
from ...ir.graph.operators import POWERS, is_standard
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from .framed import Framed

__all__ = ["Power", "power"]

PARTS = 4  # axes of a transform with real and imaginary parts apart


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """What is done behind a transform.

    reduce: what sums the squares; between: a Reshape of a convolution, or a Slice of a transform, None for nothing;
    bins: frequencies; keeps: whether the axis of the parts stays; axes: that a Slice cuts.
    """

    reduce: ir.Node
    between: ir.Node | None
    bins: int
    keeps: bool
    axes: tuple[int, ...] = ()

    @property
    def root(self) -> bool:
        """Whether it is the magnitude, which is the root of the power."""
        return self.reduce.op_type == "ReduceL2"

    def operands(self, emitter: Emitter) -> list[ir.Value | None]:
        """What a Slice reads besides the transform, its axes counted from the first."""
        assert self.between is not None
        starts, ends, _, *steps = self.between.inputs[1:]
        return [starts, ends, emitter.integers([axis % PARTS for axis in self.axes], "frames"), *steps]

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators, in order."""
        return (self.reduce,) if self.between is None else (self.between, self.reduce)


def power(one: Framed, constants: Constants) -> Power | None:
    """What takes the power of a product of frames, where nothing else reads it; None where nothing does."""
    use = only_use(one.node.outputs[0])
    if use is None or use[1] != 0:
        return None
    between: ir.Node | None = use[0] if use[0].op_type in ("Reshape", "Slice") else None
    if between is not None and (use := only_use(between.outputs[0])) is None:
        return None
    bins = one.weight.shape[1] // 2
    cut: list[int] | None = []
    if one.transform is not None:
        cut = [] if between is None else _frames_cut(NodeView(between, constants))
        fits = cut is not None
    else:
        fits = between is not None and _parts(NodeView(between, constants), bins) and one.weight.shape[1] % 2 == 0
    if not fits or use[1] != 0 or use[0].op_type not in POWERS or not is_standard(use[0]):
        return None
    node = NodeView(use[0], constants)
    axes = node.integers("axes", 1)
    axis = PARTS - 1 if one.transform is not None else 1
    if axes is None or [place % PARTS for place in axes] != [axis] or not -PARTS <= axes[0] < PARTS:
        return None
    return Power(use[0], between, bins, bool(node.attribute("keepdims", 1)), tuple(cut or ()))


def _frames_cut(node: NodeView) -> list[int] | None:
    """The axes that a Slice cuts, where it says which, and leaves the parts of a transform together; else None."""
    if node.node.op_type != "Slice" or not is_standard(node.node) or node.operand(3) is None:
        return None
    axes = node.integers("axes", 3)
    apart = axes is not None and all(-PARTS <= axis < PARTS and axis % PARTS != PARTS - 1 for axis in axes)
    return axes if apart else None


def _parts(node: NodeView, bins: int) -> bool:
    """Whether a Reshape brings (B, 2 · bins, F) to (B, 2, bins, F)."""
    if node.node.op_type != "Reshape" or not is_standard(node.node) or node.attribute("allowzero", 0):
        return False
    shape = node.integers("shape", 1)
    return shape == [0, 2, bins, -1]
