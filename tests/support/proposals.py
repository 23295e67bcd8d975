"""Methods that propose given models, and networks of which wide and narrow forms are at hand."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from scission.ir.onnx_ir import onnx_ir as ir
from scission.runtime.decompose.task.method import ModelCandidate


def wide(hidden=1024, features=48, used=None, seed=0):
    """x - MatMul - Relu - MatMul - y, of which only the first `used` hidden units have anything in them."""
    rng = np.random.default_rng(seed)
    used = hidden if used is None else used
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((features, used), (used, features)))
    noise = 1e-3 * rng.standard_normal((hidden - used, features)).astype(np.float32)
    weights = {"up": np.concatenate([up, noise.T], 1), "down": np.concatenate([down, noise], 0)}
    return two_layers(weights["up"], weights["down"])


def two_layers(up, down):
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "down"], ["y"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", up.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", down.shape[1]])],
        [numpy_helper.from_array(up, "up"), numpy_helper.from_array(down, "down")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def narrowed(proto, units):
    """The same with the first hidden units alone."""
    up, down = (numpy_helper.to_array(one) for one in proto.graph.initializer)
    return ir.from_proto(two_layers(up[:, :units].copy(), down[:units].copy()))


class Fixed:
    """Proposes what it is given, and counts what was asked for."""

    def __init__(self, models, name="removal"):
        self.models, self.name, self.asked, self.tasks = models, name, 0, []

    def propose(self, task):
        self.tasks.append(task)
        for model in self.models:
            self.asked += 1
            if isinstance(model, ir.Model):
                yield ModelCandidate(method=self.name, model=model, settings={"place": self.asked - 1})
            else:
                yield model
