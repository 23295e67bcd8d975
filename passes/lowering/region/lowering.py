"""The `region` lowering: the blocks of several linears together, and everything between them once for each block.

Whether a region can be written so is asked of the rules between its ends: each has to be restricted to every group of
blocks. Nothing is emitted to know.
"""

from __future__ import annotations

from ....ir.axes.region import Region, unfit
from ....ir.graph.constants import Constants
from ....ir.graph.operators import POINTWISE, VECTOR_BIASED
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Reason
from ..prices import Prices
from ..protocol import INDEX_BYTES, Lowering
from ..seconds import dense_seconds
from ..target import Target
from .block_node import BlockNode
from .cost import region_seconds, region_split_seconds
from .cut import RegionBlocks, RegionCut, cut_up
from .emit import Emitted, RegionSite, emit_region
from .ends import why_not_left
from .linear import why_not_linear
from .refusals import why_not_restricted

FREE = POINTWISE - VECTOR_BIASED - {"PRelu"}  # of constants and what blocks compute, these compute any block

__all__ = ["REGIONS", "Regions"]


class Regions(Lowering[Region, RegionBlocks, int, RegionSite, Emitted]):
    """Blocks that belong together over several linears; its load is a number of activation rows."""

    name = "region"

    def why_not(self, subject: Region, found: RegionBlocks | None, target: Target) -> Reason | None:
        """Why a region cannot be computed block by block in this way; None when it can."""
        for linear in subject.linears:
            if reason := unfit(linear):
                return reason.told(f"{linear.address}: {reason}")
        if found is None:
            return None
        cut = cut_up(subject, found)
        return cut if isinstance(cut, Reason) else _why_not_cut(subject, cut)

    def dense_seconds(self, subject: Region, load: int, prices: Prices) -> float:
        """Those of its linears: what lies between them is computed either way."""
        return sum(dense_seconds(one.shape, load, int(one.dtype.itemsize), prices) for one in subject.linears)

    def seconds(self, subject: Region, found: RegionBlocks, load: int, prices: Prices) -> float:
        """Those of the blocks, of index work where the region begins and ends, and of the nodes that come in addition
        between."""
        between = region_seconds(subject, load, prices) - self.dense_seconds(subject, load, prices)
        return region_split_seconds(subject, found, load, prices) - between

    def index_bytes(self, found: RegionBlocks) -> int:
        """Those of what enters by the first linear and of what leaves behind the last; features inside do not move."""
        first, last = found.decompositions[0], found.decompositions[-1]
        return INDEX_BYTES * (sum(b.inputs.size for b in first.blocks) + sum(b.outputs.size for b in last.blocks))

    def emit(self, site: RegionSite, constants: Constants, found: RegionBlocks, target: Target) -> Emitted:
        """Emit the region; raises Unsuited where `why_not` has a reason."""
        return emit_region(site, found)


def _why_not_cut(region: Region, cut: RegionCut) -> Reason | None:
    """Why some node of a region cannot be computed block by block, the first one in the order of the graph."""
    of_linears = {one.node: (one, found) for one, found in zip(region.linears, cut.blocks.decompositions, strict=True)}
    exits = set(region.exits)
    for node in region.in_order:
        if node in of_linears:
            linear, found = of_linears[node]
            reason, outputs = why_not_linear(region, cut, linear, found), [linear.output]
        else:
            reason, outputs = _why_not_inner(region, cut, node), list(node.outputs)
        leaving = (why_not_left(one, cut.selected[one], cut.groups) for one in outputs if one in exits)
        if reason := reason or next(filter(None, leaving), None):
            return reason
    return None


def _why_not_inner(region: Region, cut: RegionCut, node: ir.Node) -> Reason | None:
    """Why the rule of a node cannot be restricted to some group of blocks."""
    written = region.written
    inside = [value is not None and value in written for value in node.inputs]
    if node.op_type in FREE and not cut.blocks.features_first:
        given = zip(node.inputs, inside, strict=True)
        if all(own or value is None or value in region.constants for value, own in given):
            return None  # whatever the blocks are, which is so of nearly every node of a long region
    for owned in cut.owned:
        one = BlockNode(
            node=node,
            constants=region.constants,
            inside=inside,
            labels=region.features.labels,
            selected=owned,
            features_first=cut.blocks.features_first,
        )
        if reason := why_not_restricted(one):
            return reason
    return None


REGIONS = Regions()
