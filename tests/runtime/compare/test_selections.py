"""What masks hide in every trial is said."""

import numpy as np
import onnx
import pytest
from hidden_errors import HIDDEN
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.runtime.ort.trials import Trials


def masked(condition, *, first="x", second="zero"):
    """y = Where(c, first, second), c of `condition`: lengths, a bool, whether x is above 0, or the place alone."""
    positions = [
        h.make_node("Shape", ["x"], ["s"], start=1, end=2), h.make_node("Squeeze", ["s"], ["t"]),
        h.make_node("Range", ["i0", "t", "i1"], ["r"]), h.make_node("Unsqueeze", ["lens", "ax"], ["l"]),
    ]  # fmt: skip
    made = {
        "lengths": [*positions, h.make_node("Less", ["r", "l"], ["c"])],
        "flag": [h.make_node("Identity", ["go"], ["c"])],
        "sign": [h.make_node("Greater", ["x", "zero"], ["c"])],
        "place": [*positions, h.make_node("Less", ["r", "i1"], ["c"])],
    }[condition]
    nodes = [*made, h.make_node("Neg", ["x"], ["n"]), h.make_node("Where", ["c", first, second], ["y"], name="w")]
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["n", "t"])]
    inputs += [h.make_tensor_value_info("lens", T.INT64, ["n"])] if condition in ("lengths", "place") else []
    inputs += [h.make_tensor_value_info("go", T.BOOL, [])] if condition == "flag" else []
    constants = {"zero": np.float32(0), "i0": np.array(0), "i1": np.array(1), "ax": np.array([1])}
    graph = h.make_graph(
        nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("model", "trials", "said"),
    [
        (
            masked("lengths"),
            {"likes": {"lens": "ones"}},
            "only the first position along axis 1 of the first operand of w",
        ),
        (masked("lengths"), {"likes": {"lens": "zeros"}}, "nothing of the first operand of w"),
        (masked("lengths"), {}, ""),
        (masked("flag", second="n"), {"values": {"go": True}}, "nothing of the second operand of w"),
        (masked("flag", second="n"), {}, ""),
        (masked("flag"), {"values": {"go": True}}, ""),  # a constant has nothing to hide
        (masked("sign", second="n"), {}, ""),
        (masked("place", second="n"), {}, ""),  # no inputs would show more
    ],
)
def test_what_is_hidden_is_said(model, trials, said):
    verdict = scission.check(model, model, trials=Trials(**trials))
    assert verdict.equal and verdict.shown
    assert [said in one for one in verdict.masked] == [True] * bool(said)
    assert not said or said in verdict.reason


def inside(kind, condition, second="n"):
    """y = Where(c, x, second) in the branch of an If or the body of a Loop; c: of an input, the step, what is carried,
    or the place."""
    made = {
        "flag": [h.make_node("Identity", ["go"], ["c"])],
        "sign": [h.make_node("Greater", ["v", "zero"], ["c"])],
        "step": [h.make_node("Less", ["i", "many"], ["c"])],
        "place": [h.make_node("Shape", ["x"], ["s"], start=1, end=2), h.make_node("Less", ["s", "many"], ["c"])],
    }[condition]
    body = [h.make_node("Neg", ["v"], ["n"]), *made, h.make_node("Where", ["c", "v", second], ["w"], name="w")]
    x, go, times = (
        h.make_tensor_value_info("x", T.FLOAT, ["n", "t"]),
        h.make_tensor_value_info("go", T.BOOL, []),
        h.make_tensor_value_info("times", T.INT64, []),
    )
    w = h.make_tensor_value_info("w", T.FLOAT, None)
    if kind == "If":
        body = [h.make_node("Identity", ["x"], ["v"]), *body]
        other = h.make_graph(
            [h.make_node("Abs", ["x"], ["o"])], "e", [], [h.make_tensor_value_info("o", T.FLOAT, None)]
        )
        ways = {"then_branch": h.make_graph(body, "t", [], [w]), "else_branch": other}
        nodes = [h.make_node("Greater", ["times", "i0"], ["b"]), h.make_node("If", ["b"], ["y"], name="q", **ways)]
    else:
        steps = [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("k", T.BOOL, [])]
        carried = h.make_tensor_value_info("v", T.FLOAT, None)
        on = h.make_tensor_value_info("on", T.BOOL, [])
        body = [h.make_node("Identity", ["k"], ["on"]), *body]
        graph = h.make_graph(body, "l", [*steps, carried], [on, w])
        nodes = [h.make_node("Loop", ["times", "", "x"], ["y"], name="q", body=graph)]
    inputs = [x, times, *([go] if condition == "flag" else [])]
    constants = {"zero": np.float32(0), "many": np.array(99), "i0": np.array(0)}
    made = [nh.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, None)], made)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


