"""Slow and obvious: what the fast code is held against, and how models are run and walked in tests."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from hypothesis import strategies as st

from scission.ir.plan.plan import Block, Decomposition, Plan
from scission.runtime.ort.library import onnxruntime

TOLERANCE = {"float16": 3e-3, "float32": 1e-5, "float64": 1e-12}


# Matrices.


def components(W) -> tuple[list[int], list[int], int]:
    """Union-find, one edge at a time; components numbered by their smallest input, -1 where there is no edge."""
    K, N = W.shape
    parent = list(range(K + N))

    def root(v):
        while parent[v] != v:
            v = parent[v]
        return v

    edges = [(i, K + j) for i in range(K) for j in range(N) if is_edge(W[i, j])]
    for a, b in edges:
        parent[root(b)] = root(a)
    touched = {v for edge in edges for v in edge}
    numbers: dict[int, int] = {}
    for v in range(K + N):
        if v in touched:
            numbers.setdefault(root(v), len(numbers))
    labels = [numbers[root(v)] if v in touched else -1 for v in range(K + N)]
    return labels[:K], labels[K:], len(numbers)


def is_edge(value) -> bool:
    return float(value) != 0.0


def reassembled(W, decomposition: Decomposition):
    """Zeros, with every block of W cut out and put back."""
    whole = np.zeros(W.shape, W.dtype)
    for block in decomposition.blocks:
        whole[np.ix_(block.inputs, block.outputs)] = W[np.ix_(block.inputs, block.outputs)]
    return whole


def covers(W, decomposition: Decomposition) -> bool:
    """Whether every edge of W lies inside a block."""
    return not np.asarray(W)[reassembled(np.ones(W.shape, bool), decomposition) == 0].astype(bool).any()


@st.composite
def block_sizes(draw, most: int = 5, largest: int = 5):
    side = st.integers(1, largest)
    return draw(st.lists(st.tuples(side, side), min_size=1, max_size=most))


@st.composite
def relations(draw, largest: int = 12):
    """Boolean matrices from empty to full, with zero rows, single rows and single columns."""
    K, N = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    density = draw(st.sampled_from([0.0, 0.05, 0.15, 0.4, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.random((K, N)) < density


# Models.


def run(model, feeds, optimised: bool = True) -> list[np.ndarray]:
    """One run on the CPU, without a line of logging."""
    options = onnxruntime().SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime().InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def runs(model, feeds, **options) -> list[np.ndarray] | None:
    """The same, None where ONNX Runtime refuses (an empty axis, for some operators)."""
    try:
        return run(model, feeds, **options)
    except Exception:  # ONNX Runtime's exceptions have no common root of their own
        return None


def assert_close(before, after, rtol: float | None = None) -> None:
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = np.abs(a.astype(np.float64)).max(initial=0.0)
        tolerance = TOLERANCE[a.dtype.name] if rtol is None else rtol
        np.testing.assert_allclose(b.astype(np.float64), a.astype(np.float64), rtol=0, atol=tolerance * scale)


def every_graph(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    stack: list = [model.graph, *model.functions]
    while stack:
        graph = stack.pop()
        yield graph
        stack += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]


def every_node(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for graph in every_graph(model) for node in graph.node]


def node_names(model: onnx.ModelProto) -> Counter:
    return Counter(node.name for node in every_node(model) if node.name)


def value_names(model: onnx.ModelProto) -> Counter:
    """How often each name is defined, over all graphs together."""
    found: Counter = Counter()
    for graph in every_graph(model):
        for node in graph.node:
            found.update(filter(None, node.output))
        if isinstance(graph, onnx.GraphProto):
            found.update({tensor.name for tensor in graph.initializer} | {value.name for value in graph.input})
        else:
            found.update(graph.input)
    return found


def stored(model: onnx.ModelProto) -> set[str]:
    """Names of all initializers."""
    return {t.name for g in every_graph(model) if isinstance(g, onnx.GraphProto) for t in g.initializer}


def interface(model: onnx.ModelProto) -> list[bytes]:
    return [value.SerializeToString() for value in (*model.graph.input, *model.graph.output)]


def operators(model: onnx.ModelProto) -> Counter:
    return Counter(node.op_type for node in every_node(model))


# Plans.


def truths(plan: Plan, planted) -> dict[str, Decomposition]:
    """The planted truth behind each step: by its name, or, where that came out of a function, in order of the calls."""
    names = [step.node.rsplit("/", 1)[-1] for step in plan.steps]
    if not set(names) <= planted.truth.keys():
        names = list(planted.truth)
    return {step.node: planted.truth[name] for step, name in zip(plan.steps, names, strict=True)}


def edited(plan: Plan, lowering: str | None = None, blocks=None, **fields) -> Plan:
    """The plan as a user would edit it: another lowering, or other blocks or a decomposition of them (step -> blocks),
    in every step."""

    def edit(step):
        parts = blocks(step) if blocks else step.decomposition
        parts = parts if isinstance(parts, Decomposition) else Decomposition(step.shape, tuple(parts))
        return dataclasses.replace(step, lowering=lowering or step.lowering, decomposition=parts, **fields)

    return dataclasses.replace(plan, steps=tuple(map(edit, plan.steps)))


def unmerged(plan: Plan, planted, lowering: str, cover=lambda truth: truth) -> Plan:
    """Every linear in all its true blocks, or in what `cover` makes of them."""
    known = truths(plan, planted)
    return edited(plan, lowering, lambda step: cover(known[step.node]))


def shared(truth: Decomposition) -> Decomposition:
    """A cover of the same edges in which halves of each block's outputs read the same inputs."""
    halves = [(b, half) for b in truth.blocks for half in np.array_split(b.outputs, 2) if half.size]
    return Decomposition(truth.shape, tuple(Block(block.inputs, half) for block, half in halves))


