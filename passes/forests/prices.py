"""What forests take in each form: what an operator that walks trees costs, and products and gathers of the same."""

from __future__ import annotations

from ...ir.graph.constants import Constants
from ...ir.graph.node import size
from ..lowering.prices import Prices
from ..lowering.seconds import FLOAT_BYTES, products_seconds
from .forest import Forest
from .recognise import Compiled

__all__ = ["compiled_seconds", "ensemble_seconds"]

# Of ONNX Runtime 1.31 on one core (trees of depth 3 to 10, 1 to 4,096 rows, 1 and 10 targets).
TREE_S = 1e-8  # begin a tree and add what its leaf does to the first target
LEVEL_S = 4e-9  # go on to a child
TARGET_S = 3e-9  # add to one target more


def ensemble_seconds(forest: Forest, rows: int, prices: Prices, threads: int = 1) -> float:
    """One operator that walks every tree for every row, on so many threads."""
    starts, ends = forest.leaf_rows()
    adds = (ends - starts)[forest.is_leaf]
    walk = TREE_S + LEVEL_S * float(forest.depths.mean()) if forest.roots.size else 0.0
    walk += TARGET_S * max(float(adds.mean()) - 1, 0) if adds.size else 0.0
    return prices.node_s + rows * forest.roots.size * walk / threads


def compiled_seconds(found: Compiled, constants: Constants, rows: int, prices: Prices) -> float:
    """The operators that a forest was found in: products with their weights, everything else an element a tree."""
    seconds = 0.0
    element = prices.elementwise_s
    each = found.forest.roots.size if found.gathers else 0
    for node in found.nodes:
        weights = [constants.describe(v)[0] for v in node.inputs if v is not None and v in constants]
        matrix = next((shape for shape in weights if len(shape) >= 2), None)
        if node.op_type in ("MatMul", "Gemm") and matrix is not None:
            stack = size(matrix[:-2])
            kind = prices.stacked() if len(matrix) > 2 else prices
            shape = (matrix[-2] * stack, matrix[-1])
            seconds += products_seconds([shape], rows, FLOAT_BYTES, kind)
        else:
            moved = prices.gather_elements_s if node.op_type.startswith("Gather") else element
            seconds += prices.node_s + rows * each * moved
    return seconds