PLACES = {"If": "q.then_branch/w", "Loop": "q.body/w"}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize(
    ("condition", "trials", "hidden"),
    [
        ("flag", {"values": {"go": True}}, "second"),
        ("flag", {"values": {"go": False}}, "first"),
        ("flag", {}, ""),
        ("sign", {"ranges": {"x": (1, 2)}}, "second"),
        ("sign", {}, ""),
        ("place", {}, ""),  # no inputs would show more
    ],
)
def test_what_is_hidden_inside_of_bodies_is_said(kind, condition, trials, hidden):
    values = {"times": (1, 0) if kind == "If" else 3, **trials.get("values", {})}
    model = inside(kind, condition)
    verdict = scission.check(model, model, trials=Trials(**{**trials, "values": values}))
    told = f"nothing of the {hidden} operand of {PLACES[kind]} was ever selected"
    assert verdict.equal and list(verdict.masked) == [told] * bool(hidden)


def test_the_number_of_a_step_is_no_input():
    model = inside("Loop", "step")
    assert not scission.check(model, model, trials=Trials(values={"times": 3})).masked


def test_a_branch_that_never_ran_hides_nothing_more():
    model = inside("If", "flag")
    verdict = scission.check(model, model, trials=Trials(values={"times": 0, "go": True}))
    assert not verdict.masked


def test_a_constant_in_a_body_has_nothing_to_hide():
    model = inside("Loop", "flag", second="zero")
    assert not scission.check(model, model, trials=Trials(values={"times": 3, "go": True})).masked


@pytest.mark.parametrize(("shape", "said"), [([], True), ([1], True), (["n"], False)])
@pytest.mark.parametrize("columns", [1, 40])
def test_what_an_input_never_picked_is_counted(shape, said, columns):
    """Only of inputs that pick one entry at a time, and only where some were left; those that can are picked."""
    table = np.arange(columns * 3, dtype=np.float32).reshape(columns, 3)
    graph = h.make_graph(
        [h.make_node("Gather", ["table", "at"], ["y"])],
        "g",
        [h.make_tensor_value_info("at", T.INT64, shape)],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(table, "table")],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    verdict = scission.check(model, model)
    assert verdict.equal and not verdict.masked and verdict.trials == max(5, columns if said else 0)
    held = scission.check(model, model, trials=Trials(values={"at": 0}))
    assert held.equal and len(held.masked) == (columns > 1 and said)
    assert all("picked 1 of the 40 entries of its table" in one and one in held.reason for one in held.masked)


@pytest.mark.parametrize("entry", [0, 17, 38])
def test_another_row_of_a_table_that_one_index_picks_from_is_seen(entry):
    def net(changed):
        table = np.arange(120, dtype=np.float32).reshape(40, 3)
        table[entry] += changed
        graph = h.make_graph(
            [h.make_node("Gather", ["table", "at"], ["row"]), h.make_node("Mul", ["row", "x"], ["y"])],
            "g",
            [h.make_tensor_value_info("at", T.INT64, []), h.make_tensor_value_info("x", T.FLOAT, ["n", 3])],
            [h.make_tensor_value_info("y", T.FLOAT, None)],
            [nh.from_array(table, "table")],
        )
        return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)

    assert scission.check(net(0), net(0)).equal
    assert scission.check(net(0), net(1)).different


