"""Which provider runs which node, and what speaks against a graph of CUDA."""

import re
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from run_models import W, linear, model, shapes_and_products, value

from scission.ir.reason import Cause, Reason
from scission.runtime.ort import library
from scission.runtime.ort.cuda import graph_problem, left_cuda, placement
from scission.runtime.ort.library import SessionError, cuda_problem
from scission.runtime.ort.session import Session, open_session
from scission.runtime.ort.tensor_spec import TensorSpec


def test_cuda_is_never_replaced_in_silence(monkeypatch, capfd):
    data = linear().SerializeToString()
    monkeypatch.setattr(library, "cuda_problem", lambda: Reason(Cause.NO_PROVIDER, "it is broken"))
    assert open_session(data, provider="auto").provider == "cpu"
    with pytest.raises(SessionError, match="model in memory: asked for CUDA, and it is broken"):
        open_session(data, provider="cuda")
    with pytest.raises(SessionError, match="this machine: asked for CUDA"):
        library.resolved("cuda", "this machine")
    if cuda_problem():
        # Even when the question beforehand is answered wrongly, the session itself is asked afterwards.
        monkeypatch.setattr(library, "cuda_problem", lambda: None)
        with pytest.raises(SessionError, match="asked for cuda, onnxruntime runs it on CPUExecutionProvider"):
            open_session(data, provider="cuda")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_problem_without_cuda_is_explained_quietly(capfd):
    cuda_problem.cache_clear()
    problem = cuda_problem()
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert problem is None or (problem.cause is Cause.NO_PROVIDER and "CUDA" in problem.text)


def test_placement_names_every_node():
    inner = {
        name: h.make_graph([h.make_node(op, ["x"], [name], name=f"in_{name}")], name, [], [value(name, None)])
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        h.make_node("If", ["c"], ["a"], name="choose", then_branch=inner["then"], else_branch=inner["else"]),
        h.make_node("Exp", ["a"], ["b"]),
        h.make_node("Exp", ["b"], ["y"]),
    ]
    m = model(nodes, [value("c", [], T.BOOL), value("x", ["n"])], [value("y", None)])
    placed = placement(open_session(m.SerializeToString()))
    assert set(placed) == {"choose", "in_then", "in_else", "Exp", "Exp#2"}
    assert set(placed.values()) == {"CPUExecutionProvider"}


def test_left_cuda_tells_shapes_from_products(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(shapes_and_products(), path)
    for source in (path, path.read_bytes()):
        left = left_cuda(open_session(source, optimize=False))
        assert sorted(left.shape) == ["double", "join", "lift", "pick", "shape"]
        assert sorted(left.compute) == ["Relu", "fold", "product"]


def test_left_cuda_matches_unnamed_nodes_by_number():
    nodes = [
        h.make_node("Shape", ["x"], ["s"]),
        h.make_node("Gather", ["s", "zero"], ["n"]),
        h.make_node("Gather", ["x", "n"], ["y"]),
    ]
    m = model(nodes, [value("x", ["n", 3])], [value("y", [3])], [("zero", np.array(0))])
    left = left_cuda(open_session(m.SerializeToString(), optimize=False))
    assert sorted(left.shape) == ["Gather", "Shape"]
    assert left.compute == ("Gather",)


class Node:
    def __init__(self, name, op):
        self.name, self.op_type = name, op


class Assigned:
    """An InferenceSession with nodes on CUDA and on the CPU."""

    def __init__(self, cuda, cpu=()):
        self.parts = {"CUDAExecutionProvider": cuda, "CPUExecutionProvider": cpu}

    def get_provider_graph_assignment_info(self):
        return [SimpleNamespace(ep_name=name, get_nodes=lambda n=nodes: n) for name, nodes in self.parts.items()]


FACTS = {"name": "m", "provider": "cuda", "threads": None, "load_seconds": 0.0, "inputs": (), "outputs": ()}


def test_left_cuda_counts_only_the_nodes_elsewhere():
    data = shapes_and_products().SerializeToString()
    nodes = [Node("fold", "Reshape"), Node("", "Relu")], [Node("shape", "Shape"), Node("product", "MatMul")]
    left = left_cuda(Session(**FACTS, source=data, ort=Assigned(*nodes)))
    assert left.shape == ("shape",)
    assert left.compute == ("product",)
    with pytest.raises(SessionError, match=r"1\.24"):
        placement(Session(**FACTS, source=data, ort=object()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"ort": Assigned([Node("", "Relu")], [Node("shape", "Shape")])}, None),
        ({"ort": object()}, None),  # before 1.24 ONNX Runtime alone can tell
        ({"provider": "cpu"}, "CUDA graphs run on CUDA only"),
        ({"ort": Assigned([Node("choose", "If")])}, r"choose is control flow \(If\)"),
        ({"ort": Assigned([Node("", "NonZero")])}, "the size of what NonZero finds depends on the data"),
        ({"ort": Assigned([Node("", "Relu")], [Node("product", "MatMul")])}, "product runs on the CPU"),
        ({"inputs": (TensorSpec(name="t", dtype="string", shape=()),)}, "'t' is string, which cannot be bound"),
        ({"outputs": (TensorSpec(name="s", dtype="seq(tensor(float))", shape=()),)}, r"'s' is seq"),
        ({"outputs": (TensorSpec(name="b", dtype="bfloat16", shape=()),)}, None),
    ],
)
def test_what_speaks_against_a_cuda_graph(change, reason):
    data = shapes_and_products().SerializeToString()
    problem = graph_problem(Session(**{**FACTS, "source": data, "ort": Assigned([Node("", "Relu")]), **change}))
    assert problem is reason is None or re.match(reason, problem.text)


@pytest.mark.gpu
def test_on_cuda():
    if problem := cuda_problem():
        pytest.skip(str(problem))
    session = open_session(shapes_and_products().SerializeToString(), provider="auto", tf32=False)
    assert session.provider == "cuda"
    x = np.random.default_rng(0).standard_normal((4, 3), dtype=np.float32)
    np.testing.assert_allclose(session.run({"x": x})["y"], np.maximum(x @ W, 0).reshape(8, 2), rtol=1e-4, atol=1e-4)
    session.bind({"x": x})()
    assert "product" not in left_cuda(session).compute


@pytest.mark.gpu
@pytest.mark.parametrize("proto", [T.FLOAT, T.FLOAT16, T.BFLOAT16])
def test_on_cuda_a_graph_replays_into_the_same_memory(proto):
    if problem := cuda_problem():
        pytest.skip(str(problem))
    dtype = {T.FLOAT: np.float32, T.FLOAT16: np.float16, T.BFLOAT16: ml_dtypes.bfloat16}[proto]
    node = h.make_node("MatMul", ["x", "W"], ["y"])
    weight = h.make_tensor("W", proto, W.shape, W.astype(dtype).tobytes(), raw=True)
    graph = h.make_graph([node], "g", [value("x", ["n", 3], proto)], [value("y", ["n", 4], proto)], [weight])
    data = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    x = np.eye(3).astype(dtype)
    session = open_session(data, provider="cuda", cuda_graph=True)
    assert graph_problem(session) is None
    call = session.bind({"x": x})
    assert call.fixed
    for _ in range(3):
        call()
        assert np.array_equal(call.outputs()["y"], W.astype(dtype))
        call.spoil()
    assert np.array_equal(session.run({"x": x})["y"], W.astype(dtype))  # not by the graph
    call()
    assert np.array_equal(call.outputs()["y"], W.astype(dtype))
