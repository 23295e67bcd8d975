import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from races import SimulatedClock
from trials_given import trials_of

from scission.runtime.measure import bench as benches
from scission.runtime.measure import clock as clocks
from scission.runtime.measure import race as races
from scission.runtime.measure.bench import BenchError, file_bytes
from scission.runtime.measure.comparison import Speed
from scission.runtime.measure.rounds import WARM_UP
from scission.runtime.ort.library import SessionError, cuda_problem
from scission.runtime.ort.trials import TrialsError

X = {"x": np.ones((7, 4), np.float32)}


def bench(one, other, feeds, **options):
    trials, others = trials_of(options)
    return benches.bench(one, other, feeds, trials=trials, **others)


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


def two():
    one, other = data("Relu"), data("Softplus")
    assert len(one) != len(other)
    return one, other


def test_times_ratios_and_throughput(monkeypatch):
    one, other = two()
    clock = SimulatedClock(monkeypatch, {one: 0.4, other: 0.1}).clock
    result = bench(one, other, X, threads=1, repeats=14, clock=clock)
    assert result.original.latency.median == pytest.approx(0.4)
    assert result.changed.latency.median == pytest.approx(0.1)
    assert result.speedup == pytest.approx(4) and result.speed is Speed.FASTER
    assert result.paired.median == pytest.approx(4)
    assert (result.rows, result.pairs, result.threads, result.provider) == (7, 14, 1, "cpu")
    assert result.original.rows_per_second == pytest.approx(7 / 0.4)
    assert result.changed.rows_per_second == pytest.approx(7 / 0.1)
    assert (result.original.bytes_, result.changed.bytes_) == (len(one), len(other))


def test_warm_up_is_not_counted_and_spread_is_the_quantiles(monkeypatch):
    one, other = two()
    slow_start = 2 * WARM_UP

    def jitter(calls):
        return 0.9 if calls <= slow_start else 0.1 + (calls - slow_start) * 0.001

    clock = SimulatedClock(monkeypatch, {one: jitter, other: 0.2}).clock
    result = bench(one, other, X, repeats=20, seconds=100.0, clock=clock)
    assert result.original.latency.q10 < result.original.latency.median < result.original.latency.q90 < 0.2
    assert result.changed.latency.q10 == pytest.approx(0.2)
    assert result.changed.latency.q90 == pytest.approx(0.2)


def test_drift_of_the_machine_does_not_move_the_paired_ratio(monkeypatch):
    one, other = two()

    def drifting(factor):
        return lambda calls: factor * 1.01**calls

    clock = SimulatedClock(monkeypatch, {one: drifting(3.0), other: drifting(1.0)}).clock
    result = bench(one, other, X, repeats=200, clock=clock)
    assert result.speedup == pytest.approx(3, rel=0.02)
    assert result.comparison.low > 2.9 and result.comparison.high < 3.1


def test_it_ends_when_it_is_clear_or_the_time_is_over(monkeypatch):
    one, other = two()

    def pairs(first, second, **options):
        return bench(one, other, X, clock=SimulatedClock(monkeypatch, {one: first, other: second}).clock, **options)

    rng = np.random.default_rng(0)
    noisy = {"first": lambda _: rng.uniform(0.02, 0.08), "second": lambda _: rng.uniform(0.02, 0.08)}
    assert pairs(0.3, 0.1, seconds=60.0).pairs == 12
    assert pairs(0.3, 0.1, seconds=0.01).pairs == 12  # fewer would show nothing
    assert pairs(0.3, 0.1, seconds=0.01, repeats=2).speed is Speed.UNMEASURABLE
    open_ = pairs(*noisy.values(), seconds=3.0)
    assert open_.speed is Speed.UNMEASURABLE and 12 < open_.pairs <= 30
    assert pairs(*noisy.values(), seconds=60.0).pairs > open_.pairs
    assert pairs(0.1, 0.1, seconds=20.0, precision=None).pairs in range(49, 52)


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
    assert again["comparison"] == {
        "speed": "unmeasurable",
        "ratio": result.speedup,
        "low": None,
        "high": None,
        "pairs": 5,
    }
    assert (again["speedup"], again["pairs"], again["clock"]) == (result.speedup, 5, result.clock)


def test_one_thread_is_timed_in_processor_seconds_where_the_clock_is_fine(monkeypatch):
    for fine, threads, name in ((True, 1, "cpu"), (True, 2, "wall"), (True, None, "wall"), (False, 1, "wall")):
        monkeypatch.setattr(clocks, "_fine", lambda fine=fine: fine)
        assert bench(data("Relu"), data("Exp"), X, threads=threads, repeats=1).clock == name


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
    with pytest.raises(TrialsError, match=r"seconds must be a number from 0\.01 to 86400"):
        bench(data(), data(), X, seconds=0)
    with pytest.raises(BenchError, match=r"on CUDA only; use provider='cuda' .* cuda_graph='auto'"):
        bench(data(), data(), X, cuda_graph="on")
    with pytest.raises(TrialsError, match="cuda_graph 'maybe' is none of auto, on, off"):
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
    proto.graph.input.append(h.make_tensor_value_info("c", T.BOOL, []))
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
        pytest.skip(str(problem))
    result = bench(data("Relu"), data("Exp"), X, provider="cuda", repeats=5)
    assert result.provider == "cuda"
    assert result.machine["provider"] == "cuda"
    assert (result.cuda_graph, result.cuda_graph_reason) == (True, "")
    plain = bench(data("Relu"), data("Exp"), X, provider="cuda", repeats=5, cuda_graph="off")
    assert (plain.cuda_graph, plain.cuda_graph_reason) == (False, "switched off")
