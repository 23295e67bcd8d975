import dataclasses
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from run_models import W, linear, model, value

from scission.runtime.ort import session as sessions
from scission.runtime.ort.cuda import placement
from scission.runtime.ort.library import SessionError, cuda_problem
from scission.runtime.ort.session import ModelSource, open_session
from scission.runtime.ort.tensor_spec import TensorSpec


def test_runs_and_describes_the_interface():
    session = open_session(linear().SerializeToString(), threads=1)
    assert session.provider == "cpu"
    assert session.threads == 1
    assert session.ort.get_session_options().intra_op_num_threads == 1
    assert session.load_seconds > 0
    assert session.inputs == (TensorSpec(name="x", dtype="float32", shape=("batch", 3)),)
    assert session.outputs == (TensorSpec(name="y", dtype="float32", shape=("batch", 4)),)
    x = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(session.run({"x": x})["y"], W)
    session.bind({"x": x})()


def test_unnamed_and_inferred_dimensions_and_types():
    names = {T.FLOAT16: "float16", T.BFLOAT16: "bfloat16", T.DOUBLE: "float64", T.INT64: "int64", T.BOOL: "bool"}
    for proto, name in (names | {T.STRING: "string"}).items():
        node = h.make_node("Identity", ["x"], ["y"])
        m = model([node], [value("x", [None, "n", 2], proto)], [value("y", None, proto)])
        session = open_session(m.SerializeToString())
        assert session.inputs[0] == TensorSpec(name="x", dtype=name, shape=(None, "n", 2))
        assert session.outputs[0].dtype == name


def test_chosen_outputs_only():
    node = h.make_node("Split", ["x"], ["a", "b"], axis=1)
    m = model([node], [value("x", ["n", 4])], [value("a", ["n", 2]), value("b", ["n", 2])])
    session = open_session(m.SerializeToString())
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    assert list(session.run({"x": x})) == ["a", "b"]
    only = session.run({"x": x}, ["b"])
    assert list(only) == ["b"]
    np.testing.assert_array_equal(only["b"], [[2, 3]])


def test_bfloat16_beside_text_is_refused_and_what_helps_is_told():
    """The right values as well: what the message says works."""
    nodes = [h.make_node("Cast", ["x"], ["y"], to=T.BFLOAT16), h.make_node("Identity", ["t"], ["u"])]
    values = [
        h.make_tensor_value_info(name, kind, ["n"])
        for name, kind in (("x", T.FLOAT), ("t", T.STRING), ("y", T.BFLOAT16), ("u", T.STRING))
    ]
    graph = h.make_graph(nodes, "g", values[:2], values[2:])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    session = open_session(model.SerializeToString(), provider="cpu")
    feeds = {"x": np.ones(2, np.float32), "t": np.array(["a", "b"], object)}
    with pytest.raises(SessionError, match=r"takes text \('t'\) and gives bfloat16"):
        session.run(feeds)
    assert session.run(feeds, ["u"])["u"].tolist() == ["a", "b"]


def test_bfloat16_in_and_out():
    nodes = [h.make_node("Cast", ["x"], ["f"], to=T.FLOAT), h.make_node("Cast", ["f"], ["y"], to=T.BFLOAT16)]
    m = model(nodes, [value("x", ["n", 2], T.BFLOAT16)], [value("y", ["n", 2], T.BFLOAT16), value("f", ["n", 2])])
    session = open_session(m.SerializeToString())
    x = np.array([[1.5, -2.0], [np.inf, 0.25]], ml_dtypes.bfloat16)
    for fed in (x, np.asfortranarray(x), x[:0]):
        outputs = session.run({"x": fed})
        assert outputs["y"].dtype == ml_dtypes.bfloat16
        assert outputs["y"].shape == fed.shape
        assert np.array_equal(outputs["y"], fed)
        assert outputs["f"].dtype == np.float32
    session.bind({"x": x})()
    only_in = model(nodes[:1], [value("x", ["n", 2], T.BFLOAT16)], [value("f", ["n", 2])])
    assert np.array_equal(open_session(only_in.SerializeToString()).run({"x": x})["f"], x.astype(np.float32))


def test_text_goes_through():
    m = model([h.make_node("Identity", ["x"], ["y"])], [value("x", ["n"], T.STRING)], [value("y", ["n"], T.STRING)])
    session = open_session(m.SerializeToString())
    assert session.run({"x": np.array(["a", "ß"], object)})["y"].tolist() == ["a", "ß"]
    session.bind({"x": np.array(["a"], object)})()


def test_bound_outputs_of_every_kind():
    nodes = [
        h.make_node("Cast", ["x"], ["text"], to=T.STRING),
        h.make_node("SequenceConstruct", ["x", "x"], ["twice"]),
        h.make_node("Shape", ["x"], ["size"]),
    ]
    twice = h.make_value_info("twice", h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, None)))
    m = model(nodes, [value("x", [])], [value("text", None, T.STRING), twice, value("size", [0], T.INT64)])
    session = open_session(m.SerializeToString())
    session.bind({"x": np.float32(1)})()
    assert session.run({"x": np.array(1, np.float32)})["text"] == "1"


