"""What forests take in each form: what an operator that walks trees costs, and products and gathers of the same."""

from __future__ import annotations

from ...ir.graph.constants import Constants
from ...ir.graph.node import size
from ...ir.graph.operators import RESHAPING
from ...ir.plan.rewritten_forest import ForestForm
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import products_seconds
from .compiled.recognise import Compiled
from .lowered.normal import leaf_counts
from .trees.forest import Forest

__all__ = ["compiled_seconds", "ensemble_seconds", "lowered_bytes", "lowered_seconds", "standing_seconds"]

# Of ONNX Runtime 1.31 on one core (trees of depth 3 to 10, 1 to 4,096 rows, 1 and 10 targets).
TREE_S = 1e-8  # begin a tree and add what its leaf does to the first target
LEVEL_S = 4e-9  # go on to a child
TARGET_S = 3e-9  # add to one target more
THREADS_USED = 4  # that one operator gains from: 16 cores were 3 to 4 times as fast as one
# Of a device that has no such operator: rows go to the processor and sums come back.
ROUND_TRIP_S = 2e-5  # wait for the device, and begin again
TRAVEL_S = 1.6e-10  # a byte on the way, from memory that is not pinned
BLOCK_NODES, LEVEL_NODES, END_NODES = 12, 7, 4  # of each form: in all, for each level, behind the last
PLACES = 5  # numbers of a row and tree that are in memory while its place is looked up
INDEX_BYTES = 8
WEIGHT_PARTS = 3  # numbers that stand for a weight in blocks


def ensemble_seconds(forest: Forest, rows: int, prices: Prices, threads: int = 1) -> float:
    """One operator that walks every tree for every row, on so many threads."""
    starts, ends = forest.leaf_rows()
    adds = (ends - starts)[forest.is_leaf]
    walk = TREE_S + LEVEL_S * float(forest.depths.mean()) if forest.roots.size else 0.0
    walk += TARGET_S * max(float(adds.mean()) - 1, 0) if adds.size else 0.0
    return prices.node_s + rows * forest.roots.size * walk / threads


def compiled_seconds(found: Compiled, constants: Constants, rows: int, prices: Prices) -> float:
    """The operators that a forest was found in: products with their weights, everything else element by element."""
    seconds = len(found.ended.nodes) * (prices.node_s + rows * found.forest.targets * prices.elementwise_s)
    for node, elements in zip(found.summing, found.elements, strict=True):
        weights = [constants.describe(v)[0] for v in node.inputs if v is not None and v in constants]
        matrix = next((shape for shape in weights if len(shape) >= 2), None)
        if node.op_type in ("MatMul", "Gemm") and matrix is not None:
            stack = size(matrix[:-2])
            kind = prices.stacked() if len(matrix) > 2 else prices
            shape = (matrix[-2] * stack, matrix[-1])
            seconds += products_seconds([shape], rows, FLOAT_BYTES, kind)
        else:
            seconds += prices.node_s + rows * elements * _moved(str(node.op_type), prices)
    return seconds


def _moved(op: str, prices: Prices) -> float:
    """What an element of a result takes; a new shape for the same elements takes nothing."""
    if op.startswith("Gather"):
        return prices.gather_elements_s
    if op == "Transpose":
        return prices.transpose_s
    return 0.0 if op in RESHAPING else prices.elementwise_s


def standing_seconds(forest: Forest, rows: int, threads: int, prices: Prices) -> float:
    """One operator on the processor beside a device, with what it reads and computes on the way."""
    travel = ROUND_TRIP_S + rows * (forest.features + forest.targets) * FLOAT_BYTES * TRAVEL_S
    return travel + ensemble_seconds(forest, rows, prices, min(threads, THREADS_USED))


def lowered_bytes(forest: Forest, form: ForestForm, rows: int) -> int:
    """What plain operators hold at once: the largest operand with its result; forest: as `normal` leaves it."""
    each = rows * forest.roots.size
    if form is ForestForm.GATHERS:
        return each * max(PLACES * INDEX_BYTES, INDEX_BYTES + FLOAT_BYTES * forest.targets)
    leaves = int(leaf_counts(forest).max())
    return each * FLOAT_BYTES * (max(leaves - 1, 1) + leaves)


def lowered_seconds(forest: Forest, form: ForestForm, rows: int, prices: Prices, passes: int = 1) -> float:
    """Plain operators on a device; forest: as `normal` leaves it; passes: groups of trees, one after another."""
    trees, targets = forest.roots.size, forest.targets
    if form is ForestForm.GATHERS:
        depth = int(forest.depths.max())
        looked = 3 * prices.gather_elements_s + 4 * prices.elementwise_s
        ends = targets * (prices.gather_elements_s + prices.elementwise_s)
        nodes = LEVEL_NODES * depth + END_NODES
        return ROUND_TRIP_S + nodes * prices.node_s + rows * trees * (depth * looked + ends)
    leaves = int(leaf_counts(forest).max())
    tests = max(leaves - 1, 1)
    elements = rows * trees * tests * (prices.gather_elements_s + 2 * prices.elementwise_s + prices.transpose_s)
    elements += rows * trees * leaves * 2 * prices.elementwise_s
    products = rows * trees * leaves * (tests + WEIGHT_PARTS * targets) * prices.mac_s
    held = trees * leaves * (tests + WEIGHT_PARTS * targets) * FLOAT_BYTES * prices.dram_byte_s
    return ROUND_TRIP_S + passes * BLOCK_NODES * prices.node_s + elements + max(products, held)
