"""Random small graphs of planted block linears and all kinds of operators between them, for tests of regions.

Every value carries, at one concrete shape, which planted block each of its elements comes from, so that later linears
fit the blocks of earlier ones; where blocks are mixed it does not matter what a linear does.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper
from region_mixing import Mixing
from region_moving import Moving
from region_ownership import MIXED, Val, concrete
from region_pointwise import Pointwise


class Builder(Pointwise, Moving, Mixing):
    """Builds a random graph, step by step."""

    def branch(self):
        v = self.recent()
        elem = helper.np_dtype_to_tensor_dtype(self.dtype)
        cond = self.input((), TensorProto.BOOL)

        def body(op):
            out = self.fresh("s")
            info = helper.make_tensor_value_info(out, elem, None)
            return helper.make_graph(
                [helper.make_node(op, [v.name], [out], name=self.fresh("sub"))], self.fresh("g"), [], [info]
            )

        name = self.fresh("v")
        self.nodes.append(
            helper.make_node(
                "If", [cond], [name], name=self.fresh("if"), then_branch=body("Identity"), else_branch=body("Neg")
            )
        )
        if self.chance(0.5):
            self.outputs.append((name, v.shape, elem))
        else:
            self.put(name, v.shape, np.full(v.owner.shape, MIXED))

    def expose(self):
        v = self.recent()
        if self.chance(0.3):
            self.outputs.append((self.node("Shape", [v.name]), (v.rank,), TensorProto.INT64))
        elif all(v.name != o[0] for o in self.outputs):
            self.outputs.append((v.name, v.shape, helper.np_dtype_to_tensor_dtype(self.dtype)))

    def unknown(self):
        """An operator that no rule understands."""
        v = self.recent()
        kind = self.pick(["CumSum", "Identity", "Pad"])
        if kind == "CumSum":
            axis = self.ints([-1]) if False else self.const(np.int64(v.rank - 1))
            self.put(self.node("CumSum", [v.name, axis]), v.shape, np.full(v.owner.shape, MIXED))
        elif kind == "Pad" and isinstance(v.shape[-1], int):
            pads = [0] * (2 * v.rank)
            pads[-1] = 1
            shape = (*v.shape[:-1], v.shape[-1] + 1)
            self.put(self.node("Pad", [v.name, self.ints(pads)]), shape, np.full(concrete(shape), MIXED))

    STEPS = (
        ("linear", 5),
        ("unary", 4),
        ("with_constant", 3),
        ("with_outside", 1.5),
        ("binary", 3),
        ("transpose", 1.5),
        ("reshape", 2),
        ("squeeze", 1),
        ("split", 1),
        ("concat", 1),
        ("slice", 1),
        ("gather", 1),
        ("reduce", 0.7),
        ("softmax", 0.6),
        ("norm", 0.7),
        ("rms", 0.4),
        ("product", 0.7),
        ("attention", 1),
        ("rotate", 0.6),
        ("expand", 0.4),
        ("branch", 0.25),
        ("expose", 0.6),
        ("unknown", 0.15),
    )

    def build(self, steps=12):
        rng = self.rng
        rank = self.pick([2, 2, 3, 3, 3, 4])
        lead = {2: ["N"], 3: ["N", "S"], 4: ["N", self.pick([2, "S"]), self.pick([2, 3])]}[rank]
        lead = [self.pick([n, n, n, 1, 4]) if isinstance(n, str) else n for n in lead]
        if lead.count("N") + lead.count("S") == 2 and self.chance(0.2):
            lead[1] = "N"
        K = int(rng.integers(1, 4)) * self.blocks
        x = self.input((*lead, K))
        own = np.arange(K) % self.blocks
        if self.chance(0.7):
            rng.shuffle(own)
        source = Val(x, (*lead, K), np.broadcast_to(own, concrete((*lead, K))))
        for _ in range(int(rng.integers(1, 4))):
            self.linear(source)
        names, weights = zip(*self.STEPS, strict=False)
        p = np.array(weights) / sum(weights)
        for _ in range(steps):
            step = names[int(rng.choice(len(names), p=p))]
            if step == "linear":
                v = self.recent(lambda v: v.rank >= 2 and isinstance(v.shape[-1], int) and v.shape[-1] >= 2)
                if v is not None:
                    self.linear(v)
            else:
                getattr(self, step)()
        v = self.recent(lambda v: v.rank >= 2 and isinstance(v.shape[-1], int) and v.shape[-1] >= 2)
        if v is not None:
            self.linear(v)
        read = {name for node in self.nodes for name in node.input} | {o[0] for o in self.outputs}
        elem = helper.np_dtype_to_tensor_dtype(self.dtype)
        for value in self.pool:
            if value.name not in read and value.inner:
                self.outputs.append((value.name, value.shape, elem))
        return self.model()

    def model(self):
        inputs = [helper.make_tensor_value_info(n, e, s) for n, s, e in self.inputs]
        seen = {}
        for n, s, e in self.outputs:
            seen.setdefault(n, helper.make_tensor_value_info(n, e, s))
        graph = helper.make_graph(self.nodes, "g", inputs, list(seen.values()), self.inits)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8 if self.opset < 19 else 10)

    def survives_empty(self):
        """Whether ONNX Runtime (1.31) computes the model without any rows: it merges a Transpose into a product that
        divides by zero, and takes negative axes of an empty tensor for others."""
        turned = {node.output[0] for node in self.nodes if node.op_type == "Transpose"}
        return not any(
            node.op_type.startswith("Reduce") or ("MatMul" in node.op_type and turned & set(node.input))
            for node in self.nodes
        )

    def feeds(self, seed, N, S):
        rng = np.random.default_rng(seed)
        found = {}
        for name, shape, elem in self.inputs:
            size = concrete(shape, {"N": N, "S": S})
            if elem == TensorProto.BOOL:
                found[name] = np.array(rng.random() < 0.5)
            elif elem == TensorProto.INT64:
                found[name] = rng.integers(0, 2, size)
            else:
                found[name] = rng.integers(-3, 4, size).astype(self.dtype)
        return found
