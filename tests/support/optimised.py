"""Models that are optimised in tests."""

import numpy as np
import onnx
import onnx_ir as ir
import oracles

import scission
from scission import Trials
from scission.models.matrix import weight

QUICK = Trials(provider="cpu", threads=1, seconds=0.01)


FORMS = ("path", "text", "bytes", "proto", "onnx_ir")


SPLITS, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)


WHOLE = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)


def model_of(W):
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Relu", ["h"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", 48]}, {"y": ["m", 48]}, {"W": W})
    model.producer_name, model.doc_string = "somebody", "kept"
    # What another producer writes: fields in an order, and one unknown field, that a round trip would not keep.
    return onnx.ModelProto.FromString(model.SerializeToString() + b"\xfa\x3f\x05hello")


def stacked(count=3):
    """Products one after another, none of which is like another or can be split together with it."""
    rng = np.random.default_rng(0)
    nodes, weights = [], {}
    for index in range(count):
        x, h, y = "x" if not index else f"s{index - 1}", f"h{index}", f"s{index}"
        nodes += [("MatMul", [x, f"W{index}"], [h], {"name": f"product{index}"}), ("Softmax", [h], [y])]
        blocks = (4, 3, 6)[index]
        weights[f"W{index}"], _ = weight(rng, [(48 // blocks, 48 // blocks)] * blocks)
    return oracles.graph(nodes, {"x": ["m", 48]}, {y: ["m", 48]}, weights)


def given(model, form, folder):
    if form in ("path", "text"):
        path = folder / "in.onnx"
        path.write_bytes(model.SerializeToString())
        return path if form == "path" else str(path)
    return {"bytes": model.SerializeToString, "proto": lambda: model, "onnx_ir": lambda: ir.from_proto(model)}[form]()


def optimize(model, output=None, **options):
    return scission.optimize(model, output, **{"trials": QUICK, "bench": False, **options})
