"""Options that contradict each other are told of, and what is given is never dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper as h

import scission
from scission.ir.errors import ScissionError
from scission.ir.io.load import load
from scission.runtime.compare.feeds import bench_feeds, candidate_feeds
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.opened import as_file
from scission.runtime.ort.trials import Trials, TrialsError


def regrouped(dims=("a", "b"), rank=2):
    """x, regrouped as an input says."""
    nodes = [h.make_node("Reshape", ["x", "shape"], ["r"]), h.make_node("Relu", ["r"], ["y"])]
    inputs = [h.make_tensor_value_info("x", T.FLOAT, dims), h.make_tensor_value_info("shape", T.INT64, [rank])]
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, [None] * rank)])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def listed(rest=()):
    """ids, one for each of n, and x of n rows."""
    inputs = [h.make_tensor_value_info("ids", T.INT64, ["n"]), h.make_tensor_value_info("x", T.FLOAT, ["n", *rest])]
    nodes = [h.make_node("Cast", ["ids"], ["f"], to=1), h.make_node("Size", ["x"], ["s"])]
    nodes += [h.make_node("Cast", ["s"], ["c"], to=1), h.make_node("Add", ["f", "c"], ["y"])]
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, ["n"])])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def run(model, batch=None, **wishes):
    trials = Trials(provider="cpu", seconds=0.01, **wishes)
    return scission.bench(model, model, trials=trials, batch=batch)


@pytest.mark.parametrize(
    ("model", "wishes", "batch", "told"),
    [
        (regrouped(("t",)), {"values": {"shape": [2, 6]}, "sizes": {"t": 10}}, None,
         ("--value shape=2,6 and --size t=10", "12 entries of 10")),
        (regrouped(("t",)), {"values": {"shape": [2, 6]}}, [7], ("--value shape=2,6 and --batch 7", "12 entries of 7")),
        (regrouped(("t",)), {"sizes": {"t": 12}}, [7], ("--size t=12 and --batch 7", "'t'", "both 12 and 7")),
        (listed(), {"values": {"ids": [1, 2, 3]}, "sizes": {"n": 5}}, None,
         ("--size n=5 and --value ids=1,2,3", "'n' would be both 5 and 3")),
        (listed(), {"values": {"ids": [1, 2, 3]}}, [5], ("--value ids=1,2,3 and --batch 5", "both 3 and 5")),
    ],
)  # fmt: skip
def test_both_options_are_named_and_what_to_do(model, wishes, batch, told):
    with pytest.raises(InputError) as caught:
        run(model, batch, **wishes)
    message = caught.value.for_shell
    assert all(part in message for part in told) and message.endswith("; leave out one of the two")
    assert ("\n" not in message and "sizes=" not in message and "batch=" in str(caught.value)) or batch is None


@pytest.mark.parametrize("command", ["plan", "optimize"])
def test_nothing_is_planned_for_a_batch_that_nothing_leaves_open(command):
    options = {"batch": [7], "sizes": {"t": 12}}
    with pytest.raises(InputError, match="contradict each other"):
        scission.plan(regrouped(("t",)), **options) if command == "plan" else scission.optimize(
            regrouped(("t",)), **options
        )


def test_what_agrees_and_what_takes_turns_is_no_contradiction():
    assert run(regrouped(("t",)), [12], values={"shape": ([2, 6], [3, 5])}, sizes={"t": 12})
    assert run(listed(("k",)), [4], values={"ids": [1, 2, 3]})  # the batch is that of what is open
    assert run(listed(), None, values={"ids": ([1, 2], [1, 2, 3])})


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    a=st.none() | st.integers(1, 6),
    b=st.none() | st.integers(1, 6),
    batch=st.none() | st.integers(1, 6),
)
def test_whatever_runs_has_the_sizes_that_were_given(shape, a, b, batch):
    sizes = {name: size for name, size in (("a", a), ("b", b)) if size is not None}
    trials = Trials(provider="cpu", values={"shape": list(shape)}, sizes=sizes or None)
    model, wanted = load(regrouped()), dict(sizes)
    if batch is not None and "a" not in sizes:
        wanted["a"] = batch
    elif batch is not None:
        wanted.setdefault("b", batch)
    for feed in candidate_feeds(model, trials):
        assert all(feed["x"].shape["ab".index(name)] == size for name, size in sizes.items())
    with as_file(regrouped(), "original") as (path, model):
        try:
            (feed,) = bench_feeds([path], model, trials, None if batch is None else [batch], timed=False)[:1]
        except ScissionError as error:
            known, entries = np.prod(list(wanted.values())), np.prod(shape)
            assert entries % known if len(wanted) < 2 else entries != known, error
            return
    assert feed["x"].size == np.prod(shape)
    assert all(feed["x"].shape["ab".index(name)] == size for name, size in wanted.items())


def test_real_inputs_have_the_sizes_that_are_given_besides(tmp_path):
    path = tmp_path / "real.npz"
    np.savez(path, ids=np.arange(3), x=np.zeros((3, 2), np.float32))
    model = listed((2,))
    assert (
        run(model, [3], inputs=path, sizes={"n": 3})
        and scission.check(model, model, trials=Trials(provider="cpu", inputs=path)).equal
    )
    for batch, sizes, said in ((None, {"n": 5}, "--size n=5"), ([4], None, "--batch 4")):
        with pytest.raises(InputError) as caught:
            run(model, batch, inputs=path, sizes=sizes)
        assert f"--inputs {path} and {said} contradict each other" in caught.value.for_shell


@pytest.mark.parametrize("pair", ["values ranges", "values likes", "ranges likes"])
def test_what_an_input_holds_is_said_once(pair):
    said = {"values": {"x": 1.0}, "ranges": {"x": (0, 1)}, "likes": {"x": "ones"}}
    one, other = pair.split()
    with pytest.raises(TrialsError) as caught:
        Trials(**{one: said[one], other: said[other]})
    assert caught.value.for_shell == f"input 'x' is given by both --{one[:-1]} and --{other[:-1]}; leave out one"


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"sizes": {"q": 3}}, "no input has an open dimension called 'q'"),
        ({"values": {"q": 3}}, "no input is called 'q'"),
        ({"values": {"x": "abc"}}, "input 'x': 'abc' is no float32"),
        ({"values": {"shape": [2, 1.5]}}, "input 'shape': 1.5 is no int64"),
        ({"likes": {"q": "ones"}}, "no input is called 'q'"),
    ],
)
def test_what_no_input_can_have_is_refused_though_nothing_is_run(wishes, said):
    """Nothing splits here, so no model would be run."""
    with pytest.raises(InputError) as caught:
        scission.optimize(regrouped(), trials=Trials(provider="cpu", **wishes))
    assert said in str(caught.value)


def test_real_inputs_are_looked_at_though_nothing_is_run(tmp_path):
    path = tmp_path / "real.npz"
    for file in (None, {"other": np.zeros(3)}, {"x": np.zeros((2, 2, 2)), "shape": np.zeros(2, int)}):
        if file is not None:
            np.savez(path, **file)
        with pytest.raises(InputError, match=r"real\.npz"):
            scission.optimize(regrouped(), trials=Trials(provider="cpu", inputs=path))
