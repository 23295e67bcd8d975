import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

import scission
from scission.runtime.compare.evaluator import REFERENCE
from scission.runtime.ort.library import SessionError

K, N = 48, 64
TYPES = {TensorProto.BFLOAT16: ml_dtypes.bfloat16, TensorProto.DOUBLE: np.float64, TensorProto.FLOAT: np.float32}


def model(kind, *nodes, scale=1.0, last="y", imports=()):
    rng = np.random.default_rng(0)
    w = np.zeros((K, N))
    for i in range(4):
        w[i * 12 : i * 12 + 12, i * 16 : i * 16 + 16] = rng.standard_normal((12, 16)) * scale
    array = w.astype(TYPES[kind])
    tensor = TensorProto(name="w", data_type=kind, dims=array.shape, raw_data=array.tobytes())
    values = [helper.make_tensor_value_info(name, kind, ["n", size]) for name, size in (("x", K), ("y", N))]
    product = helper.make_node("MatMul", ["x", "w"], [last], "mm")
    graph = helper.make_graph([product, *nodes], "g", values[:1], values[1:], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), *imports], ir_version=8)


def erf(scale=1.0):
    """A float64 Erf behind a product: ONNX Runtime has the product for float64 and not the Erf."""
    return model(TensorProto.DOUBLE, helper.make_node("Erf", ["h"], ["y"], "erf"), scale=scale, last="h")


@pytest.mark.parametrize(
    "make", [lambda scale=1.0: model(TensorProto.BFLOAT16, scale=scale), erf], ids=["bfloat16", "erf"]
)
def test_what_onnx_runtime_has_no_kernel_for_is_proved_on_the_reference(make):
    found = scission.optimize(make(), force=True)
    assert found.outcome == "split", found.reason
    assert found.verdict is not None and found.verdict.equal and found.verdict.provider == REFERENCE
    assert not found.benches and "not timed" in found.reason
    verdict = scission.check(make(), make(1.2))
    assert verdict.provider == REFERENCE and not verdict.equal


def test_without_a_plan_to_split_nothing_is_run():
    found = scission.optimize(erf())
    assert found.outcome == "unchanged" and found.verdict is None


def test_what_neither_runs_asks_for_the_library(tmp_path):
    """An operator whose library is not given: neither of the two knows it."""
    nodes = [
        helper.make_node("Erf", ["h"], ["e"], "erf"),
        helper.make_node("FusedGelu", ["e"], ["y"], "gelu", domain="org.example"),
    ]
    path = tmp_path / "in.onnx"
    path.write_bytes(
        model(TensorProto.DOUBLE, *nodes, last="h", imports=[helper.make_opsetid("org.example", 1)]).SerializeToString()
    )
    with pytest.raises(SessionError, match="custom_ops"):
        scission.optimize(path, tmp_path / "out.onnx", force=True)
    assert not (tmp_path / "out.onnx").exists()


def test_timing_alone_says_what_to_do():
    with pytest.raises(SessionError, match="bench=False"):
        scission.optimize(erf(), force=True, check=False)
    assert scission.optimize(erf(), force=True, check=False, bench=False).outcome == "split"


def test_more_features_than_onnx_gathers_are_proved():
    """`GatherElements` of onnx.reference takes at most 64 features of more than two dimensions."""
    rng = np.random.default_rng(0)
    w = np.kron(np.eye(4), rng.standard_normal((24, 24)))[rng.permutation(96)][:, rng.permutation(96)]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "mm"), helper.make_node("Erf", ["h"], ["y"], "erf")]
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", 3, 96]) for name in "xy"]
    tensor = TensorProto(name="w", data_type=TensorProto.DOUBLE, dims=w.shape, raw_data=w.tobytes())
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [tensor])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = scission.optimize(proto, lowering="permute")
    assert "GatherElements" in {node.op_type for node in found.model.graph.node}
    assert found.verdict is not None and found.verdict.equal and found.verdict.provider == REFERENCE


def test_a_report_leaves_out_the_bench_and_says_so(tmp_path):
    page = tmp_path / "page.html"
    found = scission.report(model(TensorProto.BFLOAT16), model(TensorProto.BFLOAT16), page)
    assert found.ok and found.verdict is not None and found.verdict.provider == REFERENCE
    assert found.benches == () and "not timed: ONNX Runtime has no kernel" in found.sentence
    assert found.sentence in page.read_text() and found.to_dict()["untimed"] == found.untimed


def test_a_bench_of_what_cannot_run_is_one_line():
    with pytest.raises(SessionError, match="no kernel for that operator") as caught:
        scission.bench(model(TensorProto.BFLOAT16), model(TensorProto.BFLOAT16))
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_empty_at_every_size_is_equal_on_the_reference():
    proto = model(TensorProto.BFLOAT16)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 0
    verdict = scission.check(proto, proto)
    assert verdict.provider == REFERENCE and verdict.equal and verdict.reason.startswith("every output is empty")
