import dataclasses
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from races import SimulatedClock
from trials_given import trials_of

from scission.runtime.measure import race as races
from scission.runtime.measure.comparison import Speed
from scission.runtime.measure.race import BenchError, NoGraphError
from scission.runtime.measure.sequential import least_samples
from scission.runtime.ort.library import SessionError, cuda_problem
from scission.runtime.ort.session import ModelSource, open_session
from scission.runtime.ort.trials import TrialsError

X = {"x": np.ones((7, 4), np.float32)}
OPERATORS = ("Relu", "Softplus", "Exp", "Softsign", "Identity")  # names of different lengths


def race(models, feeds, **options):
    trials, others = trials_of(options)
    return races.race(models, feeds, trials=trials, **others)


def data(op):
    """A model of one operator; its bytes are as many as no other's here."""
    x, y = (h.make_tensor_value_info(name, T.FLOAT, ["n", 4]) for name in ("x", "y"))
    graph = h.make_graph([h.make_node(op, ["x"], ["y"])], "g", [x], [y], doc_string="." * OPERATORS.index(op) * 9)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()


def models(count):
    return {op: data(op) for op in OPERATORS[:count]}


@pytest.fixture
def timed(monkeypatch):
    """Races in which time passes only inside the models: (what came of it, names in the order in which they ran)."""

    def start(takes, **options):
        simulated = SimulatedClock(monkeypatch, {data(op): one for op, one in takes.items()})
        found = race({op: data(op) for op in takes}, X, clock=simulated.clock, **options)
        return found, [next(op for op in takes if data(op) == source) for source in simulated.calls]

    return start


def test_timings_ratios_and_rounds(timed):
    found, _ = timed({"Relu": 0.4, "Softplus": 0.1, "Exp": 0.8}, threads=1, repeats=12)
    assert list(found.timings) == list(found.paired) == list(found.rounds) == ["Relu", "Softplus", "Exp"]
    for name, seconds in (("Relu", 0.4), ("Softplus", 0.1), ("Exp", 0.8)):
        timing = found.timings[name]
        assert timing.latency.median == pytest.approx(seconds)
        assert timing.rows_per_second == pytest.approx(7 / seconds)
        assert timing.bytes_ == len(data(name))
        assert found.comparisons[name].ratio == pytest.approx(found.paired[name].median) == pytest.approx(0.4 / seconds)
        assert found.rounds[name] == 12
    assert (found.rows, found.threads, found.provider) == (7, 1, "cpu")
    assert found.comparison("Exp", "Softplus").ratio == pytest.approx(1 / 8)
    assert found.comparison("Exp", "Softplus").speed is Speed.SLOWER


def test_a_drift_of_the_machine_does_not_move_the_ratios(timed):
    drifting = zip(OPERATORS, (3, 1, 2), strict=False)
    found, _ = timed({name: (lambda calls, each=each: each * 1.01**calls) for name, each in drifting}, repeats=300)
    assert found.comparisons["Softplus"].ratio == pytest.approx(3, rel=0.03)
    assert found.comparisons["Exp"].ratio == pytest.approx(1.5, rel=0.03)
    assert found.comparisons["Relu"].speed is Speed.EQUAL


def test_hopeless_models_are_left_behind_as_soon_as_that_is_clear(timed):
    seconds = {"Relu": 0.1, "Softplus": 0.1, "Exp": 0.25, "Softsign": 5.0}
    found, calls = timed(seconds, repeats=20, drop=3.0)
    assert found.rounds == {"Relu": 20, "Softplus": 20, "Exp": 20, "Softsign": least_samples()}
    assert calls.count("Softsign") == 1 + least_samples()  # of so slow ones one run warms up
    assert found.timings["Softsign"].latency.median == pytest.approx(5.0)
    assert found.comparisons["Softsign"].ratio == pytest.approx(0.02)
    assert timed(seconds, repeats=20)[0].rounds["Softsign"] == 20


def test_the_first_model_may_be_left_behind_too(timed):
    found, _ = timed({"Relu": 9.0, "Softplus": 0.1, "Exp": 0.1}, repeats=18, drop=2.0)
    assert found.rounds == {"Relu": 12, "Softplus": 18, "Exp": 18}
    assert found.comparisons["Exp"].ratio == pytest.approx(90)


