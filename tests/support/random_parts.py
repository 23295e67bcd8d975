"""Random networks that consist of independent ones, their features shuffled, and the slow way to put parts together."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from scission.ir.io.load import load
from scission.ir.io.serial import to_proto
from scission.passes.partition.find import find
from scission.passes.rewrite.parts.narrowed import narrowed
from scission.runtime.ort.library import onnxruntime

__all__ = ["difference", "put_together", "random_feed", "random_parts", "run_model", "without_node_names"]

POINTWISE = ("Relu", "Tanh", "Sigmoid", "Softplus", "Abs", "Elu", "HardSwish", "Neg")


class RandomParts:
    """A network in the making: values are (batch, …, features), and `owner` says which network each feature is of."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.count = int(self.rng.integers(2, 5))
        self.lead = ["n", *self.rng.integers(2, 4, int(self.rng.integers(0, 2))).tolist()]
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        made = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, names, made, f"n{len(self.nodes)}", **attributes))
        return made[0] if outputs == 1 else made

    def normal(self, *shape: int) -> Any:
        return self.rng.standard_normal(shape).astype(np.float32)

    def owners(self, least: int = 1) -> Any:
        """Which network each of some new features is of: each network has some."""
        return self.rng.permutation(np.repeat(np.arange(self.count), self.rng.integers(least, 4, self.count)))

    def input(self) -> tuple[str, Any]:
        owner = self.owners()
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, 1, [*self.lead, len(owner)]))
        return name, owner

    def output(self, value: str, rank: int) -> None:
        self.outputs.append(helper.make_tensor_value_info(value, 1, [None] * rank))

    def weight(self, rows: Any, columns: Any) -> Any:
        W = self.normal(len(rows), len(columns))
        W[rows[:, None] != columns[None, :]] = 0
        if self.rng.random() < 0.2:
            W[:, self.rng.integers(len(columns))] = 0
        return W

    def linear(self, x: str, rows: Any) -> tuple[str, Any]:
        columns = self.owners()
        W = self.weight(rows, columns)
        form = self.rng.choice(["matmul", "gemm", "conv"])
        if form == "gemm" and len(self.lead) == 1:
            return self.op("Gemm", x, W.T.copy(), self.normal(len(columns)), transB=1), columns
        if form == "conv" and len(self.lead) == 2:
            turned = self.op("Transpose", x, perm=[0, 2, 1])
            made = self.op("Conv", turned, W.T[:, :, None].copy(), self.normal(len(columns)))
            return self.op("Transpose", made, perm=[0, 2, 1]), columns
        y = self.op("MatMul", x, W)
        return (self.op("Add", self.normal(len(columns)), y) if self.rng.random() < 0.5 else y), columns

    def grown(self, x: str, owner: Any) -> tuple[str, Any]:
        """One more step."""
        axis = len(self.lead)
        kind = self.rng.integers(10)
        if kind < 3:
            return self.linear(x, owner)
        if kind == 3:
            return self.op(str(self.rng.choice(POINTWISE)), x), owner
        if kind == 4:
            scale = self.normal(len(owner)) if self.rng.random() < 0.7 else self.normal(1)
            return self.op(str(self.rng.choice(["Mul", "Add", "Sub"])), x, scale), owner
        if kind == 5:  # a residual connection
            W = self.weight(owner, owner)
            return self.op("Add", x, self.op("Tanh", self.op("MatMul", x, W))), owner
        if kind == 6:
            order = self.rng.permutation(len(owner))
            return self.op("Gather", x, order, axis=axis), owner[order]
        if kind == 7 and len(owner) > 2:  # cut, each piece by itself, and joined in another order
            cut = int(self.rng.integers(1, len(owner)))
            first, second = self.op("Split", x, np.array([cut, len(owner) - cut]), outputs=2, axis=-1)
            return self.op("Concat", self.op("Relu", second), first, axis=-1), np.concatenate(
                [owner[cut:], owner[:cut]]
            )
        if kind == 8:
            return self.heads(x, owner)
        return self.branches(x, owner)

    def heads(self, x: str, owner: Any) -> tuple[str, Any]:
        """Heads of a few features, each normalised by itself."""
        each, heads = int(self.rng.integers(1, 4)), self.rng.permutation(np.arange(self.count).repeat(2))
        columns = heads.repeat(each)
        y = self.op("MatMul", x, self.weight(owner, columns))
        lead = [0] * len(self.lead)
        y = self.op("Reshape", y, np.array([*lead, len(heads), each]))
        y = (
            self.op("Softmax", y, axis=-1)
            if self.rng.random() < 0.5
            else self.op("Mul", y, self.normal(len(heads), each))
        )
        return self.op("Reshape", y, np.array([*lead, len(columns)])), columns

    def branches(self, x: str, owner: Any) -> tuple[str, Any]:
        """Each network by itself, joined."""
        results, owners = [], []
        for one in self.rng.permutation(self.count):
            own = np.flatnonzero(owner == one)
            if not own.size:
                continue
            piece = self.op("Gather", x, own, axis=len(self.lead))
            width = int(self.rng.integers(1, 4))
            results.append(self.op("Relu", self.op("MatMul", piece, self.normal(len(own), width))))
            owners += [one] * width
        return (
            (self.op("Concat", *results, axis=-1), np.array(owners))
            if len(results) > 1
            else (results[0], np.array(owners))
        )

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def random_parts(seed: int) -> tuple[onnx.ModelProto, int]:
    """A random network, and of how many independent ones it consists at least."""
    made = RandomParts(seed)
    x, owner = made.input()
    watched: list[str] = []
    for _ in range(int(made.rng.integers(2, 9))):
        if made.rng.random() < 0.1:
            other, own = made.input()
            x, owner = made.op("Concat", x, other, axis=-1), np.concatenate([owner, own])
        x, owner = made.grown(x, owner)
        if made.rng.random() < 0.1:
            watched.append(x)
    x, owner = made.linear(x, owner)
    for value in dict.fromkeys([*watched, x]):
        made.output(value, len(made.lead) + 1)
    return made.model(), made.count


