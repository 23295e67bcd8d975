"""Linears, and what their weights are like, for tests that need no model around them."""

import numpy as np

from scission.ir.graph.linear import Layout, Linear
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.connectivity.bipartite import components
from scission.passes.lowering.linear.lowerings import LOWERINGS
from scission.passes.planning.analysis import Analysis

LAYOUTS = {  # by how many ends are transposed to features-first layout, and a convolution
    "rows": Layout(kind="rows", rank=2),
    "first": Layout(kind="axes", rank=2),
    "first in": Layout(kind="axes", rank=2, exit=(1, 0)),
    "planes": Layout(kind="conv", rank=4),
}


def linear_of(shape, dtype=np.float32, layout="rows"):
    """A product with a weight of shape (K, N) that nobody stored."""
    kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
    x, w = (ir.Value(name=name, type=kind) for name in "xw")
    node = ir.node("Conv" if layout == "planes" else "MatMul", [x, w], name="n")
    return Linear(
        node=node,
        address="n",
        activation=x,
        weight=w,
        shape=shape,
        dtype=kind.dtype,
        transposed=False,
        layout=LAYOUTS[layout],
        opset=17,
    )


def analysis_of(found, takes=None):
    """What a weight with these blocks is like; takes: the lowerings that can write it, all but selections by default.

    Its components are those of another weight, which matters where a grain is asked for.
    """
    names = frozenset(one.name for one in LOWERINGS if one.multiplies) if takes is None else frozenset(takes)
    return Analysis(components(np.ones((1, 1))), found, (), "sha", names)