@pytest.mark.parametrize("name", HIDDEN)
def test_an_error_that_hides_is_found_or_said(tmp_path, name):
    right, wrong = tmp_path / "right.onnx", tmp_path / "wrong.onnx"
    onnx.save(HIDDEN[name](False), right)
    onnx.save(HIDDEN[name](True), wrong)
    assert scission.check(right, right).equal
    verdict = scission.check(right, wrong)
    assert not verdict.equal
    assert verdict.different or "the models differ in" in verdict.reason


def positions(rows, wrong_from=None):
    """y = (x + the first rows of a table) W, x of (1, t, 4): as long as the table is, if need be."""
    table = np.random.default_rng(0).standard_normal((rows, 4)).astype(np.float32)
    if wrong_from is not None:
        table[wrong_from:] += 1
    nodes = [
        h.make_node("Shape", ["x"], ["s"], start=1, end=2), h.make_node("Slice", ["t", "i0", "s"], ["p"], name="cut"),
        h.make_node("Add", ["x", "p"], ["z"]), h.make_node("MatMul", ["z", "W"], ["y"]),
    ]  # fmt: skip
    constants = {"t": table, "i0": np.array([0]), "W": np.eye(4, dtype=np.float32)}
    graph = h.make_graph(
        nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, [1, "t", 4])],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def test_a_table_that_differs_is_read_to_its_end():
    assert scission.check(positions(300), positions(300, 299)).different
    verdict = scission.check(positions(300), positions(300, 20), trials=Trials(sizes={"t": 9}))
    assert not verdict.equal and not verdict.shown
    assert "cut read 9 of the 300 rows of t, and the models differ in 280 of the others" in verdict.reason
    assert verdict.masked and scission.check(positions(300), positions(300), trials=Trials(sizes={"t": 9})).shown


def table_inside(kind, how, outside, changed=()):
    """y = x + what a branch or a body reads of a table of 6 rows: `ids` of them, or those before `at`; changed: rows;
    outside: whether the table is a constant of the main graph."""
    entries = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    entries[[*changed]] += 1
    read = {
        "Gather": [h.make_node("Gather", ["t", "ids"], ["rows"], name="g")],
        "Slice": [h.make_node("Slice", ["t", "i0", "at", "axes"], ["rows"], name="g")],
    }[how]
    nodes = [*read, h.make_node("ReduceSum", ["rows"], ["w"], keepdims=0)]
    tables, w = [nh.from_array(entries, "t")], h.make_tensor_value_info("w", T.FLOAT, [])
    constants = {"i0": np.array([0]), "axes": np.array([0]), "few": np.array(0), "times": np.array(2)}
    main = [nh.from_array(array, name) for name, array in constants.items()]
    if kind == "If":
        other = h.make_graph([h.make_node("ReduceSum", ["x"], ["o"], keepdims=0)], "e", [], [
            h.make_tensor_value_info("o", T.FLOAT, [])])  # fmt: skip
        ways = {"then_branch": h.make_graph(nodes, "b", [], [w], [] if outside else tables), "else_branch": other}
        around = [h.make_node("Greater", ["n", "few"], ["go"]), h.make_node("If", ["go"], ["r"], name="q", **ways)]
    else:
        steps = [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("k", T.BOOL, [])]
        carried, on = (h.make_tensor_value_info("v", T.FLOAT, []), h.make_tensor_value_info("on", T.BOOL, []))
        total = h.make_node("ReduceSum", ["rows"], ["s"], keepdims=0)
        nodes = [h.make_node("Identity", ["k"], ["on"]), *read, total, h.make_node("Add", ["v", "s"], ["w"])]
        body = h.make_graph(nodes, "b", [*steps, carried], [on, w], [] if outside else tables)
        start = h.make_node("ReduceSum", ["x"], ["first"], keepdims=0)
        around = [start, h.make_node("Loop", ["times", "", "first"], ["r"], name="q", body=body)]
    names = {"Gather": ("ids", ["m"]), "Slice": ("at", [1])}[how]
    graph = h.make_graph(
        [*around, h.make_node("Add", ["x", "r"], ["y"])], "g",
        [h.make_tensor_value_info("x", T.FLOAT, ["b"]), h.make_tensor_value_info(names[0], T.INT64, names[1]),
         *([h.make_tensor_value_info("n", T.INT64, [])] if kind == "If" else [])],
        [h.make_tensor_value_info("y", T.FLOAT, ["b"])], main + (tables if outside else []),
    )  # fmt: skip
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


