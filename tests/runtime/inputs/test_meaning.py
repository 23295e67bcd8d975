"""What readers tell of an input, and what is drawn for it."""

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.ir.io.load import load
from scission.runtime.compare.compare import make_feeds
from scission.runtime.inputs.drawing import draw_feed
from scission.runtime.inputs.inputs import InputError
from scission.runtime.inputs.meaning import Meaning, meanings
from scission.runtime.ort.tensor_spec import TensorSpec
from scission.runtime.ort.trials import Trials, TrialsError


def net(nodes, inputs, constants=None, outputs=("y",)):
    values = [h.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()]
    made = [nh.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    ends = [h.make_empty_tensor_value_info(name) for name in outputs]
    graph = h.make_graph([h.make_node(op, i, o, **a) for op, i, o, a in nodes], "g", values, ends, made)
    return load(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8))


def feeds(model, sizes=({"n": 5, "t": 9},) * 5, **wishes):
    return make_feeds(model, Trials(**wishes), lambda spec: list(sizes))


SCALAR = {"v": (T.INT64, [])}
CHOICES = {
    "equal": ([("Equal", ["v", "k"], ["y"], {})], {"k": 16000}, {16000, 16001}),
    "the other way round": ([("Equal", ["k", "v"], ["y"], {})], {"k": 3}, {3, 4}),
    "less": ([("Less", ["v", "k"], ["y"], {})], {"k": 7}, {6, 7, 8, 9}),
    "two": ([("Equal", ["v", "k"], ["a"], {}), ("Equal", ["v", "j"], ["b"], {}), ("Or", ["a", "b"], ["y"], {})],
            {"k": 16000, "j": 8000}, {16000, 8000, 16001}),
    "behind a cast": ([("Cast", ["v"], ["c"], {"to": T.INT32}), ("Equal", ["c", "k"], ["y"], {})],
                      {"k": np.int32(5)}, {5, 6}),
    "behind arithmetic": ([("Mod", ["v", "m"], ["r"], {}), ("Mul", ["two", "r"], ["d"], {}),
                           ("Equal", ["d", "k"], ["y"], {})], {"m": 4, "k": 6, "two": 2}, {3, 0, 4}),
    "a table of values": ([("Unsqueeze", ["v", "ax"], ["u"], {}), ("Equal", ["u", "k"], ["y"], {})],
                          {"ax": [0], "k": [1, 5, 9]}, {1, 5, 9, 10}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_goes_through_its_values(name):
    nodes, constants, values = CHOICES[name]
    model = net(nodes, SCALAR, {k: np.asarray(v) for k, v in constants.items()})
    assert {int(feed["v"]) for feed in feeds(model)} == values


def test_two_choices_meet_in_all_combinations():
    nodes = [("Equal", ["a", "k"], ["p"], {}), ("And", ["p", "b"], ["y"], {}), ("If", ["b"], ["z"], {})]
    way = h.make_graph([h.make_node("Identity", ["p"], ["w"])], "w", [], [h.make_tensor_value_info("w", T.BOOL, [])])
    nodes[2] = ("If", ["b"], ["z"], {"then_branch": way, "else_branch": way})
    model = net(nodes, {"a": (T.INT64, []), "b": (T.BOOL, [])}, {"k": 5}, ("y", "z"))
    assert len({(int(feed["a"]), bool(feed["b"])) for feed in feeds(model)}) == 4


def positions(compare, *, start=()):
    """lens compared with the positions of x [n, t], which a Range or a constant makes."""
    return [*start, ("Unsqueeze", ["lens", "ax"], ["l"], {}), (compare, ["r", "l"], ["y"], {})]


RANGE = (("Shape", ["x"], ["s"], {"start": 1, "end": 2}), ("Squeeze", ["s"], ["t"], {}),
         ("Range", ["zero", "t", "one"], ["r"], {}))  # fmt: skip
GATHERED = (
    ("Shape", ["x"], ["s"], {}),
    ("Gather", ["s", "one"], ["t"], {}),
    ("Range", ["zero", "t", "one"], ["r"], {}),
)
LENGTHS = {
    "range": (positions("Less", start=RANGE), {}),
    "range, gathered": (positions("GreaterOrEqual", start=GATHERED), {}),
    "positions written out": (positions("Less"), {"r": np.arange(20)}),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_lie_between_one_and_what_they_count(name):
    nodes, constants = LENGTHS[name]
    inputs = {"x": (T.FLOAT, ["n", "t"]), "lens": (T.INT64, ["n"])}
    model = net(nodes, inputs, {"zero": 0, "one": 1, "ax": [1], **constants})
    top = 20 if constants else 9
    for feed in feeds(model):
        assert feed["lens"].shape == (5,) and feed["lens"].min() >= 1 and feed["lens"].max() == feed["lens"][0] == top
    assert len({int(one) for feed in feeds(model) for one in feed["lens"]}) > 3


def test_a_length_may_be_a_share_of_a_size():
    start = [*GATHERED, ("Cast", ["t"], ["tf"], {"to": T.FLOAT}), ("Mul", ["share", "tf"], ["p"], {}),
             ("Ceil", ["p"], ["q"], {}), ("Cast", ["q"], ["lens"], {"to": T.INT64})]  # fmt: skip
    inputs = {"x": (T.FLOAT, ["n", "t"]), "share": (T.FLOAT, ["n"])}
    model = net(positions("Less", start=start), inputs, {"zero": 0, "one": 1, "ax": [1]})
    for feed in feeds(model):
        assert 0.1 <= feed["share"].min() < 1 and feed["share"].max() == 1


def test_masks_are_ones_with_a_few_zeros_and_counts_at_least_two():
    body = h.make_graph(
        [h.make_node("Identity", ["g"], ["o"]), h.make_node("Neg", ["s"], ["e"])], "b",
        [h.make_tensor_value_info(*of) for of in (("i", T.INT64, []), ("g", T.BOOL, []), ("s", T.FLOAT, ["n", "t"]))],
        [h.make_tensor_value_info("o", T.BOOL, []), h.make_tensor_value_info("e", T.FLOAT, ["n", "t"])],
    )  # fmt: skip
    nodes = [("Where", ["keep", "x", "nul"], ["v"], {}), ("Loop", ["trip", "", "v"], ["y"], {"body": body})]
    inputs = {"x": (T.FLOAT, ["n", "t"]), "keep": (T.BOOL, ["n", "t"]), "attention_mask": (T.INT64, ["n", "t"])}
    inputs |= {"hide": (T.BOOL, ["n", "t"]), "key_pad": (T.FLOAT, ["n", "t"]), "trip": (T.INT64, [])}
    nodes.append(("Where", ["hide", "never", "x"], ["z"], {}))
    model = net(nodes, inputs, {"nul": np.float32(0), "never": np.float32(-np.inf)}, ("y", "z"))
    found = feeds(model)
    for name in ("keep", "attention_mask"):
        assert found[0][name].all()
        later = np.stack([feed[name] for feed in found[1:]])
        assert set(np.unique(later).tolist()) == {0, 1} and 0.7 < later.mean() < 1 and later[..., 0].all()
    for name in ("hide", "key_pad"):
        assert not found[0][name].any()
        later = np.stack([feed[name] for feed in found[1:]])
        assert set(np.unique(later).tolist()) == {0, 1} and 0 < later.mean() < 0.3 and not later[..., 0].any()
    assert all(2 <= int(feed["trip"]) < 5 for feed in found)


def test_what_the_user_says_goes_before_everything_else():
    nodes, _ = LENGTHS["range"]
    inputs = {"x": (T.FLOAT, ["n", "t"]), "lens": (T.INT64, ["n"]), "form": (T.INT64, ["rank"]), "go": (T.BOOL, [])}
    model = net(nodes, {**inputs, "word": (T.STRING, ["n"])}, {"zero": 0, "one": 1, "ax": [1]})
    wishes = {
        "values": {"form": [-1, 48], "go": (True, "false"), "word": "hello"},
        "ranges": {"x": (2.0, 2.5), "lens": (3, 4)},
    }
    found = feeds(model, [{"n": 40, "t": 9, "rank": 2}] * 2, **wishes)
    assert [bool(feed["go"]) for feed in found] == [True, False]
    assert found[0]["form"].tolist() == [-1, 48] and set(found[0]["word"]) == {"hello"}
    assert set(found[0]["lens"].tolist()) == {3, 4} and 2 <= found[0]["x"].min() < found[0]["x"].max() <= 2.5
    for like, values in (("ones", {1}), ("zeros", {0}), ("mask", {0, 1}), ("lengths", set(range(1, 10)))):
        later = feeds(model, [{"n": 90, "t": 9, "rank": 2}] * 2, likes={"lens": like})[1]["lens"]
        assert set(later.tolist()) == values


@pytest.mark.parametrize(
    ("wishes", "match"),
    [
        ({"values": {"X": 1}}, r"no input is called 'X'; the inputs are \['x', 'i', 'b'\]"),
        ({"values": {"i": 1.5}}, r"input 'i': 1.5 is no int8"),
        ({"values": {"i": 300}}, "input 'i': 300 is no int8"),
        ({"values": {"i": [1, 2, 3]}}, r"input 'i': \[1, 2, 3\] is no int8 of shape \[2\]"),
        ({"values": {"b": "perhaps"}}, "input 'b': 'perhaps' is no bool"),
        ({"values": {"x": "one"}}, "input 'x': 'one' is no float32"),
        ({"ranges": {"i": (0.2, 0.7)}}, "no int8 lies in 0.2:0.7"),
        ({"ranges": {"i": (0, 300)}}, "no int8 lies in 0:300"),
        ({"ranges": {"b": (0, 1)}}, "input 'b' is bool, which has no range"),
        ({"likes": {"x": "noise"}}, "input 'x' cannot be like 'noise'; it can be like ones, zeros"),
    ],
)
def test_wishes_that_cannot_be_fulfilled(wishes, match):
    model = net([("Identity", ["x"], ["y"], {})], {"x": (T.FLOAT, [2]), "i": (T.INT8, [2]), "b": (T.BOOL, [2])})
    with pytest.raises(InputError, match=match):
        feeds(model, [{}], **wishes)


def test_wishes_are_for_random_inputs():
    with pytest.raises(TrialsError, match="are for random inputs; inputs=… gives real ones"):
        Trials(inputs="x.npz", values={"x": 1})


def test_a_shape_given_as_a_list_makes_a_rank_that_is_decided_at_run_time_run():
    W = np.kron(np.eye(4), np.ones((12, 16))).astype(np.float32)
    nodes = [("Reshape", ["x", "s"], ["r"], {}), ("MatMul", ["r", "W"], ["y"], {})]
    model = net(nodes, {"x": (T.FLOAT, ["n"]), "s": (T.INT64, ["rank"])}, {"W": W})
    trials = Trials(values={"s": [-1, 48]}, sizes={"n": 96}, seconds=0.01)
    result = scission.optimize(model.graph, force=True, trials=trials)
    assert result.outcome == "split" and result.verdict.equal


def test_an_input_that_nobody_compares_means_nothing():
    model = net([("Add", ["v", "k"], ["y"], {})], SCALAR, {"k": 5})
    assert meanings(model.graph) == {}


POINTERS = {
    "end": ([("Slice", ["h", "zero", "v", "one"], ["y"], {})], [1]),
    "start": ([("Slice", ["h", "v", "all", "one"], ["y"], {})], [1]),
    "ends of both axes": ([("Slice", ["h", "zeros", "v"], ["y"], {})], [2]),
    "k": ([("TopK", ["h", "v"], ["y", "i"], {"axis": 1})], [1]),
    "sizes": ([("Split", ["h", "v"], ["p", "q"], {"axis": 1}), ("Sub", ["p", "q"], ["y"], {})], [2]),
    "indices": ([("Gather", ["h", "v"], ["y"], {"axis": 1})], [3]),
    "one index": ([("Gather", ["h", "v"], ["y"], {"axis": 1})], []),
    "rows and columns": ([("ScatterND", ["h", "v", "u"], ["y"], {})], [1, 2]),
}


@pytest.mark.parametrize("name", POINTERS)
def test_positions_reach_all_of_what_they_point_into(name):
    nodes, shape = POINTERS[name]
    constants = {"W": np.eye(16, dtype=np.float32), "zero": [0], "zeros": [0, 0], "one": [1], "all": [16]}
    constants["u"] = np.zeros(1, np.float32)
    model = net(
        [("MatMul", ["x", "W"], ["h"], {}), *nodes], {"x": (T.FLOAT, ["n", 16]), "v": (T.INT64, shape)}, constants
    )
    found = [np.atleast_1d(feed["v"]) for feed in feeds(model)]
    entries = np.stack([one.reshape(-1, one.shape[-1]) for one in found]).reshape(-1, found[0].shape[-1])
    if name == "sizes":
        assert (entries.sum(axis=1) == 16).all() and (entries >= 0).all()
    elif name in ("end", "k", "ends of both axes"):
        assert (found[0] == ([5, 16] if len(shape) and shape == [2] else [16])).all() and entries.min() >= 1
    elif name == "rows and columns":
        assert {tuple(one) for one in entries.tolist()} >= {(0, 0), (4, 15)}
    else:
        assert entries.min() == 0 and entries.max() == 15


@pytest.mark.parametrize("column", [3, 15])
@pytest.mark.parametrize("op", ["end", "k"])
@pytest.mark.parametrize("rows", ["n", 2])
def test_a_wrong_column_behind_an_end_is_found(op, column, rows):
    nodes, shape = POINTERS[op]
    W = np.diag(np.arange(16.0, 0, -1)).astype(np.float32)  # the largest first, where x is positive
    wrong = W.copy()
    wrong[0, column] += 1

    def model(weight):
        constants = {"W": weight, "zero": [0], "one": [1]}
        return net(
            [("MatMul", ["x", "W"], ["h"], {}), *nodes], {"x": (T.FLOAT, [rows, 16]), "v": (T.INT64, shape)}, constants
        )

    assert scission.check(model(W).graph, model(W).graph).equal
    assert scission.check(model(W).graph, model(wrong).graph).different


@pytest.mark.parametrize("limit", [0, 5, 40])
def test_a_loop_takes_as_many_steps_as_its_body_tells_apart(limit):
    def model(weight):
        nodes = [
            h.make_node("Greater", ["i", "limit"], ["late"]), h.make_node("Where", ["late", "A", "B"], ["w"]),
            h.make_node("MatMul", ["s", "w"], ["e"]), h.make_node("Identity", ["g"], ["o"]),
        ]  # fmt: skip
        state = h.make_tensor_value_info("s", T.FLOAT, None)
        first = [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("g", T.BOOL, []), state]
        ends = [h.make_tensor_value_info("o", T.BOOL, []), h.make_tensor_value_info("e", T.FLOAT, None)]
        body = h.make_graph(nodes, "body", first, ends)
        constants = {"A": weight, "B": np.eye(4, dtype=np.float32), "limit": np.int64(limit)}
        inputs = {"x": (T.FLOAT, ["n", 4]), "trip": (T.INT64, [])}
        return net([("Loop", ["trip", "", "x"], ["y"], {"body": body})], inputs, constants)

    right = np.eye(4, dtype=np.float32)
    assert max(int(feed["trip"]) for feed in feeds(model(right))) >= limit + 2
    assert scission.check(model(right).graph, model(right).graph).equal
    assert scission.check(model(right).graph, model(right + np.eye(4, k=2, dtype=np.float32)).graph).different


def test_the_last_row_of_a_table_is_looked_up():
    table = np.zeros((1000, 4), np.float32)
    model = net([("Gather", ["W", "v"], ["y"], {})], {"v": (T.INT64, ["n"])}, {"W": table})
    assert max(int(feed["v"].max()) for feed in feeds(model)) == 999


@pytest.mark.parametrize("count", [3, 6])
def test_each_value_of_every_choice_comes_soon_and_all_combinations_in_the_end(count):
    spec = [TensorSpec(name=f"c{at}", dtype="bool", shape=()) for at in range(count)]
    meant = {one.name: Meaning(kind="condition") for one in spec}
    rng = np.random.default_rng(0)
    seen = [
        tuple(bool(draw_feed(spec, rng, {}, trial=trial, meant=meant)[one.name]) for one in spec)
        for trial in range(2 + 2**count)
    ]
    assert all({one[at] for one in seen[: 2**3 if count == 3 else 2]} == {True, False} for at in range(count))
    assert len(set(seen)) == 2**count
