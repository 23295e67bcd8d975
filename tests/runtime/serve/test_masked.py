"""Inputs that others mask: a part is off whatever they hold, where it heeds them no more then."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper as h
from onnx import numpy_helper as nh
from shell import typed

import scission
from scission.runtime.ort.library import SessionError
from scission.runtime.serve.masked import require_masked

TRIALS = scission.Trials(provider="cpu", threads=1)
LANES, WIDTH, IDS = 3, 4, 10


def tenants(mask: str, path):
    """Lanes that look up ids (n, 12), of which those where the mask (n, 12) is 0 count for nothing, and sum them up.

    mask: the operator that joins what is looked up with the mask; Mul masks, Add does not.
    """
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for lane in range(LANES):
        places = np.arange(lane * WIDTH, (lane + 1) * WIDTH)
        tensors += [nh.from_array(places, f"at{lane}")]
        tensors += [nh.from_array(rng.standard_normal(IDS).astype(np.float32), f"table{lane}")]
        tensors += [nh.from_array(rng.standard_normal((WIDTH, 2)).astype(np.float32), f"w{lane}")]
        nodes += [
            h.make_node("Gather", ["ids", f"at{lane}"], [f"ids{lane}"], axis=1),
            h.make_node("Gather", ["mask", f"at{lane}"], [f"mask{lane}"], axis=1),
            h.make_node("Gather", [f"table{lane}", f"ids{lane}"], [f"seen{lane}"]),
            h.make_node(mask, [f"seen{lane}", f"mask{lane}"], [f"kept{lane}"]),
            h.make_node("MatMul", [f"kept{lane}", f"w{lane}"], [f"made{lane}"]),
            h.make_node("Sigmoid", [f"made{lane}"], [f"out{lane}"]),
        ]
    nodes.append(h.make_node("Concat", [f"out{lane}" for lane in range(LANES)], ["y"], axis=1))
    inputs = [
        h.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n", LANES * WIDTH]),
        h.make_tensor_value_info("mask", 1, ["n", LANES * WIDTH]),
    ]
    output = h.make_tensor_value_info("y", 1, ["n", LANES * 2])
    graph = h.make_graph(nodes, "tenants", inputs, [output], tensors)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module", params=["Mul", "Add"])
def folder(request, tmp_path_factory):
    home = tmp_path_factory.mktemp(request.param)
    trials = scission.Trials(provider="cpu", threads=1, ranges={"ids": (0, IDS - 1)})
    found = scission.partition(tenants(request.param, home / "m.onnx"), home / "parts", trials=trials)
    assert len(found.manifest.parts) == LANES
    return request.param, home / "parts"


def fed(rng, on):
    """Rows of which each activates some lanes; ids are there in all of them."""
    mask = np.zeros((len(on), LANES * WIDTH), np.float32)
    for row, lanes in enumerate(on):
        for lane in lanes:
            mask[row, lane * WIDTH : (lane + 1) * WIDTH] = rng.random(WIDTH) + 0.5
    return {"ids": rng.integers(0, IDS, mask.shape), "mask": mask}


class Counting:
    """Runs of a part, counted by the rows that they are given."""

    def __init__(self, runs):
        self.runs, self.rows = runs, 0
        self.name, self.reads, self.writes = runs.name, runs.reads, runs.writes

    def run(self, feed, how):
        self.rows += len(feed["mask"])
        return self.runs.run(feed, how)


class Everything(set):
    """Holds whatever is asked for."""

    def __contains__(self, _):
        return True


def watched(parts):
    from dataclasses import replace

    runs = tuple(map(Counting, parts.runs))
    return runs, replace(parts, runs=runs, proved=Everything())


@given(on=st.lists(st.sets(st.integers(0, LANES - 1)), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_whatever_masked_inputs_hold_the_outputs_are_those_of_all_parts(on, seed, opened):
    runs, parts, whole = opened
    feed = fed(np.random.default_rng(seed), on)
    before = [one.rows for one in runs]
    made = parts.run(feed)["y"]
    assert np.array_equal(made, whole.run(feed)["y"])
    assert parts.activated(feed) == tuple(f"part{lane}" for lane in range(LANES) if any(lane in one for one in on))
    for lane, (one, rows) in enumerate(zip(runs, before, strict=True)):
        active = sum(lane in own for own in on)
        assert one.rows - rows <= (len(on) if active > 0.75 * len(on) else active) + 1  # one to learn what it makes


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    home = tmp_path_factory.mktemp("opened")
    trials = scission.Trials(provider="cpu", threads=1, ranges={"ids": (0, IDS - 1)})
    scission.partition(tenants("Mul", home / "m.onnx"), home / "parts", trials=trials)
    runs, parts = watched(scission.load_parts(home / "parts", threads=1, off={"ids": "masked"}))
    return runs, parts, scission.load_parts(home / "parts", threads=1, off=None)


def test_parts_that_heed_what_is_said_to_be_masked_are_refused(folder, tmp_path):
    kind, place = folder
    feed = fed(np.random.default_rng(0), [{0}, {0, 1}])
    parts = scission.load_parts(place, threads=1, off={"ids": "masked"})
    if kind == "Mul":
        parts.run(feed)
        assert {part for part, *_ in parts.proved} == {1, 2}
    else:
        with pytest.raises(SessionError, match=r"part[12].onnx: 'y' changes with 'ids' where all else .* is off"):
            parts.run(feed)
        with pytest.raises(SessionError, match="changes with 'ids'"):
            scission.count_activation(place, feed, off={"ids": "masked"})
        assert not (place / "activation.json").exists()


def test_what_is_masked_is_kept_with_what_was_counted(folder, monkeypatch, capfd):
    kind, place = folder
    if kind == "Add":
        pytest.skip("it masks nothing")
    feed = fed(np.random.default_rng(0), [{0}, {0, 1}, set(), {0}])
    np.savez(place.parent / "data.npz", **feed)
    status, _, err = typed(monkeypatch, capfd)(f"activation {place} {place.parent / 'data.npz'} --off ids=masked")
    assert status == 0, err
    found = scission.Activation.loads((place / "activation.json").read_text())
    assert [one.rows for one in found.parts] == [3, 1, 0] and found.off["ids"].value == "masked"
    assert scission.Activation.loads(found.dumps()) == found
    assert scission.load_parts(place, threads=1).activated({key: value[1:2] for key, value in feed.items()}) == (
        "part0",
        "part1",
    )
    (place / "activation.json").unlink()
    status, _, err = typed(monkeypatch, capfd)(f"activation {place} {place.parent / 'data.npz'} --off ids=hidden")
    assert status == 2 and "masked" in err


def test_a_part_that_reads_nothing_else_is_always_called(cut):
    parts = scission.load_parts(cut[1], threads=1, off={"x": "masked"})
    assert parts.activated({"x": np.zeros((2, 12), np.float32)}) == ("part0", "part1", "part2")


def test_a_word_that_is_none_is_refused(cut):
    with pytest.raises(scission.InputError, match="'hidden', which is neither a number nor 'masked'"):
        scission.load_parts(cut[1], off={"x": "hidden"})


def refusing(feed):
    if np.any(feed["ids"] != 7):
        raise SessionError("beyond the table")
    return {"y": feed["ids"]}


def test_what_onnx_runtime_refuses_proves_nothing():
    with pytest.raises(SessionError, match="refuses other numbers in 'ids'"):
        require_masked(refusing, "part0", {"ids": np.array([[7, 7]])}, ["ids"])


def test_nan_and_minus_zero_are_what_they_are_elsewhere():
    """A product with a mask of 0 is -0 for what is negative, and that equals 0."""
    fed = {"x": np.array([[-1.0, 2.0]], np.float32), "mask": np.zeros((1, 2), np.float32)}
    require_masked(lambda feed: {"y": feed["x"] * feed["mask"], "z": np.full(2, np.nan)}, "p", fed, ["x"])


def test_without_rows_nothing_is_masked_and_nothing_refused(folder):
    kind, place = folder
    if kind == "Add":
        pytest.skip("it masks nothing")
    parts = scission.load_parts(place, threads=1, off={"ids": "masked"})
    empty = {name: array[:0] for name, array in fed(np.random.default_rng(0), [set()]).items()}
    assert parts.run(empty)["y"].shape == (0, LANES * 2)


def test_what_is_masked_in_one_shape_is_tried_in_another(tmp_path):
    """A softmax over one place is 1 whatever stands there."""
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for lane in range(LANES):
        tensors += [nh.from_array(np.arange(lane * WIDTH, (lane + 1) * WIDTH), f"at{lane}")]
        tensors += [nh.from_array(rng.standard_normal((2, WIDTH)).astype(np.float32), f"w{lane}")]
        nodes += [
            h.make_node("Gather", ["x", f"at{lane}"], [f"x{lane}"], axis=1),
            h.make_node("Gather", ["mask", f"at{lane}"], [f"mask{lane}"], axis=1),
            h.make_node("Softmax", [f"x{lane}"], [f"soft{lane}"], axis=2),
            h.make_node("Add", [f"soft{lane}", f"mask{lane}"], [f"sum{lane}"]),
            h.make_node("MatMul", [f"w{lane}", f"sum{lane}"], [f"out{lane}"]),
        ]
    nodes.append(h.make_node("Concat", [f"out{lane}" for lane in range(LANES)], ["y"], axis=1))
    inputs = [h.make_tensor_value_info(name, 1, ["n", LANES * WIDTH, "s"]) for name in ("x", "mask")]
    output = h.make_tensor_value_info("y", 1, ["n", LANES * 2, "s"])
    graph = h.make_graph(nodes, "lanes", inputs, [output], tensors)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    scission.partition(tmp_path / "m.onnx", tmp_path / "parts", trials=TRIALS)
    parts = scission.load_parts(tmp_path / "parts", threads=1, off={"x": "masked"})
    for places in (1, 2):
        mask = np.zeros((2, LANES * WIDTH, places), np.float32)
        feed = {"x": rng.standard_normal(mask.shape).astype(np.float32), "mask": mask}
        if places == 1:
            parts.run(feed)
        else:
            with pytest.raises(SessionError, match="'y' changes with 'x'"):
                parts.run(feed)
