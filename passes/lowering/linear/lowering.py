"""How a decomposition is written in operators: the nodes that stand in for one dense linear.

split    for blocks that lie one after another: Split along the features, the operator itself once for each block with
         its part of the weight, Concat. No index work, no change of layout.
scatter  for all others: the activation is brought to features-first layout (K, M), because gathering rows copies whole
         rows while gathering columns copies single elements; then Gather the rows of each block, multiply, and put the
         results back in their places, by one Gather with the inverse permutation, measured to be faster than
         ScatterND into zeros, or where outputs are dormant by ScatterND into the zero channel, which holds the bias.
gather   stays on the last axis: one permutation of the whole activation by GatherElements, then as `split`, and one
         permutation back.
batched  one product of three dimensions for all blocks, which are padded to one shape; features first as in `scatter`.
grouped  one convolution of one pixel with a group for each block, padded to one shape.
select   for a weight that only picks features: one Gather, no product.
scatternd  literally Gather, MatMul of each block, ScatterND into the zero channel; only where it is asked for, since
         `scatter` computes the same with fewer copies.

Convolutions of one pixel are lowered like `split` by `scatter` too: their features lie on axis 1, so that whole planes
are copied anyway, and strides and pads stay with the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition, LoweringName
from ...decompose.blocks import has_windows, is_contiguous
from ..nodes.emitter import Emitter
from ..nodes.last_axis import GATHER_ELEMENTS
from .batched import batched, padded_shape
from .grouped import grouped
from .per_block import is_native, native
from .permute import gather
from .scatter import scatter
from .scatternd import scatternd
from .select import select

__all__ = ["ALONE", "ASKED", "absorb_dormant", "absorbs", "apart", "lower", "misfit", "problem", "suited"]

ALONE: tuple[LoweringName, ...] = ("split", "scatter", "gather", "batched", "grouped", "select")  # of one linear alone
ASKED: tuple[LoweringName, ...] = ("scatternd",)  # taken only where somebody asks for it
BESIDE: tuple[LoweringName, ...] = ("scatter", "batched")  # that can add single entries

SCATTER_ND = 11  # operator set that brought ScatterND
MINIMUM = 7  # operator set that brought today's broadcasting


def problem(linear: Linear, lowering: LoweringName = "scatter") -> str | None:
    """Why a linear cannot be lowered in this way, whatever its blocks, and what to do; None when it can."""
    if linear.opset < MINIMUM:
        return f"operator set {linear.opset} is older than {MINIMUM}; convert the model to a newer one"
    if linear.dtype == ir.DataType.FLOAT16 and _feeds_turned_product(linear.output):
        return "a float16 Transpose and MatMul behind it would be fused, on which ONNX Runtime 1.31 crashes"
    if lowering in ("split", "scatter"):
        return None
    if lowering not in NOT:
        return f"'{lowering}' is no lowering of a linear alone; use 'scatter'"
    return NOT[lowering](linear)


def _not_gather(linear: Linear) -> str | None:
    if linear.layout.kind != "rows":
        return "'gather' needs the features on the last axis; use 'scatter'"
    if linear.opset < GATHER_ELEMENTS:
        return f"'gather' needs operator set {GATHER_ELEMENTS}, the model has {linear.opset}; use 'scatter'"
    return None


def _not_batched(linear: Linear) -> str | None:
    if linear.layout.kind == "conv":
        return "'batched' multiplies matrices, not images; use 'grouped' or 'scatter'"
    return _not_stacked(linear, "batched")


def _not_grouped(linear: Linear) -> str | None:
    if linear.layout.kind == "axes":
        return "'grouped' needs the features on the last axis or on that of channels; use 'batched' or 'scatter'"
    if linear.layout.kind == "rows" and linear.dtype != ir.DataType.FLOAT:
        return f"ONNX Runtime convolves float32 on a CPU, not {linear.dtype.name.lower()}; use 'batched' or 'scatter'"
    return _not_stacked(linear, "grouped")


def _not_stacked(linear: Linear, lowering: LoweringName) -> str | None:
    if linear.fused:
        return f"'{lowering}' cannot compute the activation function of {linear.op}; use 'scatter'"
    maker = linear.weight.producer()
    if maker is not None and maker.op_type == "DequantizeLinear":
        return f"'{lowering}' would store its quantised weight in floating point; use 'scatter'"
    return None


def _not_select(linear: Linear) -> str | None:
    if linear.fused:
        return f"'select' cannot compute the activation function of {linear.op}; use 'scatter'"
    if float(np.asarray(linear.alpha, linear.dtype.numpy())) != linear.alpha:
        return f"its factor {linear.alpha} is no {linear.dtype.name.lower()}; use 'scatter'"
    if linear.layout.kind == "conv" and not _keeps_pixels(linear.node):
        return "'select' keeps all pixels, and this convolution has strides or pads; use 'scatter'"
    return None


def _not_scatternd(linear: Linear) -> str | None:
    if linear.opset < SCATTER_ND:
        return f"ScatterND came with operator set {SCATTER_ND}, the model has {linear.opset}; use 'scatter'"
    if linear.fused:
        return f"'scatternd' cannot compute the activation function of {linear.op}; use 'scatter'"
    if linear.layout.kind == "conv" and not _keeps_pixels(linear.node):
        return "'scatternd' keeps all pixels, and this convolution has strides or pads; use 'scatter'"
    if linear.layout.kind == "conv" and linear.layout.rank is None:
        return "'scatternd' brings channels to the front, and the rank of this convolution is unknown; use 'scatter'"
    return None


NOT: dict[LoweringName, Callable[[Linear], str | None]] = {
    "gather": _not_gather,
    "batched": _not_batched,
    "grouped": _not_grouped,
    "select": _not_select,
    "scatternd": _not_scatternd,
}


def _keeps_pixels(node: ir.Node) -> bool:
    strides, pads = node.attributes.get("strides"), node.attributes.get("pads")
    return not (strides and any(s != 1 for s in strides.as_ints())) and not (pads and any(pads.as_ints()))


def suited(linear: Linear) -> tuple[LoweringName, ...]:
    """The ways in which a linear can be lowered, if its blocks allow it."""
    return tuple(lowering for lowering in ALONE if problem(linear, lowering) is None)


def misfit(decomposition: Decomposition, lowering: LoweringName, tile: int = 1) -> str | None:
    """Why blocks cannot be lowered in this way, whatever the linear, and what to do; None when they can.

    >>> misfit(Decomposition((2, 2), (Block([0], [1]), Block([1], [0]))), "split")
    "'split' needs blocks that follow one another; use 'scatter'"
    """
    if decomposition.summed and lowering != "scatter":
        return f"'{lowering}' cannot add up blocks that share outputs; use 'scatter'"
    if decomposition.strays and lowering not in BESIDE:
        return f"'{lowering}' has no place for stray entries; use 'scatter'"
    if lowering == "split" and not (is_contiguous(decomposition) or has_windows(decomposition)):
        return "'split' needs blocks that follow one another; use 'scatter'"
    if lowering in ("batched", "grouped"):
        B, k, n = padded_shape(decomposition, tile)
        if B * k * n >= decomposition.shape[0] * decomposition.shape[1]:
            return f"{B} blocks padded to {k}x{n} need no fewer multiply-adds than the dense weight; use 'scatter'"
    if lowering == "select" and decomposition.dormant_outputs.size:
        output = int(decomposition.dormant_outputs[0])
        return f"'select' needs an input for every output, and output {output} reads none; use 'scatter'"
    return None


def _feeds_turned_product(value: ir.Value) -> bool:
    turned = (node.outputs[0] for node in value.consumers() if node.op_type == "Transpose")
    return any(node.op_type == "MatMul" for output in turned for node in output.consumers())


def lower(
    emitter: Emitter, constants: Constants, decomposition: Decomposition, lowering: LoweringName, tile: int = 1
) -> ir.Value:
    """Emit the nodes of one linear and return the value that replaces its output.

    The blocks compute every product of two non-zero entries that the dense operator computes; those with zeros only
    inside the blocks and where they are padded. tile: what the sides of padded blocks are multiples of.
    """
    linear = emitter.linear
    if lowering == "batched":
        return batched(emitter, constants, decomposition, tile)
    if lowering == "grouped":
        return grouped(emitter, constants, decomposition, tile)
    if lowering == "select":
        return select(emitter, constants)
    if lowering == "scatternd":
        return scatternd(emitter, constants, decomposition)
    if absorbs(linear):
        decomposition = absorb_dormant(decomposition)
    if lowering == "gather":
        return gather(emitter, constants, decomposition)
    if is_native(linear, lowering):
        return native(emitter, constants, decomposition, lowering)
    return scatter(emitter, constants, decomposition)


def absorbs(linear: Linear) -> bool:
    """Whether dormant outputs must be computed, by zero columns: where something is done to them besides a bias."""
    return linear.fused or linear.layout.kind == "conv" or linear.opset < SCATTER_ND


def apart(linear: Linear, decomposition: Decomposition) -> str | None:
    """Why a linear cannot add to the results of its blocks, where outputs are shared or there are strays."""
    if not absorbs(linear) or not (decomposition.summed or decomposition.strays):
        return None
    what = "blocks that share outputs" if decomposition.summed else "stray entries"
    return f"{what} are added up in features-first layout, which {linear.op} here cannot have; use other blocks"


def absorb_dormant(decomposition: Decomposition) -> Decomposition:
    """The same with dormant outputs owned by the smallest block, whose weight has zeros there.

    >>> absorb_dormant(Decomposition((1, 3), (Block([0], [1]),))).blocks[0].outputs.tolist()
    [0, 1, 2]
    """
    if not decomposition.dormant_outputs.size:
        return decomposition
    blocks = list(decomposition.blocks)
    smallest = min(range(len(blocks)), key=lambda index: blocks[index].inputs.size)
    outputs = np.sort(np.concatenate([blocks[smallest].outputs, decomposition.dormant_outputs]))
    blocks[smallest] = Block(blocks[smallest].inputs, outputs)
    return replace(decomposition, blocks=tuple(blocks))
