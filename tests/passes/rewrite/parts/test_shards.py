"""Shards add up to what the model computes: feed-forward networks by hidden units, attention by heads."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from random_parts import run_model, without_node_names

import scission
from scission.ir.io.load import load
from scission.ir.reason import Reason
from scission.passes.rewrite.parts.shards import Shard, sharded

TRIALS = scission.Trials(provider="cpu", threads=1)
D = 8


class Network:
    """Blocks one after another on features of width 8, sequences of 3."""

    def __init__(self, seed, rank=3):
        self.rng, self.rank = np.random.default_rng(seed), rank
        self.nodes, self.constants, self.value = [], [], "x"

    def op(self, kind, *read, **more):
        name = f"v{len(self.nodes)}"
        inputs = [one if isinstance(one, str) else self.constant(one) for one in read]
        self.nodes.append(helper.make_node(kind, inputs, [name], f"n{len(self.nodes)}", **more))
        return name

    def constant(self, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def linear(self, x, rows, columns, bias=True):
        W, b = (self.rng.standard_normal(shape).astype(np.float32) for shape in ((rows, columns), columns))
        if self.rank == 2 and self.rng.random() < 0.7:
            return self.op("Gemm", x, W.T.copy(), b, transB=1)
        made = self.op("MatMul", x, W)
        return self.op("Add", made, b) if bias else made

    def ffn(self, gate=False, hidden=24):
        x = self.op("LayerNormalization", self.value, np.ones(D, np.float32), axis=-1)
        h = self.op("Tanh", self.linear(x, D, hidden))
        if gate:
            h = self.op("Mul", h, self.op("Sigmoid", self.linear(x, D, hidden)))
        self.value = self.op("Add", self.value, self.linear(h, hidden, D))

    def attention(self, heads=4):
        each = D // heads
        q, k, v = (
            self.op(
                "Transpose",
                self.op("Reshape", self.linear(self.value, D, D), np.array([0, 3, heads, each])),
                perm=[0, 2, 3, 1] if at == 1 else [0, 2, 1, 3],
            )
            for at in range(3)
        )
        made = self.op("MatMul", self.op("Softmax", self.op("MatMul", q, k), axis=-1), v)
        made = self.op("Reshape", self.op("Transpose", made, perm=[0, 2, 1, 3]), np.array([0, 3, D]))
        self.value = self.op("Add", self.value, self.linear(made, D, D))

    def model(self):
        shape = ["n", 3, D] if self.rank == 3 else ["n", D]
        x, y = (helper.make_tensor_value_info(name, 1, shape) for name in ("x", self.value))
        graph = helper.make_graph(self.nodes, "g", [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def of(kind, seed):
    made = Network(seed, 2 if kind in ("mlp", "gemm ffn") else 3)
    for step in {"mlp": "ll", "gemm ffn": "ff", "ffn": "f", "gated": "g", "attention": "a", "block": "afag"}[kind]:
        if step == "l":
            made.value = made.op("Relu", made.linear(made.value, D, D))
        else:
            {"f": made.ffn, "g": lambda: made.ffn(gate=True), "a": made.attention}[step]()
    return made.model()


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize(
    ("kind", "pairs"), [("mlp", 1), ("gemm ffn", 2), ("ffn", 1), ("gated", 1), ("attention", 1), ("block", 4)]
)
def test_shards_add_up_to_the_model(tmp_path, kind, pairs, count):
    model = of(kind, count)
    found = scission.partition(model, tmp_path / "parts", shards=count, trials=TRIALS)
    assert found.verdict.equal
    shards = [part for part in found.manifest.parts if any(s.value.endswith("/shards") for s in part.writes)]
    assert len(shards) == count * pairs and found.manifest.rows == {"x"}
    parts = scission.load_parts(tmp_path / "parts", threads=1)
    shape = [5 if isinstance(extent, str) else extent for extent in found.manifest.inputs[0].shape]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[1] = 0
    for name, value in run_model(model, {"x": x}).items():
        assert np.allclose(parts.run({"x": x})[name], value, atol=1e-4 * np.abs(value).max())
    for part in shards:
        onnx.checker.check_model(onnx.load(tmp_path / "parts" / part.model))
    assert scission.check_parts(tmp_path / "parts", model, trials=TRIALS).equal


@pytest.mark.parametrize("seed", range(4))
def test_a_transformer_block_without_names_of_nodes_is_cut(tmp_path, seed):
    """Attention and feed-forward; two constants have the names that shards give to their own."""
    model = without_node_names(of("block", seed))
    taken = {"c0": "shard/W", "c1": "shard/product"}
    for one in model.graph.initializer:
        one.name = taken.get(one.name, one.name)
    for node in model.graph.node:
        node.input[:] = [taken.get(name, name) for name in node.input]
    x = np.random.default_rng(seed).standard_normal((3, 3, D)).astype(np.float32)
    scission.partition(model, tmp_path / "parts", shards=2, trials=TRIALS)
    made = scission.load_parts(tmp_path / "parts", threads=1).run({"x": x})
    for name, value in run_model(model, {"x": x}).items():
        assert np.allclose(made[name], value, atol=1e-4 * np.abs(value).max())


def test_what_shards_make_is_an_output_too(tmp_path):
    """The sum of one pair, which the next pair reads, is an output of the model."""
    made = Network(0)
    made.ffn()
    middle = made.value
    made.ffn()
    model = made.model()
    model.graph.output.append(helper.make_tensor_value_info(middle, 1, ["n", 3, D]))
    found = scission.partition(model, tmp_path / "parts", shards=2, trials=TRIALS)
    assert found.verdict.equal and middle not in {value.name for value in found.manifest.between}
    shards = [part for part in found.manifest.parts if part.writes[0].value.endswith("/shards")]
    assert len(shards) == 4  # both pairs are cut
    x = np.random.default_rng(0).standard_normal((4, 3, D)).astype(np.float32)
    results = scission.load_parts(tmp_path / "parts", threads=1).run({"x": x})
    for name, value in run_model(model, {"x": x}).items():
        assert np.allclose(results[name], value, atol=1e-4 * np.abs(value).max())


def test_every_shard_has_its_own_hidden_units_and_nobody_elses():
    found = sharded(load(of("ffn", 0)).graph, 3)
    shards = [one for one in found.layers[0] if isinstance(one, Shard)]
    assert [one.macs for one in shards] == [D * 8 + 8 * D] * 3
    assert np.concatenate([one.places for one in shards]).tolist() == list(range(24))
    assert [len(layer) for layer in found.layers] == [3, 1, 1]  # what follows a sum is a part of its own


@pytest.mark.parametrize(
    ("kind", "count", "why"), [("attention", 3, "into 3"), ("attention", 8, "into 8"), ("ffn", 25, "into 25")]
)
def test_what_cannot_be_cut_so_is_refused_and_why(tmp_path, kind, count, why):
    found = sharded(load(of(kind, 0)).graph, count)
    assert isinstance(found, Reason) and why in str(found)
    with pytest.raises(scission.PartitionError, match="not cut into shards"):
        scission.partition(of(kind, 0), tmp_path / "parts", shards=count, trials=TRIALS)


def test_shards_and_groups_at_once_are_refused():
    with pytest.raises(scission.OptionError, match="leave out one"):
        scission.PartitionOptions(parts=2, shards=2)
