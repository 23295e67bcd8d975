"""What hides behind a branch, a length or a second step is found, or is said not to have run."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from shell import typed

import scission
from scission.ir.io.load import load
from scission.runtime.compare.exercise import observe, parts_of
from scission.runtime.ort.trials import Trials

N = 4


class Net:
    """A random model of nested branches and loops, each way with a weight of its own."""

    def __init__(self, draw):
        self.draw, self.weights, self.inputs, self.constants = draw, [], {}, {}
        self.number = itertools.count()

    def fresh(self, what):
        return f"{what}{next(self.number)}"

    def constant(self, array):
        name = self.fresh("c")
        self.constants[name] = np.asarray(array)
        return name

    def given(self, dtype, shape=()):
        name = self.fresh("in")
        self.inputs[name] = (dtype, shape)
        return name

    def condition(self, x, step):
        """(nodes, name) of a scalar bool."""
        number = self.draw(st.sampled_from([0, 1, 7, 16000]))
        out = self.fresh("k")
        kinds = ["equal", "less", "greater", "mod", "bool", "sum", "cast", "float", *(["step"] * 3 if step else [])]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "bool":
            return [], self.given(T.BOOL)
        if kind == "step":  # only a second step takes it
            return [h.make_node("Greater", [step, self.constant(np.int64(0))], [out])], out
        if kind == "sum":
            limit, total = self.constant(np.float32(self.draw(st.sampled_from([0, 1e9])))), self.fresh("t")
            return [h.make_node("ReduceSum", [x], [total], keepdims=0), h.make_node("Less", [total, limit], [out])], out
        if kind == "cast":
            return [h.make_node("Cast", [self.given(T.INT32, (1,))], [out], to=T.BOOL)], out
        if kind == "float":
            return [h.make_node("Greater", [self.given(T.FLOAT), self.constant(np.float32(number))], [out])], out
        sel = self.given(T.INT64, self.draw(st.sampled_from([(), (1,)])))
        if kind == "mod":
            rest = self.fresh("m")
            nodes = [h.make_node("Mod", [sel, self.constant(np.int64(4))], [rest])]
            return [*nodes, h.make_node("Equal", [rest, self.constant(np.int64(3))], [out])], out
        op = {"equal": "Equal", "less": "Less", "greater": "Greater"}[kind]
        return [h.make_node(op, [sel, self.constant(np.int64(number))], [out])], out

    def block(self, x, depth, step=None):
        """(nodes, output) of something that x [n, N] goes through."""
        kind = self.draw(st.sampled_from(["leaf", "if", "if", "loop"])) if depth else "leaf"
        out = self.fresh("v")
        if kind == "leaf":
            self.weights.append(self.constant(np.random.default_rng(len(self.weights)).standard_normal((N, N)) / 2))
            self.constants[self.weights[-1]] = self.constants[self.weights[-1]].astype(np.float32)
            return [h.make_node("MatMul", [x, self.weights[-1]], [out])], out
        if kind == "if":
            nodes, cond = self.condition(x, step)
            ways = {}
            for name in ("then_branch", "else_branch"):
                inner, end = self.block(x, depth - 1, step)
                ways[name] = h.make_graph(inner, name, [], [h.make_tensor_value_info(end, T.FLOAT, None)])
            return [*nodes, h.make_node("If", [cond], [out], **ways)], out
        trip, step, state = self.given(T.INT64), self.fresh("i"), self.fresh("s")
        inner, end = self.block(state, depth - 1, step)
        go, on = self.fresh("g"), self.fresh("o")
        body = h.make_graph(
            [*inner, h.make_node("Identity", [go], [on])], "body",
            [h.make_tensor_value_info(*of) for of in ((step, T.INT64, []), (go, T.BOOL, []), (state, T.FLOAT, None))],
            [h.make_tensor_value_info(on, T.BOOL, []), h.make_tensor_value_info(end, T.FLOAT, None)],
        )  # fmt: skip
        return [h.make_node("Loop", [trip, "", x], [out], body=body)], out

    def model(self, nodes, out, wrong=None):
        inputs = [h.make_tensor_value_info(name, dtype, list(shape)) for name, (dtype, shape) in self.inputs.items()]
        constants = {name: array * 3 if name == wrong else array for name, array in self.constants.items()}
        graph = h.make_graph(
            nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, ["n", N]), *inputs],
            [h.make_tensor_value_info(out, T.FLOAT, None)], [nh.from_array(a, name) for name, a in constants.items()],
        )  # fmt: skip
        return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


@settings(max_examples=12)
@given(st.data())
def test_a_planted_error_is_found_or_said_not_to_have_run(data):
    net = Net(data.draw)
    nodes, out = net.block("x", 2)
    model = net.model(nodes, out)
    verdict = scission.check(model, model)
    assert verdict.equal and verdict.shown
    wrong = data.draw(st.sampled_from(net.weights))
    verdict = scission.check(model, net.model(nodes, out, wrong))
    assert not verdict.equal
    if not verdict.different:
        missing = [part for part in verdict.parts if not part.exercised and part.differs]
        assert missing and "not shown equal" in verdict.reason and missing[0].place in verdict.reason


def rate(a, b, condition=None, **more):
    """If(sr == 16000) x·a, else x·b."""

    def way(name, weight):
        nodes = [h.make_node("MatMul", ["x", weight], [name])]
        return h.make_graph(nodes, name, [], [h.make_tensor_value_info(name, T.FLOAT, None)])

    nodes = condition or [h.make_node("Equal", ["sr", "k"], ["c"])]
    nodes = [*nodes, h.make_node("If", ["c"], ["y"], name="rate", then_branch=way("p", "a"), else_branch=way("q", "b"))]
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["n", N]), h.make_tensor_value_info("sr", T.INT64, [])]
    constants = [nh.from_array(np.asarray(v), k) for k, v in {"a": a, "b": b, "k": 16000, **more}.items()]
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, ["n", N])], constants)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


A, B = (np.random.default_rng(seed).standard_normal((N, N)).astype(np.float32) for seed in (0, 1))


HIDDEN = {
    "a size": ([h.make_node("Shape", ["x"], ["s"], end=1), h.make_node("Greater", ["s", "limit"], ["c"])], [300]),
    "a maximum": ([h.make_node("ReduceMax", ["x"], ["m"], keepdims=0), h.make_node("Greater", ["m", "limit"], ["c"])],
                  np.float32(20)),
    "a huge maximum": ([h.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
                        h.make_node("Greater", ["m", "limit"], ["c"])], np.float32(1e9)),
    "a number and a size": (
        [h.make_node("Shape", ["x"], ["s"], end=1), h.make_node("Less", ["s", "limit"], ["l"]),
         h.make_node("Equal", ["sr", "k"], ["e"]), h.make_node("And", ["l", "e"], ["c"])], [3]),
    "digits of a number": (
        [h.make_node("Div", ["sr", "k"], ["d"]), h.make_node("Equal", ["d", "limit"], ["c"])], 2),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_both_ways_are_taken_whatever_decides(name):
    nodes, limit = HIDDEN[name]
    good = rate(A, B, nodes, limit=limit)
    assert all(part.exercised for part in scission.check(good, good).parts)
    for wrong in (rate(A * 2, B, nodes, limit=limit), rate(A, B * 2, nodes, limit=limit)):
        assert scission.check(good, wrong).different


def test_the_third_outcome_and_what_it_says():
    only = Trials(values={"sr": 8000})
    hidden = scission.check(rate(A, B), rate(A * 2, B), trials=only)
    assert not hidden.equal and not hidden.shown and not hidden.different
    assert "branch rate.then_branch was never run" in hidden.reason and "'sr' of the inputs decides" in hidden.reason
    assert "--value sr=V" in hidden.parts[1].remedy.shell and "values={'sr': …}" in str(hidden.parts[1].remedy)
    seen = scission.check(rate(A, B), rate(A, B * 2), trials=only)
    assert seen.different
    same = scission.check(rate(A, B), rate(A, B), trials=only)
    assert same.equal and "rate.then_branch was never run, and is the same in both models" in same.reason
    assert [part.exercised for part in same.parts] == [True, False]
    assert scission.check(rate(A, B), rate(A * 2, B)).different
    assert hidden.to_dict()["parts"][1]["exercised"] is False


def test_what_only_an_idle_branch_reads_counts_as_its_own():
    """The weight is prepared outside of the branch that multiplies by it."""
    twice = [h.make_node("Equal", ["sr", "k"], ["c"]), h.make_node("Add", ["b", "b"], ["a2"])]

    def net(weight):
        model = rate(A, weight, twice)
        model.graph.node[2].attribute[0].g.node[0].input[1] = "a2"
        model.graph.node[2].attribute[1].g.node[0].input[1] = "a"
        return model

    assert [a.name for a in net(B).graph.node[2].attribute] == ["else_branch", "then_branch"]
    verdict = scission.check(net(B), net(B * 2), trials=Trials(values={"sr": 16000}))
    assert not verdict.equal and not verdict.shown


@pytest.mark.parametrize(("steps", "runs"), [(0, 0), (1, 1), (2, 2), (5, 5)])
def test_a_body_inside_a_body_is_counted_by_its_own_steps(steps, runs):
    def loop(trip, inner, name):
        state = h.make_tensor_value_info(f"{name}s", T.FLOAT, None)
        nodes = [*inner, h.make_node("Identity", [f"{name}g"], [f"{name}o"])]
        ends = [h.make_tensor_value_info(f"{name}o", T.BOOL, []), h.make_tensor_value_info(f"{name}e", T.FLOAT, None)]
        first = [h.make_tensor_value_info(f"{name}i", T.INT64, []), h.make_tensor_value_info(f"{name}g", T.BOOL, [])]
        return h.make_graph(nodes, name, [*first, state], ends)

    inner = loop("m", [h.make_node("Neg", ["ins"], ["ine"])], "in")
    around = loop("three", [h.make_node("Loop", ["m", "", "outs"], ["oute"], body=inner, name="inner")], "out")
    nodes = [h.make_node("Loop", ["three", "", "x"], ["y"], body=around, name="outer")]
    inputs = [h.make_tensor_value_info("x", T.FLOAT, [2]), h.make_tensor_value_info("m", T.INT64, [])]
    graph = h.make_graph(
        nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, [2])], [nh.from_array(np.array(3), "three")]
    )
    model = load(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8))
    assert [part.place for part in parts_of(model.graph)] == ["outer.body", "outer.body/inner.body"]
    feed = {"x": np.ones(2, np.float32), "m": np.array(steps)}
    refused = {"x": np.ones(3, np.float32), "m": np.array(steps)}
    found = observe(model, [feed, refused, feed], provider="cpu", threads=1, custom_ops=())
    assert found == [(3, runs), (0, 0), (3, runs)]


def test_branches_of_functions_are_seen_at_every_call():
    def way(name, op):
        nodes = [h.make_node(op, ["p"], [name])]
        return h.make_graph(nodes, name, [], [h.make_tensor_value_info(name, T.FLOAT, None)])

    chosen = h.make_node("If", ["c"], ["r"], then_branch=way("u", "Neg"), else_branch=way("v", "Abs"))
    function = h.make_function("local", "F", ["p", "c"], ["r"], [chosen], [h.make_opsetid("", 17)])
    idle = h.make_function("local", "G", ["p", "c"], ["r"], [chosen], [h.make_opsetid("", 17)])
    calls = [h.make_node("F", ["x", "c"], ["h"], domain="local"), h.make_node("F", ["h", "d"], ["y"], domain="local")]
    inputs = [h.make_tensor_value_info(name, T.BOOL, []) for name in "cd"]
    x, y = (h.make_tensor_value_info(name, T.FLOAT, [2]) for name in "xy")
    made = h.make_model(
        h.make_graph(calls, "g", [x, *inputs], [y]), functions=[function, idle], ir_version=8,
        opset_imports=[h.make_opsetid("", 17), h.make_opsetid("local", 1)],
    )  # fmt: skip
    model = load(made)
    assert len(parts_of(model.graph)) == 2  # not those of a function that nobody calls
    feeds = [{"x": np.ones(2, np.float32), "c": np.array(c), "d": np.array(d)} for c, d in ((1, 1), (0, 1), (0, 0))]
    feeds = [{name: array.astype(bool) if name in "cd" else array for name, array in feed.items()} for feed in feeds]
    found = observe(model, feeds, provider="cpu", threads=1, custom_ops=())
    places = [part.place.split(".")[-1] for part in parts_of(model.graph)]
    expected = {"then_branch": [2, 1, 0], "else_branch": [0, 1, 2]}
    assert [list(counts) for counts in zip(*found, strict=True)] == [expected[place] for place in places]


@pytest.fixture
def scission_cli(monkeypatch, capfd, tmp_path):
    """Run one command line in a folder with models; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name, a, b in (("m", A, B), ("a2", A * 2, B), ("b2", A, B * 2)):
        (tmp_path / f"{name}.onnx").write_bytes(rate(a, b).SerializeToString())
    return typed(monkeypatch, capfd)