def test_the_race_is_over_when_one_is_left_and_not_before(timed):
    two = {"Relu": 1.0, "Softplus": 9.0}
    assert timed(two, seconds=1000, drop=2.0, precision=None)[0].rounds == {"Relu": 12, "Softplus": 12}
    assert timed(two, repeats=20, drop=10.0)[0].rounds == {"Relu": 20, "Softplus": 20}
    assert timed(two, repeats=3, drop=2.0)[0].rounds == {"Relu": 3, "Softplus": 3}
    assert timed({"Relu": 1.0}, repeats=20, drop=1.0)[0].rounds == {"Relu": 20}


def test_it_is_over_when_the_fastest_is_known(timed):
    rng = np.random.default_rng(0)

    def noisy(mean):
        return lambda calls: mean * rng.uniform(0.8, 1.2)

    found, _ = timed({"Relu": noisy(3e-3), "Softplus": noisy(1e-3), "Exp": noisy(1.5e-3)}, seconds=1000)
    assert found.comparison("Softplus", "Exp").speed is found.comparisons["Softplus"].speed is Speed.FASTER
    assert found.comparisons["Softplus"].narrow(races.PRECISE)
    twins, _ = timed({"Relu": noisy(1e-3), "Softplus": noisy(1e-3)}, seconds=1000)
    assert twins.comparisons["Softplus"].speed is Speed.EQUAL


def test_rows_are_those_of_the_first_input_that_is_given():
    """An optional input comes first and is left out."""
    optional = h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, ["n"]))
    inputs = [h.make_value_info("o", optional), h.make_tensor_value_info("x", T.FLOAT, ["n", 4])]
    nodes = [h.make_node("OptionalHasElement", ["o"], ["has"]), h.make_node("Relu", ["x"], ["y"])]
    outputs = [h.make_tensor_value_info("y", T.FLOAT, ["n", 4]), h.make_tensor_value_info("has", T.BOOL, [])]
    graph = h.make_graph(nodes, "g", inputs, outputs)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 20)], ir_version=9).SerializeToString()
    session, feeds = open_session(model, provider="cpu"), {"x": np.ones((3, 4), np.float32)}
    assert races._rows(session, feeds) == 3 and races._rows(session, {}) is None


def test_real_models_and_json(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(data("Exp"))
    found = race({"bytes": data("Relu"), "file": path}, X, threads=1, repeats=5)
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["timings"]["file"]["bytes_"] == len(data("Exp"))
    assert again["paired"]["file"]["median"] == found.paired["file"].median
    assert again["comparisons"]["file"]["ratio"] == found.comparisons["file"].ratio and "seconds" not in again
    assert again["cuda_graph"] is False and again["cuda_graph_reason"] == "there are none on the CPU"
    assert found.timings["file"].load_seconds > 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"models": {}}, "no models were given"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"seconds": 0.0}, "seconds must be a number from 0.01 to 86400"),
        ({"seconds": float("nan")}, "seconds must be a number from 0.01 to 86400"),
        ({"drop": 0.5}, "drop must be at least 1"),
        ({"drop": float("nan")}, "drop must be at least 1"),
        ({"cuda_graph": "maybe"}, "cuda_graph 'maybe' is none of auto, on, off"),
        ({"cuda_graph": "on"}, "on CUDA only; use provider='cuda'"),
    ],
)
def test_what_makes_no_sense_is_refused(change, text):
    with pytest.raises((BenchError, TrialsError), match=text):
        race(**{"models": models(2), "feeds": X, **change})


def test_messages_tell_which_model(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"")
    for name, model, text in (("second", b"", "second: ONNX Runtime"), ("file", broken, f"{broken}: ONNX Runtime")):
        with pytest.raises(SessionError, match=text):
            race({"first": data("Relu"), name: model}, X)


def bound(op="Relu"):
    """A model in memory that stays, as it would be on CUDA, but on the CPU."""
    return open_session(ModelSource(data(op), "m")).bind(X)


@pytest.fixture
def capable(monkeypatch):
    """The checks beforehand see nothing against a graph."""
    monkeypatch.setattr(races, "graph_problem", lambda session: None)


def loading(made):
    """A function in place of `open_session` that returns a session bound to `made`, and keeps what it was asked for."""
    seen = []

    def load(source, **options):
        seen.append({"name": source.name, **options})
        return SimpleNamespace(bind=lambda feeds: made)

    return load, seen


def test_a_graph_that_gives_the_same_outputs_is_used(capable):
    graph = bound()
    load, seen = loading(graph)
    assert races._captured(bound(), X, load) is graph
    assert seen == [{"name": "m", "cuda_graph": True}]


