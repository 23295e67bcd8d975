import numpy as np
import onnx
import oracles
import pytest
import torch
from linears import linear_of

import scission
from scission.ir.graph.sizes import DEFAULT_BATCH
from scission.ir.io.load import load
from scission.ir.plan.grain import Grain
from scission.ir.reason import Cause
from scission.models.matrix import weight
from scission.models.planted.products import KINDS, build
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import decompose
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.lowering.target import Target
from scission.passes.planning import analysis, linear
from scission.passes.planning.analysis import analyse
from scission.passes.planning.candidates import Question, candidates
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings


def model_of(W, rows="m", **options):
    nodes = [("MatMul", ["x", "W"], ["y"])]
    return oracles.graph(nodes, {"x": [rows, W.shape[0]]}, {"y": [rows, W.shape[1]]}, {"W": W}, **options)


def plan(model, **options):
    told = {name: options.pop(name) for name in ("progress", "observe", "sized") if name in options}
    return make_plan(load(model), PlanSettings(**options), **told)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_with_its_true_components(kind):
    planted = build(np.random.default_rng(3), kind, dormant=(2, 1))
    # In the order of the features as they are, and with those that do nothing.
    made = plan(planted.model, force=True, regions=False, unprepared=frozenset({"channels"}))
    truths = oracles.truths(made, planted)
    assert len(made.steps) == len(planted.truth)
    for step in made.steps:
        truth = truths[step.node]
        assert step.shape == truth.shape and step.components == len(truth.blocks) and step.lowering != "dense"
        assert step.nonzeros == sum(i * o for i, o in (b.shape for b in truth.blocks))
        assert step.dormant_inputs == truth.dormant_inputs.size
        assert step.dormant_outputs == truth.dormant_outputs.size
        assert step.giant == max(sum(b.shape) for b in truth.blocks) / sum(truth.shape)
        for block in truth.blocks:
            homes = [b for b in step.decomposition.blocks if np.isin(block.outputs, b.outputs).any()]
            assert len(homes) == 1 and np.isin(block.inputs, homes[0].inputs).all()
        assert f"{len(truth.blocks)} independent blocks" in step.reason.text
    assert scission.Plan.loads(made.dumps()) == made


def random(shape=(20, 20), density=1.0):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)


SMALL, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
DORMANT, _ = weight(np.random.default_rng(0), [(12, 12)], dormant=(1, 0))
LARGE, _ = weight(np.random.default_rng(0), [(64, 64)] * 16)
REASONS = [
    ("dense", random(), False, "one component holds every feature: 100.0% of the entries are edges, 20.0 per feature"),
    ("pruned", random((80, 80), density=0.5), True, "one component holds every feature"),
    ("zero", np.zeros((4, 4), np.float32), True, "every entry is zero"),
    ("small", SMALL, False, "4 blocks, but 0."),
    ("dormant", DORMANT, False, "one block beside dormant features, but "),
]


@pytest.mark.parametrize(("W", "force", "reason"), [row[1:] for row in REASONS], ids=[row[0] for row in REASONS])
def test_what_stays_dense_says_why(W, force, reason):
    made = plan(model_of(W), force=force)
    (step,) = made.steps
    assert step.lowering == "dense" and step.reason.text.startswith(reason) and not made.rewrites
    assert "nan" not in step.reason.text


@pytest.mark.parametrize(("W", "force"), [(SMALL, True), (DORMANT, True), (LARGE, False), (LARGE, True)])
def test_what_is_split_says_into_what(W, force):
    (step,) = plan(model_of(W), force=force).steps
    assert step.lowering not in ("dense", "split", "select") and step.sha256 == fingerprint(W)
    found = decompose(components(W))
    if force:  # every block, whatever that costs
        question = Question(target=Target(), rows=DEFAULT_BATCH, grain=Grain(every=True))
        offered = list(candidates(linear_of(W.shape), analyse(W), question))
        assert {one.decomposition for one in offered} == {found} == {step.decomposition}
    else:
        offered = list(candidates(linear_of(W.shape), analyse(W), Question(target=Target(), rows=DEFAULT_BATCH)))
    gains = {(one.lowering.name, one.decomposition): round(one.gain, 3) for one in offered if one.fits}
    assert step.gain == gains[step.lowering, step.decomposition] == max(gains.values())
    assert oracles.covers(W, step.decomposition)