def without_node_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of which no node has a name, as `onnx.helper` makes them."""
    made = onnx.ModelProto.FromString(model.SerializeToString())
    for node in made.graph.node:
        node.name = ""
    return made


def random_feed(rng: np.random.Generator, model: onnx.ModelProto, rows: int = 5) -> dict[str, Any]:
    """Random inputs."""
    shapes = {one.name: [dim.dim_value or rows for dim in one.type.tensor_type.shape.dim] for one in model.graph.input}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def run_model(model: onnx.ModelProto, feed: dict[str, Any], optimize: bool = False) -> dict[str, Any]:
    """The outputs of a model."""
    options = onnxruntime().SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    if not optimize:
        options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime().InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {one.name: feed[one.name] for one in session.get_inputs()}), strict=True))


def put_together(model: onnx.ModelProto, feed: dict[str, Any], optimize: bool = False) -> tuple[Any, dict[str, Any]]:
    """What `find` finds of a model, and the outputs of its parts put together; none of them where nothing is found."""
    source = load(model)
    found = find(source.graph)
    made: dict[str, Any] = {}
    if not isinstance(found, tuple):
        return found, made
    there = dict(feed)
    for index, one in enumerate(found):
        part = to_proto(source, narrowed(one.whole, one.needed, f"part{index}"))
        given = {share.value: np.ascontiguousarray(share.of(there[share.value])) for share in one.reads}
        assert [value.name for value in part.graph.input] == [*given]
        results = run_model(part, given, optimize)
        assert [*results] == [share.value for share in one.writes]
        for share in one.writes:
            put(made, share, results[share.value])
    return found, made


def put(made: dict[str, Any], share: Any, result: Any) -> None:
    """Put what one part made in its place; places that nobody writes stay NaN."""
    if share.is_whole:
        assert share.value not in made
        made[share.value] = result
        return
    ((axis, size),) = share.size.items()
    shape = [size if at == axis else extent for at, extent in enumerate(result.shape)]
    whole = made.setdefault(share.value, np.full(shape, np.nan, np.float32))
    place = tuple(share.places[axis] if at == axis else slice(None) for at in range(result.ndim))
    assert np.isnan(whole[place]).all()
    whole[place] = result


def difference(before: dict[str, Any], after: dict[str, Any]) -> float:
    """The largest difference of two sets of outputs, relative to the largest value of each."""
    assert before.keys() == after.keys()
    return max(float(np.abs(before[k] - after[k]).max() / max(np.abs(before[k]).max(), 1e-20)) for k in before)