BODY = {"If": "q.then_branch/g", "Loop": "q.body/g"}


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("how", ["Gather", "Slice"])
@pytest.mark.parametrize("kind", BODY)
def test_rows_of_a_table_that_only_a_branch_or_a_body_reads(kind, how, outside):
    """What is never read of it is said where the models differ in it, and what is read is seen."""
    ran = {"n": 1} if kind == "If" else {}
    few = {"values": {**ran, **({"ids": 1} if how == "Gather" else {"at": [4]})}}
    one, other = table_inside(kind, how, outside), table_inside(kind, how, outside, [4, 5])
    verdict = scission.check(one, other, trials=Trials(**few))
    told = f"{BODY[kind]} read none of the 2 rows of t that the models differ in"
    assert not verdict.equal and not verdict.shown and verdict.reason == f"not shown equal: {told}"
    assert scission.check(one, one, trials=Trials(**few)).equal
    far = {"values": {**ran, **({"ids": (1, -1)} if how == "Gather" else {"at": [-1]})}}
    assert scission.check(one, other, trials=Trials(**far)).different
    assert scission.check(one, table_inside(kind, how, outside, [0, 1]), trials=Trials(**few)).different


def test_a_table_of_a_branch_that_never_ran_is_told_once():
    one, other = table_inside("If", "Gather", True), table_inside("If", "Gather", True, [4])
    verdict = scission.check(one, other, trials=Trials(values={"n": 0}))
    assert not verdict.equal and verdict.reason.startswith("not shown equal: branch q.then_branch was never run")
    assert "more like it" not in verdict.reason


def handed(changed=(), *, inside=False):
    """y = rows `ids` of a table of 6 that a function is handed, where `inside` in a branch of it."""
    entries = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    entries[[*changed]] += 1
    nodes = [h.make_node("Gather", ["p", "q"], ["r"], name="g")]
    if inside:
        here = h.make_graph(nodes, "b", [], [h.make_tensor_value_info("r", T.FLOAT, None)])
        other = h.make_graph([h.make_node("Gather", ["p", "q"], ["o"], name="g")], "e", [], [
            h.make_tensor_value_info("o", T.FLOAT, None)])  # fmt: skip
        yes = h.make_node("Constant", [], ["yes"], value=nh.from_array(np.array(True)))
        nodes = [yes, h.make_node("If", ["yes"], ["r"], name="if", then_branch=here, else_branch=other)]
    opsets = [h.make_opsetid("", 17), h.make_opsetid("own", 1)]
    graph = h.make_graph(
        [h.make_node("Read", ["t", "ids"], ["y"], domain="own", name="call")], "g",
        [h.make_tensor_value_info("ids", T.INT64, ["m"])], [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(entries, "t")],
    )  # fmt: skip
    function = h.make_function("own", "Read", ["p", "q"], ["r"], nodes, opsets[:1])
    return h.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8)


@pytest.mark.parametrize("inside", [False, True])
def test_rows_of_a_table_that_a_function_is_handed(inside):
    """In the function it is an argument; what the calls do not read of it is said as of any other table."""
    one, other = handed(inside=inside), handed([4, 5], inside=inside)
    verdict = scission.check(one, other, trials=Trials(values={"ids": 1}))
    assert not verdict.equal and not verdict.shown and "of t" in verdict.reason and "differ in" in verdict.reason
    assert scission.check(one, one, trials=Trials(values={"ids": 1})).equal
    assert scission.check(one, other, trials=Trials(values={"ids": (1, -1)})).different
