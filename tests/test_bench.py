import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from scission.runtime import bench as benches
from scission.runtime import race as races
from scission.runtime.bench import BenchError, bench, file_bytes
from scission.runtime.session import Session, SessionError, cuda_problem

X = {"x": np.ones((7, 4), np.float32)}


def model(op="Relu", weight=None):
    nodes = [h.make_node(op, ["x"], ["y"])]
    initializers = []
    if weight is not None:
        nodes.insert(0, h.make_node("MatMul", ["x", "W"], ["a"]))
        nodes[1].input[0] = "a"
        initializers.append(nh.from_array(weight, "W"))
    x, y = (h.make_tensor_value_info(name, T.FLOAT, ["n", 4]) for name in ("x", "y"))
    graph = h.make_graph(nodes, "g", [x], [y], initializers)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def data(op="Relu"):
    return model(op).SerializeToString()


class Clock:
    """Time that passes only inside the models: each call of a model takes the seconds it is told to."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(races.time, "perf_counter", lambda: self.now)

        def bind(session, feeds):
            name = session.run(feeds) and len(session.source)

            def call():
                self.calls.append(name)
                self.now += seconds[name](len(self.calls)) if callable(seconds[name]) else seconds[name]

            return call

        monkeypatch.setattr(Session, "bind", bind)


def two():
    one, other = data("Relu"), data("Softplus")
    assert len(one) != len(other)
    return one, other


def test_times_ratios_and_throughput(monkeypatch):
    one, other = two()
    Clock(monkeypatch, {len(one): 0.4, len(other): 0.1})
    result = bench(one, other, X, threads=1, repeats=6)
    assert result.original.latency.median == pytest.approx(0.4)
    assert result.changed.latency.median == pytest.approx(0.1)
    assert result.speedup == pytest.approx(4)
    assert result.paired.median == pytest.approx(4)
    assert (result.rows, result.pairs, result.threads, result.provider) == (7, 6, 1, "cpu")
    assert result.original.rows_per_second == pytest.approx(7 / 0.4)
    assert result.changed.rows_per_second == pytest.approx(7 / 0.1)
    assert (result.original.bytes_, result.changed.bytes_) == (len(one), len(other))


def test_order_alternates_after_the_warm_up(monkeypatch):
    one, other = two()
    clock = Clock(monkeypatch, {len(one): 1.0, len(other): 1.0})
    bench(one, other, X, repeats=4)
    a, b = len(one), len(other)
    assert clock.calls == [a, b] * races.WARM_UP + [a, b, b, a, a, b, b, a]


def test_warm_up_is_not_counted_and_spread_is_the_quantiles(monkeypatch):
    one, other = two()
    slow_start = 2 * races.WARM_UP

    def jitter(calls):
        return 100.0 if calls <= slow_start else 1.0 + (calls - slow_start) * 0.01

    Clock(monkeypatch, {len(one): jitter, len(other): 2.0})
    result = bench(one, other, X, repeats=20)
    assert result.original.latency.q10 < result.original.latency.median < result.original.latency.q90 < 2
    assert result.changed.latency.q10 == pytest.approx(2.0)
    assert result.changed.latency.q90 == pytest.approx(2.0)


def test_drift_of_the_machine_does_not_move_the_paired_ratio(monkeypatch):
    one, other = two()

    def drifting(factor):
        return lambda calls: factor * 1.01**calls

    Clock(monkeypatch, {len(one): drifting(3.0), len(other): drifting(1.0)})
    result = bench(one, other, X, repeats=200)
    assert result.paired.median == pytest.approx(3, rel=0.02)
    assert result.paired.q10 > 2.9


def test_repeats_fill_the_time_budget_and_are_five_at_least(monkeypatch):
    one, other = two()
    Clock(monkeypatch, {len(one): 0.05, len(other): 0.05})
    assert bench(one, other, X, seconds=2.0).pairs in (20, 21)
    assert bench(one, other, X, seconds=0.01).pairs == 5
    assert bench(one, other, X, seconds=0.01, repeats=2).pairs == 2


def test_real_models_and_json():
    result = bench(data("Relu"), data("Exp"), X, threads=1, repeats=5)
    assert result.pairs == 5
    assert 0 < result.original.latency.q10 <= result.original.latency.median <= result.original.latency.q90
    assert result.original.load_seconds > 0
    assert result.changed.load_seconds > 0
    assert result.machine["provider"] == "cpu"
    again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert again["paired"]["median"] == result.paired.median
    assert again["changed"]["latency"]["q90"] == result.changed.latency.q90


def test_both_sessions_get_the_same_settings(monkeypatch):
    seen = []
    real = benches.open_session

    def spy(model, **options):
        seen.append(options)
        return real(model, **options)

    for module in (benches, races):
        monkeypatch.setattr(module, "open_session", spy)
    bench(data("Relu"), data("Exp"), X, threads=2, repeats=1)
    assert len(seen) == 3  # one is thrown away
    for options in seen:
        options.pop("name", None)  # for messages
    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["threads"] == 2


def test_no_rows_without_a_first_dimension():
    x, y = (h.make_tensor_value_info(name, T.FLOAT, []) for name in ("x", "y"))
    scalar = h.make_graph([h.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    proto = h.make_model(scalar, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    result = bench(proto, proto, {"x": np.float32(1) * np.ones((), np.float32)}, repeats=1)
    assert result.rows is None
    assert result.changed.rows_per_second is None


def test_refused():
    with pytest.raises(BenchError, match="repeats must be at least 1"):
        bench(data(), data(), X, repeats=0)
    with pytest.raises(BenchError, match="seconds must be above 0"):
        bench(data(), data(), X, seconds=0)
    with pytest.raises(BenchError, match=r"on CUDA only; use --provider cuda .* --cuda-graph auto"):
        bench(data(), data(), X, cuda_graph="on")
    with pytest.raises(BenchError, match="cuda_graph must be one of"):
        bench(data(), data(), X, cuda_graph="maybe")
    with pytest.raises(SessionError, match="original: no value for the inputs"):
        bench(data(), data(), {})
    if cuda_problem():
        with pytest.raises(SessionError, match="asked for CUDA"):
            bench(data(), data(), X, provider="cuda")


def test_bytes_include_external_data_wherever_it_hangs(tmp_path):
    weight = np.ones((4, 4), np.float32)
    inline, outside = tmp_path / "inline.onnx", tmp_path / "outside.onnx"
    onnx.save(model(weight=weight), inline)
    assert file_bytes(inline) == inline.stat().st_size
    assert file_bytes(b"12345") == 5
    branch = h.make_graph(
        [h.make_node("Constant", [], ["t"], value=nh.from_array(np.ones(50, np.float32)))],
        "b",
        [],
        [h.make_tensor_value_info("t", T.FLOAT, None)],
        [nh.from_array(np.ones(70, np.float32), "v")],
    )
    proto = model(weight=weight)
    proto.graph.node.append(h.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))
    proto.graph.initializer.append(nh.from_array(weight, "W2"))
    proto.graph.initializer.append(nh.from_array(weight, "W3"))
    tensors = [
        *proto.graph.initializer,
        proto.graph.node[2].attribute[0].g.initializer[0],
        proto.graph.node[2].attribute[1].g.node[0].attribute[0].t,
    ]
    for tensor, name, size in zip(
        tensors, ("one", "one", outside.name, "two", "three"), (64, 64, 0, 280, 200), strict=True
    ):
        (tmp_path / name).write_bytes(b"\0" * size)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
    outside.write_bytes(proto.SerializeToString())
    assert file_bytes(outside) == outside.stat().st_size + 64 + 280 + 200


def test_the_cpu_has_no_cuda_graphs():
    for choice, reason in (("auto", "there are none on the CPU"), ("off", "switched off")):
        result = bench(data("Relu"), data("Exp"), X, repeats=1, cuda_graph=choice)
        assert (result.cuda_graph, result.cuda_graph_reason) == (False, reason)
        assert result.to_dict()["cuda_graph_reason"] == reason


@pytest.mark.gpu
def test_on_cuda():
    if problem := cuda_problem():
        pytest.skip(problem)
    result = bench(data("Relu"), data("Exp"), X, provider="cuda", repeats=5)
    assert result.provider == "cuda"
    assert result.machine["provider"] == "cuda"
    assert (result.cuda_graph, result.cuda_graph_reason) == (True, "")
    plain = bench(data("Relu"), data("Exp"), X, provider="cuda", repeats=5, cuda_graph="off")
    assert (plain.cuda_graph, plain.cuda_graph_reason) == (False, "switched off")