@pytest.mark.parametrize(
    "line", ["check m.onnx a2.onnx", "report m.onnx a2.onnx -o page.html --check --no-bench --overwrite"]
)
def test_not_shown_equal_has_an_exit_status_of_its_own(line, scission_cli):
    status, out, err = scission_cli(f"{line} --value sr=8000")
    assert status == 4 and err.startswith("not shown equal: branch rate.then_branch was never run") and out
    assert scission_cli(line)[0] == scission_cli(f"{line} --value sr=16000")[0] == 1
    assert scission_cli(f"{line} --range sr=16000:16000")[0] == 1
    assert scission_cli(line.replace("a2", "m") + " --value sr=8000")[0] == 0


@pytest.mark.parametrize(
    ("option", "word"),
    [
        *(("--value sr", "is not NAME=V"), ("--range sr=5", "is not NAME=LO:HI"), ("--range sr=9:1", "LO <= HI")),
        *(("--like sr=noise", "KIND one of ones"), ("--value rate=1", "no input is called 'rate'")),
    ],
)
def test_wishes_that_are_none_are_wrong_usage(option, word, scission_cli):
    status, out, err = scission_cli(f"check m.onnx a2.onnx {option}")
    assert (status, out) == (2, "") and word in " ".join(err.replace("│", " ").split())


def test_optimize_says_which_rewritten_branch_never_ran(scission_cli, tmp_path):
    blocks = np.kron(np.eye(2), np.ones((2, 2))).astype(np.float32)
    (tmp_path / "split.onnx").write_bytes(rate(blocks, B).SerializeToString())
    line = "optimize split.onnx out.onnx --force --rows 2 --seconds 0.01 --overwrite"
    status, out, _ = scission_cli(f"{line} --value sr=8000")
    assert status == 0 and (tmp_path / "out.onnx").exists()
    assert "not shown equal: branch rate.then_branch was never run" in " ".join(out.split())
    status, out, _ = scission_cli(line)
    assert status == 0 and "2 exercised, 0 not exercised" in out and "not shown" not in out