class Idle:
    """A graph that computes, but whose replays write nothing once it has been recorded."""

    def __init__(self, real):
        self.real, self.runs, self.fixed, self.session = real, 0, True, real.session
        self.outputs, self.spoil = real.outputs, real.spoil

    def __call__(self):
        self.runs += 1
        if self.runs == 1:
            self.real()


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (lambda: Idle(bound()), "m: as a CUDA graph output 'y' at .* nan"),
        (lambda: bound("Exp"), "m: as a CUDA graph output 'y'"),
        (lambda: dataclasses.replace(bound(), room={}), "m: an output is empty or its size varies"),
    ],
)
def test_a_graph_with_other_outputs_is_not_used(capable, graph, text):
    with pytest.raises(BenchError, match=text):
        races._captured(bound(), X, loading(graph())[0])


def test_what_cannot_be_a_graph_is_not_tried():
    load, seen = loading(None)
    with pytest.raises(BenchError, match="m: CUDA graphs run on CUDA only"):
        races._captured(bound(), X, load)
    assert not seen


@pytest.mark.parametrize("fails", [BenchError, SessionError])
def test_models_run_as_graphs_where_the_first_can(monkeypatch, fails):
    """Sessions that say they are on CUDA, with calls that do nothing."""

    def load(model, **options):
        bind = lambda feeds: ("plain", model.name)  # noqa: E731
        return SimpleNamespace(provider="cuda", load_seconds=1.0, inputs=[SimpleNamespace(name="x")], bind=bind)

    bad = set()

    def captured(plain, feeds, load):
        if plain[1] in bad:
            raise fails(f"{plain[1]}: no")
        return ("graph", plain[1])

    monkeypatch.setattr(races, "_captured", captured)
    beside = "Softplus: no, and what it is timed beside runs as one"
    for also, graphs, reason in (
        ("", "Relu Softplus Exp", ""),
        ("Softplus", "Relu Exp", beside),
        ("Relu", "", "Relu: no"),
    ):
        bad.add(also)
        start = races._start(models(3), X, load, "auto")
        assert start.calls == {name: ("graph" if name in graphs else "plain", name) for name in models(3)}
        assert (start.reason, start.provider, start.rows) == (reason, "cuda", 7)
        if also:
            with pytest.raises(NoGraphError, match=f"no CUDA graphs: {also}: no") as raised:
                races._start(models(3), X, load, "on")
            assert raised.value.model == also == pickle.loads(pickle.dumps(raised.value)).model
    assert races._start(models(3), X, load, "off").reason == "switched off"


@pytest.mark.parametrize("tf32", [True, False])
def test_all_models_round_factors_alike(monkeypatch, tf32):
    opened, real = [], races.open_session

    def recorded(*given, **options):
        opened.append(options["tf32"])
        return real(*given, **options)

    monkeypatch.setattr(races, "open_session", recorded)
    races.race(models(3), X, trials=races.Trials(provider="cpu", tf32=tf32), repeats=2)
    assert opened == [tf32] * 3


def control_flow():
    branch = {
        name: h.make_graph([h.make_node(op, ["x"], [name])], name, [], [h.make_tensor_value_info(name, T.FLOAT, None)])
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        h.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        h.make_node("Cast", ["s"], ["c"], to=T.BOOL),
        h.make_node("If", ["c"], ["y"], then_branch=branch["then"], else_branch=branch["else"]),
    ]
    x, y = (h.make_tensor_value_info(name, T.FLOAT, ["n", 4]) for name in ("x", "y"))
    graph = h.make_graph(nodes, "g", [x], [y])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.gpu
def test_on_cuda():
    if problem := cuda_problem():
        pytest.skip(str(problem))
    found = race(models(4), X, provider="cuda", repeats=5)
    assert (found.provider, found.cuda_graph, found.cuda_graph_reason) == ("cuda", True, "")
    assert race(models(2), X, provider="cuda", repeats=5, cuda_graph="on").cuda_graph
    mixed = {"plain": data("Relu"), "choice": control_flow()}
    found = race(mixed, X, provider="cuda", repeats=5)
    assert not found.cuda_graph and "choice: " in found.cuda_graph_reason
    with pytest.raises(BenchError, match="no CUDA graphs: choice: "):
        race(mixed, X, provider="cuda", repeats=5, cuda_graph="on")
    assert race(models(2), X, provider="cuda", repeats=5).cuda_graph  # a refusal leaves CUDA as it was