def test_a_quantised_weight_is_split_on_demand_only():
    planted = build(np.random.default_rng(0), "through-dequantize-columns", sizes=[(64, 64)] * 16)
    (step,) = plan(planted.model).steps
    assert step.lowering == "dense" and step.reason.cause is Cause.QUANTISED and step.gain > 1.1
    assert plan(planted.model, force=True).rewrites


def test_what_is_no_linear_is_listed_with_its_reason():
    W = LARGE
    nodes = [
        ("MatMul", ["x", "W"], ["h"]),
        ("Gather", ["W", "i"], ["g"]),
        ("Conv", ["c", "K"], ["k"], {"group": 2}),
        ("MatMul", ["B", "t"], ["b"]),
        ("LSTM", ["s", "R", "R2"], ["l"], {"hidden_size": 1}),
    ]
    outputs = dict.fromkeys("hgkbl")
    inputs = {"x": ["m", 1024], "c": [1, 2, "w"], "t": [3, 4, "m"], "s": ["a", "b", 2]}
    three = np.ones((3, 5, 4), np.float32)
    constants = {
        "W": W,
        "K": np.ones((2, 1, 3), np.float32),
        "B": three,
        "R": three[:1, :4, :2],
        "R2": three[:1, :4, :1],
    }
    model = oracles.graph(nodes, inputs, outputs, constants)
    model.graph.input.append(onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, ["n"]))
    made = plan(model)
    assert [step.node for step in made.steps] == ["n0", "n3", "n4"]
    assert made.steps[2].reason.text.startswith("one component holds every state")
    reasons = {skip.node: (skip.op, skip.reason.text, skip.parameters) for skip in made.skipped}
    assert reasons == {
        "n1": ("Gather", "lookup table: its rows are read, not multiplied", W.size),
        "n2": ("Conv", "convolution in groups already", 6),
    }
    assert made.parameters == W.size + 6 + 60 + 12


def test_rows_that_the_graph_fixes_are_the_ones_predicted_for(monkeypatch):
    seen = []
    monkeypatch.setattr(linear, "candidates", lambda *a: seen.append(list(a[2].rows)) or candidates(*a))
    plan(model_of(SMALL, rows=7), batch=[1, 2])
    plan(model_of(SMALL), batch=[1, 2])
    plan(model_of(SMALL))
    assert seen == [[7], [1, 2], list(DEFAULT_BATCH)]


def test_threads_and_provider_decide_the_machines(monkeypatch):
    seen = []
    monkeypatch.setattr(linear, "candidates", lambda *a: seen.append(a[2].target) or candidates(*a))
    for options in ({}, {"threads": 4}, {"provider": "cuda", "threads": 4}):
        made = plan(model_of(SMALL), **options)
        assert made.provider == options.get("provider", "cpu")
    assert seen == [Target(), Target(threads=4), Target(provider="cuda", threads=4)]


def test_a_shared_weight_is_looked_at_once(monkeypatch):
    seen = []
    monkeypatch.setattr(analysis, "components", lambda W: seen.append(W.shape) or components(W))
    nodes = [("MatMul", ["x", "W"], [f"y{i}"]) for i in range(5)]
    model = oracles.graph(nodes, {"x": ["m", 48]}, {f"y{i}": ["m", 48] for i in range(5)}, {"W": SMALL})
    assert len(plan(model).steps) == 5 and seen == [(48, 48)]


