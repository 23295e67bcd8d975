"""Feed-forward networks for tests: their weights and nodes, and what is found in models of these."""

import numpy as np
from reference import model, node

from scission.ir.axes.ffn import find_ffns
from scission.ir.graph.shapes import infer_shapes
from scission.ir.graph.survey import survey
from scission.ir.io.load import load

D, H = 3, 6
OPSET = 20  # the first with Gelu
RNG = np.random.default_rng(0)


def weight(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


CONSTANTS = {
    "U": weight(D, H),
    "V": weight(H, D),
    "G": weight(D, H),
    "U2": weight(D, 2 * H),
    "V2": weight(2 * H, D),
    "wide": weight(D, 7),
    "back": weight(7, D),
    "square": weight(D, D),
    "square2": weight(D, D),
    "UT": weight(H, D),
    "VT": weight(D, H),
    "kernelU": weight(H, D, 1, 1),
    "kernelV": weight(D, H, 1, 1),
    "bu": weight(H),
    "bd": weight(D),
    "row": weight(1, H),
    "column": weight(H, 1),
    "planes": weight(H, 1, 1),
    "table": weight(5, H),
    "half": np.float32(0.5),
    "one": np.ones((1, 1), np.float32),
    "three": np.float32(3),
    "nought": np.float32(0),
    "flat": np.array([-1, H]),
    "flat_again": np.array([-1, H]),
    "odd": np.array([-1, 2]),
    "grid": np.array([0, 0, 2, 3]),
    "axis": np.array([0]),
    "halves": np.array([3, 3]),
    "odder": np.array([-1, 1, 2]),
    "HH": weight(H, H),
    "two": weight(2, D),
    "single": weight(D, 1),
}
BATCH = {"x": ["b", D], "r": ["b", H]}


def found(nodes, inputs=None, outputs=("y",), constants=CONSTANTS, **options):
    options = {"opset": OPSET, "domains": ["com.microsoft"]} | options
    loaded = load(model(nodes, inputs or BATCH, list(outputs), constants, **options)).graph
    infer_shapes(loaded)
    seen = survey(loaded)
    return find_ffns(seen.linears, seen.constants)


def named(ffns):
    """(ups, gate, downs, channels) by the names of their nodes."""
    return [
        (
            " ".join(up.address for up in ffn.ups),
            ffn.gate and ffn.gate.address,
            " ".join(down.address for down in ffn.downs),
            ffn.channels,
        )
        for ffn in ffns
    ]


UP, DOWN = node("MatMul", "x U", "h", "up"), node("MatMul", "z V", "y", "down")
GATE = node("MatMul", "x G", "g", "gate")
RELU = node("Relu", "h", "z")
MICROSOFT = "com.microsoft"


def between(*nodes):
    return [UP, *nodes, DOWN]