def of_types(*types):
    """x twice, and cast to each type."""
    nodes = [h.make_node("Add", ["x", "x"], ["y"]), *(h.make_node("Cast", ["x"], [f"y{t}"], to=t) for t in types)]
    outputs = [value("y", None), *(value(f"y{t}", None, t) for t in types)]
    return open_session(model(nodes, [value("x", None)], outputs).SerializeToString())


@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_outputs_lie_in_memory_that_stays(shape):
    session = of_types(T.FLOAT16, T.BFLOAT16, T.DOUBLE, T.INT64, T.INT8, T.UINT8, T.BOOL)
    x = np.arange(-3, 3, dtype=np.float32).reshape(2, 3) if shape else np.float32(2) * np.ones((), np.float32)
    call = session.bind({"x": x})
    assert call.fixed
    places = [memory.data_ptr() for memory, _ in call.room.values()]
    call()
    call.spoil()
    spoilt = call.outputs()
    assert np.isnan(spoilt["y"]).all() and np.isnan(spoilt[f"y{T.BFLOAT16}"].astype(np.float32)).all()
    call()
    assert places == [memory.data_ptr() for memory, _ in call.room.values()]
    wanted = session.run({"x": x})
    assert call.outputs().keys() == wanted.keys()
    for name, array in call.outputs().items():
        assert array.dtype == wanted[name].dtype and array.shape == wanted[name].shape
        assert np.array_equal(array, wanted[name])


def test_half_precision_goes_in_and_out_of_memory_that_stays():
    for proto, dtype in ((T.FLOAT16, np.float16), (T.BFLOAT16, ml_dtypes.bfloat16)):
        nodes = [h.make_node("Cast", ["x"], ["f"], to=T.FLOAT), h.make_node("Cast", ["f"], ["y"], to=proto)]
        session = open_session(model(nodes, [value("x", ["n"], proto)], [value("y", ["n"], proto)]).SerializeToString())
        x = np.array([1.5, -2.0, np.inf], dtype)
        call = session.bind({"x": x})
        call()
        assert call.fixed and np.array_equal(call.outputs()["y"], x)


def test_outputs_that_cannot_lie_in_memory_that_stays():
    nodes = [h.make_node("Cast", ["x"], ["text"], to=T.STRING), h.make_node("Add", ["x", "x"], ["y"])]
    outputs = [value("text", None, T.STRING), value("y", None)]
    session = open_session(model(nodes, [value("x", None)], outputs).SerializeToString())
    call = session.bind({"x": np.ones(2, np.float32)})
    call()
    assert not call.fixed and call.outputs().keys() == {"y"}
    empty = session.bind({"x": np.ones((0, 2), np.float32)})
    empty()
    assert not empty.fixed and not empty.outputs()
    text = model([h.make_node("Identity", ["x"], ["y"])], [value("x", ["n"], T.STRING)], [value("y", ["n"], T.STRING)])
    assert not open_session(text.SerializeToString()).bind({"x": np.array(["a"], object)}).fixed


def test_an_optional_output_that_holds_nothing():
    tensor = h.make_tensor_type_proto(T.FLOAT, None)
    nodes = [h.make_node("Optional", [], ["none"], type=tensor), h.make_node("Add", ["x", "x"], ["y"])]
    outputs = [h.make_value_info("none", h.make_optional_type_proto(tensor)), value("y", ["n"])]
    call = open_session(model(nodes, [value("x", ["n"])], outputs).SerializeToString()).bind({"x": W[0]})
    call()
    assert not call.fixed


def varying():
    """Two outputs, the second of another size in almost every run."""
    nodes = [
        h.make_node("Add", ["x", "x"], ["y"]),
        h.make_node("RandomUniform", [], ["u"], shape=[999]),
        h.make_node("Round", ["u"], ["r"]),
        h.make_node("NonZero", ["r"], ["found"]),
    ]
    outputs = [value("y", ["n"]), value("found", None, T.INT64)]
    return open_session(model(nodes, [value("x", ["n"])], outputs).SerializeToString())


def test_sizes_that_vary_from_run_to_run_give_up_the_memory():
    call = varying().bind({"x": W[0]})
    assert call.fixed
    for _ in range(9):
        call()
    assert not call.fixed


class Recorder:
    """An InferenceSession that keeps the run options it was called with."""

    def __init__(self, ort):
        self.ort, self.seen = ort, []

    def __getattr__(self, name):
        return getattr(self.ort, name)

    def run(self, names, feeds, options=None):
        self.seen.append(options)
        return self.ort.run(names, feeds, options)

    def run_with_iobinding(self, binding, options=None):
        self.seen.append(options)
        self.ort.run_with_iobinding(binding, options)


def graph_of(session):
    """A session that believes in CUDA graphs, on the CPU, which ignores the option."""
    return dataclasses.replace(session, ort=Recorder(session.ort), cuda_graph=True)