@pytest.mark.parametrize("kind", ["matmul-right-3", "matmul-left-2", "gemm-plain", "chain", "function", "fp16", "tied"])
def test_a_device_makes_the_same_plan_to_the_byte(kind):
    planted = build(np.random.default_rng(0), kind if kind in KINDS else "chain", ((40, 30), (20, 50)), dormant=(2, 1))
    want = plan(planted.model, force=True)
    assert plan(planted.model, force=True, device="cpu") == want
    made = make_plan(load(planted.model), PlanSettings(force=True, device=torch.device("cpu")))
    assert made.dumps() == want.dumps() and made.rewrites
    assert (want.analysed, made.analysed) == ("by search on the CPU", "by Boolean products on cpu")


def test_a_device_looks_at_each_weight_once_and_tells_its_progress(monkeypatch):
    seen, told = [], []
    monkeypatch.setattr(analysis, "components", lambda W: seen.append(W.shape) or components(W))
    nodes = [("MatMul", ["x", "W"], [f"y{i}"]) for i in range(5)]
    model = oracles.graph(nodes, {"x": ["m", 48]}, {f"y{i}": ["m", 48] for i in range(5)}, {"W": SMALL})
    made = make_plan(load(model), PlanSettings(device=torch.device("cpu")), progress=lambda *a: told.append(a))
    assert not seen and len(made.steps) == 5 and told[0] == (0, 1, "n0")


def test_progress_counts_up_to_the_last():
    told = []
    planted = build(np.random.default_rng(0), "chain")
    plan(planted.model, progress=lambda *a: told.append(a))
    assert told == [(0, 3, "up"), (1, 3, "down"), (2, 3, "again")]


def test_a_weight_that_does_not_fit_into_memory_is_an_error_with_its_name(monkeypatch):
    def full(_):
        raise MemoryError

    monkeypatch.setattr(analysis, "components", full)
    with pytest.raises(scission.ModelError, match=r"n0: not enough memory for a weight of \(48, 48\)"):
        plan(model_of(SMALL))


def test_a_function_in_which_nothing_is_split_stays_a_function():
    planted = build(np.random.default_rng(0), "function")
    assert plan(planted.model, force=True).inline == (("local", "Linear", ""),)
    made = plan(planted.model)
    assert made.inline == () and not made.rewrites
    assert scission.apply(planted.model, made) is planted.model


def test_planning_changes_nothing():
    for kind in ("chain", "function", "matmul-right-unknown", "through-split"):
        model = load(build(np.random.default_rng(0), kind).model)
        before = onnx.ModelProto.SerializeToString(scission.ir.io.save.to_proto(model, model.graph))
        make_plan(model, PlanSettings(force=True))
        assert onnx.ModelProto.SerializeToString(scission.ir.io.save.to_proto(model, model.graph)) == before


def test_a_weight_that_cannot_be_read_is_listed_and_stops_nothing():
    """ONNX Runtime runs this model: it does not believe the stated shape of the first weight."""
    W, truth = weight(np.random.default_rng(0), ((4, 4), (4, 4)))
    nodes = [
        ("Pad", ["a", "p"], ["v"], {}),
        ("MatMul", ["x", "v"], ["t"], {"name": "padded"}),
        ("MatMul", ["t", "w"], ["y"], {"name": "good"}),
    ]
    model = oracles.graph(nodes, {"x": ["n", 8]}, {"y": ["n", 8]}, {"a": np.pad(W, 1), "w": W})
    pads = onnx.numpy_helper.from_array(np.array([-1, -1, -1, -1]), "p")  # the reference evaluator cannot cut
    model.graph.initializer.append(pads)
    found = plan(model, force=True)
    assert [step.node for step in found.rewrites] == ["good"]
    assert truth.blocks
    (lost,) = [skip for skip in found.skipped if skip.node == "padded"]
    assert "cannot be" in lost.reason.text
