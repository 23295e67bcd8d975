"""Random networks that compute sizes from shapes, and shape their data with them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
NAMES = ("batch", "time")


class ShapeNetwork:
    """A network under construction: scalars and vectors of int64 that sizes went into, and tensors (float32) of data.

    Every number is read by an output that depends on data too, so that nothing may be dropped.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.held: list[onnx.TensorProto] = []
        self.scalars: list[str] = []
        self.vectors: list[str] = []
        self.data = ["x", "y"]
        self.read: list[str] = []

    def emit(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], f"n{len(self.nodes)}", **attributes))
        return name

    def constant(self, value: object, kind: type = np.int64) -> str:
        name = f"c{len(self.held)}"
        self.held.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def pick(self, among: list[str]) -> str:
        return among[int(self.rng.integers(len(among)))]

    def step(self) -> None:
        """One more number or tensor."""
        kinds = [self.measured, self.measured, self.gathered, self.arithmetic, self.arithmetic, self.joined]
        kinds += [self.sliced, self.rounded, self.ranged, self.chosen, self.filled, self.reshaped, self.size]
        kinds[int(self.rng.integers(len(kinds)))]()

    def measured(self) -> None:
        ends = {name: int(self.rng.integers(-2, 3)) for name in ("start", "end") if self.rng.random() < 0.2}
        self.vectors.append(self.emit("Shape", self.pick(self.data), **ends))

    def size(self) -> None:
        self.scalars.append(self.emit("Size", self.pick(self.data)))

    def gathered(self) -> None:
        shape = self.emit("Shape", self.pick(self.data[:2]))
        self.scalars.append(self.emit("Gather", shape, self.constant(int(self.rng.integers(-2, 2)))))

    def arithmetic(self) -> None:
        op = self.pick(["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min"])
        other = self.constant(int(self.rng.integers(1, 4) * self.rng.choice([1, 1, -1])))
        two = op not in ("Div", "Mod") and self.rng.random() < 0.5
        found = self.emit(op, self.pick(self.scalars), self.pick(self.scalars) if two else other)
        self.scalars.append(self.emit("Min", self.emit("Max", found, self.constant(-50)), self.constant(50)))

    def joined(self) -> None:
        parts = [self.emit("Unsqueeze", self.pick(self.scalars), self.constant([0])) for _ in range(2)]
        self.vectors.append(self.emit("Concat", *parts, self.constant([3]), axis=0))

    def sliced(self) -> None:
        ends = (self.constant([int(one)]) for one in self.rng.integers(-2, 3, 2))
        self.vectors.append(self.emit("Slice", self.pick(self.vectors), *ends, self.constant([0])))

    def rounded(self) -> None:
        real = self.emit("Cast", self.pick(self.scalars), to=TensorProto.FLOAT)
        scaled = self.emit("Mul", real, self.constant(float(self.rng.choice([0.5, 0.3, 1.7])), np.float32))
        root = self.emit("Sqrt", self.emit("Abs", scaled)) if self.rng.random() < 0.3 else scaled
        whole = self.emit(self.pick(["Floor", "Ceil"]), root) if self.rng.random() < 0.7 else root
        self.scalars.append(self.emit("Cast", whole, to=TensorProto.INT64))

    def bounded(self) -> str:
        return self.emit("Min", self.emit("Abs", self.pick(self.scalars)), self.constant(9))

    def ranged(self) -> None:
        self.vectors.append(self.emit("Range", self.constant(0), self.bounded(), self.constant(1)))

    def filled(self) -> None:
        shape = self.emit("Unsqueeze", self.bounded(), self.constant([0]))
        one = numpy_helper.from_array(np.asarray([7], np.int64))
        full = self.emit("ConstantOfShape", shape, value=one)
        self.vectors.append(self.emit("Expand", full, self.constant([1])) if self.rng.random() < 0.5 else full)

    def chosen(self) -> None:
        test = self.emit(self.pick(["Equal", "Less", "Greater"]), self.pick(self.scalars), self.pick(self.scalars))
        test = self.emit("Not", test) if self.rng.random() < 0.3 else test
        self.scalars.append(self.emit("Where", test, self.pick(self.scalars), self.pick(self.scalars)))

    def reshaped(self) -> None:
        source = self.pick(self.data)
        lead = self.emit("Slice", self.emit("Shape", source), *map(self.constant, ([0], [1], [0])))
        target = self.emit("Concat", lead, self.constant([-1]), self.constant([1]), axis=0)
        self.data.append(self.emit("Reshape", source, target))

    def model(self, steps: int) -> onnx.ModelProto:
        """The network: every number is added to the sum of the data, every tensor negated."""
        self.gathered()
        self.measured()
        for _ in range(steps):
            self.step()
        total = self.emit("ReduceSum", "x", keepdims=0)
        outputs = [self.emit("Add", self.emit("Cast", one, to=TensorProto.FLOAT), total)
                   for one in (*self.scalars, *self.vectors)]  # fmt: skip
        outputs += [self.emit("Neg", one) for one in self.data]
        shapes = {"x": [*NAMES, 4], "y": ["time", "batch"]}
        inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "shapes", inputs, told, self.held)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
