"""What a lowering of one linear answers beside what every lowering answers, and what is asked of all of them alike."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ....ir.reason import Cause, Reason
from ..nodes.emitter import Emitter
from ..prices import Prices
from ..protocol import INDEX_BYTES, Lowering
from ..seconds import dense_seconds, window_seconds
from ..target import MOST_JOINED, Target
from .dormant import apart

__all__ = ["Extra", "LinearLowering", "picked_seconds", "why_not_beside", "why_not_dense", "why_not_recorded"]

Array = npt.NDArray[Any]
Extra: TypeAlias = Literal["split-K", "residual"]  # blocks that are added up, entries beside the blocks
MINIMUM = 7  # operator set that brought today's broadcasting


class LinearLowering(Lowering[Linear, Decomposition, int, Emitter, ir.Value], Protocol):
    """One way to write the blocks of a linear; its load is a number of activation rows.

    A class that inherits gives `name`, `why_not`, `seconds` and `emit`, and says where it differs in the rest.
    """

    adds: ClassVar[frozenset[Extra]] = frozenset()  # what it adds to the results of blocks
    regroups: ClassVar[bool] = True  # whether it can write blocks that were merged
    multiplies: ClassVar[bool] = True  # one that does not goes before all that do
    on_request: ClassVar[bool] = False  # whether it is taken only where somebody asks for it
    only_on: ClassVar[str | None] = None  # the provider that it is taken on without being asked for, None for all
    keeps_dormant: ClassVar[bool] = False  # whether outputs without an edge cost nothing, whatever the linear
    slices: ClassVar[bool] = False  # whether it can write a weight of several matrices
    needs: ClassVar[str] = ""  # what weight it needs, in words, where not every weight will do

    def takes(self, weight: Array) -> bool:
        """Whether it can write the entries of a canonical weight (K, N), whatever its blocks."""
        return True

    def idle(self, found: Decomposition) -> bool:
        """Whether it would move features where nothing has to be moved, so that another does the same for less."""
        return False

    def scatters(self, linear: Linear, found: Decomposition) -> bool:
        """Whether a ScatterND puts results in their places, which takes a GPU longer than the product."""
        return False

    def joins(self, found: Decomposition) -> int:
        """How many results one Concat joins."""
        return 1

    def entries(self, found: Decomposition, tile: int) -> int:
        """Entries of weights that it multiplies with, those of padding included."""
        return sum(block.inputs.size * block.outputs.size for block in found.blocks)

    def dense_seconds(self, linear: Linear, rows: int, prices: Prices) -> float:
        """Predicted seconds of the linear as it is."""
        itemsize = int(linear.dtype.itemsize)
        window = window_seconds([linear.shape], linear.taps, rows, itemsize, prices)
        picked = picked_seconds(linear, [linear.shape], rows, prices)
        return dense_seconds(linear.shape, rows, itemsize, prices) + window + picked

    def index_bytes(self, found: Decomposition) -> int:
        """Bytes of the indices that it stores beside the weights of the blocks."""
        return INDEX_BYTES * sum(sum(block.shape) for block in found.blocks)

    def absorbs(self, linear: Linear) -> frozenset[ir.Node]:
        """The Add behind the product, where the blocks compute it too; otherwise it stays where it is."""
        return frozenset()

    @abstractmethod
    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit the nodes of the emitter's linear and return the value that replaces its output.

        The blocks compute every product of two non-zero entries that the dense operator computes; those with zeros only
        inside the blocks and where they are padded.
        """


def picked_seconds(linear: Linear, shapes: Iterable[tuple[int, int]], rows: int, prices: Prices) -> float:
    """Seconds to copy matrices of these shapes out of stacks, one of each for each entry that is picked at run time."""
    if linear.picked is None:
        return 0.0
    each = linear.rows_of_one
    copied = rows / each * sum(map(math.prod, shapes))
    fits = copied * linear.dtype.itemsize <= prices.llc_bytes
    return copied * (prices.copy_s if fits else prices.copy_uncached_s) * prices.moved(int(linear.dtype.itemsize))


def why_not_dense(linear: Linear, lowering: LinearLowering | None) -> Reason | None:
    """Why a linear has to stay dense, whatever its blocks; None where it need not. lowering: None for any."""
    if linear.slices and lowering is not None and not lowering.slices:
        what = "pixel of its window" if linear.layout.kind == "conv" else "entry of a stack"
        told = f"'{lowering.name}' writes one matrix, and its weight has one for each {what}; use 'scatter'"
        return Reason(Cause.BATCHED_WEIGHT, told)
    if linear.opset < MINIMUM:
        told = f"operator set {linear.opset} is older than {MINIMUM}; convert the model to a newer one"
        return Reason(Cause.OPERATOR_SET, told)
    if linear.dtype == ir.DataType.FLOAT16 and _feeds_turned_product(linear.output):
        told = "a float16 Transpose and MatMul behind it would be fused, on which ONNX Runtime 1.31 crashes"
        return Reason(Cause.CRASHES, told)
    return None


def _feeds_turned_product(value: ir.Value) -> bool:
    turned = (node.outputs[0] for node in value.consumers() if node.op_type == "Transpose")
    return any(node.op_type == "MatMul" for output in turned for node in output.consumers())


def why_not_recorded(lowering: LinearLowering, linear: Linear, found: Decomposition, target: Target) -> Reason | None:
    """Why a GPU had better not run what a lowering writes: a CUDA graph could not record it, or it would wait."""
    if target.provider != "cuda":
        return None
    if lowering.scatters(linear, found):
        told = f"'{lowering.name}' would place results by ScatterND, which takes a GPU 0.1 ms and more"
        return Reason(Cause.BLOCKS, told)
    if lowering.joins(found) > MOST_JOINED:
        told = f"'{lowering.name}' would join more than {MOST_JOINED} results, which no CUDA graph can record"
        return Reason(Cause.NO_GRAPH, told)
    return None


def why_not_beside(lowering: LinearLowering, linear: Linear, found: Decomposition) -> Reason | None:
    """Why blocks that share outputs, or entries beside the blocks, cannot be added up by a lowering."""
    if found.split_k and "split-K" not in lowering.adds:
        return Reason(Cause.BLOCKS, f"'{lowering.name}' cannot add up blocks that share outputs; use 'scatter'")
    if found.residual and "residual" not in lowering.adds:
        return Reason(Cause.BLOCKS, f"'{lowering.name}' has no place for residual entries; use 'scatter'")
    return apart(linear, found)
