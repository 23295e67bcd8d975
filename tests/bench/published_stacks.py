"""Weights of more than two dimensions, of which every matrix falls apart alike: windows, stacks, experts.

`python tests/bench/published_stacks.py [--only ROW ...] [--save]` splits convolutions over windows of 3 x 3, a product
with a stack of matrices on its left and one with experts that a Gather picks for each token, and times each beside the
original: medians of interleaved runs on one thread, by processor time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from figures import Figure, at_least, bench, reported
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.models.matrix import weight

BLOCKS, WIDTH = 16, 48  # of each matrix: so many blocks of so many features
ENTRIES = 8  # of a stack
IMAGE = 28  # places along each axis


def windows() -> Iterator[Figure]:
    """Convolutions over 3 x 3, their channels in order or not."""
    for name, shuffled, channels in (("in order", False, 16), ("shuffled", True, 16), ("shuffled", True, 4)):
        kernel = stack_of([(channels, channels)] * BLOCKS, 9, shuffled).transpose(2, 1, 0)
        count = channels * BLOCKS
        kernel = np.ascontiguousarray(kernel).reshape(count, count, 3, 3)
        node = helper.make_node("Conv", ["x", "W"], ["y"], "conv", pads=[1] * 4)
        yield from figures(f"3x3, {count} channels, {name}", [node], {"x": [count, IMAGE, IMAGE]}, kernel)


def stacks() -> Iterator[Figure]:
    """A stack of matrices on the left of a product, a matrix for each entry of the batch axis behind the first."""
    matrices = stack_of([(WIDTH, WIDTH)] * BLOCKS, ENTRIES, True).swapaxes(1, 2)
    node = helper.make_node("MatMul", ["W", "x"], ["y"], "product")
    yield from figures(
        "stack on the left", [node], {"x": [ENTRIES, BLOCKS * WIDTH, 16]}, np.ascontiguousarray(matrices)
    )


def experts() -> Iterator[Figure]:
    """Tokens, each multiplied with the matrix of the expert that was picked for it."""
    matrices = stack_of([(WIDTH, WIDTH)] * BLOCKS, ENTRIES, True)
    nodes = [helper.make_node("Gather", ["W", "index"], ["w"], "pick", axis=0)]
    nodes.append(helper.make_node("MatMul", ["x", "w"], ["y"], "experts"))
    yield from figures("experts by Gather", nodes, {"x": [1, BLOCKS * WIDTH], "index": []}, matrices)


def stack_of(sizes: Sequence[tuple[int, int]], count: int, shuffled: bool) -> npt.NDArray[np.float32]:
    """Matrices (count, K, N) with blocks in the same places."""
    rng = np.random.default_rng(0)
    made, _ = weight(rng, sizes, contiguous=not shuffled)
    return (np.where(made != 0, rng.standard_normal((count, *made.shape)), 0) * 0.05).astype(np.float32)


def figures(
    name: str, nodes: Sequence[onnx.NodeProto], shapes: dict[str, list[int]], array: npt.NDArray[np.float32]
) -> Iterator[Figure]:
    """What becomes of one model at batches 1 and 8; shapes: of its inputs behind the batch."""
    inputs = [
        helper.make_tensor_value_info(key, TensorProto.INT64 if key == "index" else TensorProto.FLOAT, ["n", *shape])
        for key, shape in shapes.items()
    ]
    told = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, told, [numpy_helper.from_array(array, "W")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = scission.optimize(model, batch=[1, 8], trials=scission.Trials(threads=1, provider="cpu", seconds=2.0))
    step = found.plan.steps[0]
    yield reported(name, f"multiply-adds left, by {step.lowering!r}", step.decomposition.mac_share)
    yield at_least(name, "equal (1 = yes)", float(found.verdict is None or found.verdict.equal), 1)
    for one in found.benches:
        yield at_least(name, f"speed-up, batch {one.rows}", one.speedup, 1.0)


ROWS = {"windows": windows, "stacks": stacks, "experts": experts}

if __name__ == "__main__":
    sys.exit(bench("published_stacks", __doc__, ROWS))