def split_k(truth: Decomposition) -> Decomposition:
    """The same edges in blocks whose results are added: halves of each block's inputs."""
    halves = [(b, half) for b in truth.blocks for half in np.array_split(b.inputs, 2) if half.size]
    return Decomposition(truth.shape, tuple(Block(half, block.outputs) for block, half in halves), split_k=True)


def with_residual(truth: Decomposition) -> Decomposition:
    """The same edges with those of the last input and of the last output of each block apart, where it has several."""
    blocks = [
        Block(b.inputs[: max(b.inputs.size - 1, 1)], b.outputs[: max(b.outputs.size - 1, 1)]) for b in truth.blocks
    ]
    inside = Decomposition(truth.shape, tuple(blocks)).inside()
    residual = [(int(k), int(n)) for k, n in np.argwhere(truth.inside() & ~inside)]
    return Decomposition(truth.shape, tuple(blocks), residual=tuple(residual))


def whole(K: int, N: int) -> Block:
    return Block(np.arange(K), np.arange(N))


# Small graphs spelt out by hand.


def graph(nodes, inputs, outputs, constants, opset: int = 17, ir_version: int = 10) -> onnx.ModelProto:
    """A model from (op, inputs, outputs, attributes), {name: shape or None}, {name: array}; nodes are named n0, n1 …"""
    protos = [
        onnx.helper.make_node(op, ins, outs, name=attributes.pop("name", f"n{index}"), **attributes)
        for index, (op, ins, outs, attributes) in enumerate((*node[:3], dict(*node[3:])) for node in nodes)
    ]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    dtype = onnx.helper.np_dtype_to_tensor_dtype(next(iter(constants.values())).dtype)
    values = [
        [onnx.helper.make_tensor_value_info(name, dtype, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    imports = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(
        onnx.helper.make_graph(protos, "graph", *values, tensors), opset_imports=imports, ir_version=ir_version
    )
