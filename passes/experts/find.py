"""The feed-forward networks of a model whose hidden units may be experts, and why others may not."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.axes.ffn import Ffn, find_ffns
from ...ir.graph.linear import Linear
from ...ir.graph.operators import is_one_of
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.reason import Cause, Reason

__all__ = ["ExpertPlace", "find_places"]

ZEROING = frozenset({"Relu"})  # functions that are exactly zero for half of all numbers
OPSET = 13  # Split by sizes that are computed

TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpertPlace:
    """y = relu(x U + a) V + b in a graph: the two linears and the operator between them."""

    up: Linear
    relu: ir.Node
    down: Linear

    @property
    def shape(self) -> tuple[int, int, int]:
        """(d, H, d')."""
        return (*self.up.shape, self.down.shape[1])


def find_places(seen: Survey) -> tuple[tuple[ExpertPlace, ...], tuple[Skipped, ...]]:
    """(Networks whose units may be experts, in their order; the others with the reason). Reads no weight."""
    places: list[ExpertPlace] = []
    skipped: list[Skipped] = []
    for ffn in find_ffns(seen.linears, seen.constants):
        reason = _why_not(ffn)
        if reason is None:
            up, down = ffn.ups[0], ffn.downs[0]
            relu = down.activation.producer()
            assert relu is not None
            places.append(ExpertPlace(up=up, relu=relu, down=down))
        else:
            up, size = ffn.ups[0], ffn.shape
            skipped.append(Skipped(up.address, up.op, reason, size[1] * (size[0] + size[2])))
    return tuple(places), tuple(skipped)


def _why_not(ffn: Ffn) -> Reason | None:
    if ffn.gate is not None or len(ffn.ups) > 1:
        return Reason(Cause.UNSUPPORTED, "its hidden units are gated, or in several products")
    up, down = ffn.ups[0], ffn.downs[0]
    between = down.activation.producer()
    if between is None or not is_one_of(between, ZEROING) or between.inputs[0] is not up.output:
        name = "nothing" if between is None else str(between.op_type)
        return Reason(Cause.NOT_SPARSE, f"{name} stands between its products, which hands on few zeros; ReLU would")
    for one in (up, down):
        odd = one.alpha != 1 or one.beta != 1 or one.addend is not None or one.fused or one.slices or one.picked
        via = one.bias is not None and one.bias.via is not None
        if odd or via or one.layout.kind != "rows" or one.is_dequantised or one.in_function:
            return Reason(Cause.UNSUPPORTED, f"{one.address} is no plain product of rows with a weight")
    if up.dtype not in TYPES:
        return Reason(Cause.DATA_TYPE, f"its numbers are {up.dtype.name}, which ONNX Runtime runs no experts of")
    if up.opset < OPSET:
        return Reason(
            Cause.OPERATOR_SET, f"operator set {up.opset} has no Split by sizes that are computed; {OPSET} has"
        )
    return None