def test_only_a_call_on_memory_that_stays_is_recorded_as_a_graph():
    session = graph_of(open_session(linear().SerializeToString()))
    session.run({"x": W[:, :3]})
    call = session.bind({"x": W[:, :3]})
    assert [options.get_run_config_entry("gpu_graph_id") for options in session.ort.seen] == ["-1", "-1"]
    call()
    call()
    assert session.ort.seen[2:] == [None, None]
    text = model([h.make_node("Cast", ["x"], ["y"], to=T.STRING)], [value("x", ["n"])], [value("y", ["n"], T.STRING)])
    session = graph_of(open_session(text.SerializeToString()))
    session.bind({"x": W[0]})()
    assert [options.get_run_config_entry("gpu_graph_id") for options in session.ort.seen] == ["-1", "-1"]
    plain = open_session(linear().SerializeToString())
    assert not plain.cuda_graph and sessions._uncaptured(plain) == ()


def test_a_graph_whose_outputs_do_not_fit_fails():
    call = graph_of(varying()).bind({"x": W[0]})
    with pytest.raises(SessionError, match="found"):
        for _ in range(9):
            call()


def test_bound_call_runs_the_model():
    """A refusal at run time must surface, so the bound call really runs: 7 elements cannot become pairs."""
    m = model([h.make_node("Reshape", ["x", "s"], ["y"])], [value("x", ["n"])], [value("y", ["m", 2])],
              [("s", np.array([-1, 2]))])  # fmt: skip
    session = open_session(m.SerializeToString())
    session.bind({"x": np.zeros(8, np.float32)})()
    call = session.bind({"x": np.zeros(7, np.float32)})
    with pytest.raises(SessionError, match=r"model in memory: ONNX Runtime: .*Reshape"):
        call()


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, r"no value for the inputs \['x'\]"),
        ({"z": np.zeros((1, 3), np.float32)}, r"no value for the inputs \['x'\]; got \['z'\]"),
        ({"x": np.zeros((1, 3), np.float64)}, "Unexpected input data type"),
        ({"x": np.zeros((1, 5), np.float32)}, "invalid dimensions for input: x.*sizes=…"),
        ({"x": np.zeros((1, 3), np.float32), "z": np.zeros(1)}, "z"),
    ],
)
def test_wrong_inputs_name_the_model(tmp_path, feeds, text):
    path = tmp_path / "linear.onnx"
    onnx.save(linear(), path)
    session = open_session(path)
    for run in (session.run, lambda feeds: session.bind(feeds)()):
        with pytest.raises(SessionError, match=text) as caught:
            run(feeds)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_refused_models_say_which_why_and_what_to_do(tmp_path):
    unknown = model([h.make_node("Zap", ["x"], ["y"], name="z")], [value("x", [1])], [value("y", [1])])
    custom = model([h.make_node("Zap", ["x"], ["y"], domain="my")], [value("x", [1])], [value("y", [1])], (), ["my"])
    new = linear()
    new.ir_version = 999
    cases = {
        "unknown.onnx": (unknown.SerializeToString(), "Zap.*custom_ops=…"),
        "custom.onnx": (custom.SerializeToString(), "Zap.*custom_ops=…"),
        "cut.onnx": (linear().SerializeToString()[:-30], "rotobuf parsing failed.*whole ONNX file"),
        "empty.onnx": (b"", "whole ONNX file"),
        "new.onnx": (new.SerializeToString(), "IR version.*upgrade"),
    }
    for name, (data, text) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SessionError, match=text) as caught:
            open_session(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "[ONNXRuntimeError]" not in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(SessionError, match="check the path"):
        open_session(tmp_path / "missing.onnx")


def test_wrong_options():
    data = linear().SerializeToString()
    with pytest.raises(SessionError, match="unknown provider 'tpu'"):
        open_session(data, provider="tpu")
    for provider in ("cpu", "auto") if cuda_problem() else ("cpu",):
        with pytest.raises(SessionError, match="model in memory: CUDA graphs run on CUDA only; use provider='cuda'"):
            open_session(data, provider=provider, cuda_graph=True)
    with pytest.raises(SessionError, match="threads must be at least 1"):
        open_session(data, threads=0)
    with pytest.raises(SessionError, match=r"nowhere\.so: there is no such file"):
        open_session(data, custom_ops=[Path("nowhere.so")])


def test_optimize_switches_fusion_off():
    nodes = [
        h.make_node("MatMul", ["x", "W"], ["a"], name="product"),
        h.make_node("Add", ["a", "b"], ["y"], name="add"),
    ]
    m = model(nodes, [value("x", ["n", 3])], [value("y", ["n", 4])], [("W", W), ("b", W[0])]).SerializeToString()
    assert set(placement(open_session(m, optimize=False))) == {"product", "add"}
    assert len(placement(open_session(m))) == 1


def test_external_data_of_a_model_in_memory(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(linear(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    bare = path.read_bytes()
    x = np.eye(3, dtype=np.float32)
    for session in (open_session(path), open_session(ModelSource(bare, folder=tmp_path))):
        np.testing.assert_array_equal(session.run({"x": x})["y"], W)
    with pytest.raises(SessionError, match="beside the model"):
        open_session(bare)
