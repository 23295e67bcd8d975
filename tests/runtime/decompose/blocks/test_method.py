import importlib.util
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from perturbed import run
from proposals import two_layers
from prunable import feeds, residual

torch = pytest.importorskip("torch")

from scission.ir.io.load import load  # noqa: E402
from scission.ir.onnx_ir import onnx_ir as ir  # noqa: E402
from scission.ir.reason import Cause  # noqa: E402
from scission.runtime.decompose.blocks import fitting  # noqa: E402
from scission.runtime.decompose.blocks.method import Blocks  # noqa: E402
from scission.runtime.decompose.task.goal import parse_goal  # noqa: E402
from scission.runtime.decompose.task.method import Declined, DecomposeTask  # noqa: E402
from scission.runtime.decompose.task.samples import Samples  # noqa: E402
from scission.runtime.ort.trials import Trials  # noqa: E402

WIDTH, HIDDEN, FEW = 32, 256, Blocks(counts=(4,), steps=60)
SPLIT = fitting.plan


@pytest.fixture(autouse=True)
def split_whatever_splits(monkeypatch):
    """Nets here are too small for blocks to be faster."""
    monkeypatch.setattr(fitting, "plan", lambda model, asked: SPLIT(model, replace(asked, force=True)))


def planted(seed=0, noise=0.05):
    """A feed-forward network of four independent ones, shuffled, with something everywhere between them."""
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(np.arange(size) % 4) for size in (WIDTH, HIDDEN, WIDTH)]
    made = []
    for source, target in pairwise(groups):
        same = source[:, None] == target
        weight = rng.standard_normal(same.shape) * np.where(same, 1, noise) * 2 / np.sqrt(source.size)
        made.append(weight.astype(np.float32))
    return two_layers(*made)


def rows(count, seed=1, width=WIDTH, each=16):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((each, width)).astype(np.float32)} for _ in range(count)]


def spread(count, seed=1):
    """Rows of which six numbers say everything, as inputs of nets mostly are."""
    mixed = np.random.default_rng(0).standard_normal((6, WIDTH)).astype(np.float32) / 2
    return [{"x": feed["x"] @ mixed} for feed in rows(count, seed, width=6)]


def task(proto, given=None, selection=None, goal="cosine<=0.01", seed=0, labels=None):
    samples = Samples(feeds=given or rows(24), labels=labels)
    return DecomposeTask(
        model=load(proto),
        calibration=samples,
        selection=Samples(feeds=selection or rows(4, seed=2)),
        goal=parse_goal(goal),
        trials=Trials(provider="cpu", threads=1),
        seed=seed,
    )


def error(proto, candidate, given):
    wanted, got = ([run(one, feed)[0] for feed in given] for one in (proto, ir.to_proto(candidate.model)))
    pairs = list(zip(wanted, got, strict=True))
    return sum(np.square(a - b).sum() for a, b in pairs) / sum(np.square(a).sum() for a, _ in pairs)


def written(made):
    return ir.to_proto(made.model).SerializeToString()


def test_groups_that_are_there_are_found_and_what_is_between_them_is_made_up_for():
    proto = planted()
    (made,) = FEW.propose(task(proto))
    unseen = rows(4, seed=9)
    assert made.method == "blocks" and made.settings["blocks"] == 4
    assert min(made.settings["kept"].values()) > 0.9
    stored = [one.const_value for one in made.model.graph.initializers.values()]
    held = sum(one.size for one in stored if len(one.shape) == 3)
    assert held == 2 * WIDTH * HIDDEN / 4 + HIDDEN + WIDTH and made.settings["mac_share"] == 0.25
    assert error(proto, made, unseen) < 0.02


def test_it_is_the_same_every_time_and_selection_takes_no_part():
    proto = planted()
    (one,), (other,) = (FEW.propose(task(proto)) for _ in range(2))
    assert written(one) == written(other) and one.settings == other.settings
    (apart,) = FEW.propose(task(proto, selection=rows(4, seed=77)))
    assert written(apart) == written(one)
    (drawn,) = FEW.propose(task(proto, seed=5))
    assert written(drawn) != written(one)


def test_learning_loses_less_than_dropping(monkeypatch):
    """On a net without any blocks: shrinking and training against the least squares of the same groups alone."""
    rng = np.random.default_rng(3)
    up, down = (rng.standard_normal(shape).astype(np.float32) / 6 for shape in ((WIDTH, HIDDEN), (HIDDEN, WIDTH)))
    proto, unseen = two_layers(up, down), spread(8, seed=9)
    given = task(proto, spread(40))
    (learnt,) = replace(FEW, steps=300).propose(given)
    monkeypatch.setattr(fitting.BlockFitting, "_trained", _still)
    (dropped,) = FEW.propose(given)
    assert error(proto, learnt, unseen) < 0.95 * error(proto, dropped, unseen)


def _still(self, module, after, patience, rate):
    from scission.runtime.retrain.state import LookBack, State

    weights = {name: one.detach().clone() for name, one in module.named_parameters()}
    return State("", 0, weights, {}, weights, [LookBack(0, 0.0, None, None)])


def test_labels_are_learnt_where_the_metric_has_any():
    rng = np.random.default_rng(3)
    given = spread(40)
    labels = [(feed["x"][:, 0] > 0).astype(np.int64) for feed in given]
    proto = two_layers(
        *(rng.standard_normal(shape).astype(np.float32) / 6 for shape in ((WIDTH, HIDDEN), (HIDDEN, WIDTH)))
    )
    (with_labels,) = FEW.propose(task(proto, given, goal="argmax<=0.5", labels=labels))
    (without,) = FEW.propose(task(proto, given, goal="cosine<=0.5", labels=labels))
    unseen = spread(8, seed=9)

    def hits(made):
        scores = [run(ir.to_proto(made.model), feed)[0] for feed in unseen]
        return np.mean([(s.argmax(1) == (f["x"][:, 0] > 0)).mean() for s, f in zip(scores, unseen, strict=True)])

    assert hits(with_labels) > 0.8 > 0.5 > hits(without)


def test_feeds_of_different_lengths_are_learnt_from_as_they_are():
    proto = residual(24)
    (made,) = Blocks(counts=(2,), steps=20).propose(task(proto, feeds(8)))
    assert made.settings["mac_share"] == pytest.approx((4 * 144 + 288) / (4 * 144 + 576))
    assert error(proto, made, feeds(3, seed=9)) < 0.5


def test_candidates_that_cannot_be_as_fast_as_the_target_are_not_made():
    proto = planted()
    (declined,) = Blocks(counts=(2,), steps=5).propose(_fast(proto, 3.0))
    assert isinstance(declined, Declined) and declined.reason.cause is Cause.BELOW_TARGET
    (made,) = Blocks(counts=(2, 4), steps=5).propose(_fast(proto, 3.0))
    assert made.settings["blocks"] == 4


def test_blocks_that_would_not_be_faster_are_not_trained(monkeypatch):
    monkeypatch.setattr(fitting, "plan", SPLIT)
    monkeypatch.setattr(fitting.BlockFitting, "_trained", lambda *a: pytest.fail("it learns"))
    (declined,) = FEW.propose(task(planted()))
    assert isinstance(declined, Declined) and declined.reason.cause is Cause.NO_GAIN


def _fast(proto, target):
    return replace(task(proto), goal=parse_goal(None, target))


@pytest.mark.parametrize("why", ["torch", "operator", "samples", "units"])
def test_why_nothing_is_proposed(why, monkeypatch):
    proto, given = planted(), None
    if why == "torch":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    elif why == "operator":
        proto.graph.node.append(helper.make_node("NonZero", ["y"], ["z"]))
        proto.graph.output.append(helper.make_tensor_value_info("z", TensorProto.INT64, None))
    elif why == "samples":
        given = rows(1, each=1)
    else:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "only")]
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
        inits = [numpy_helper.from_array(np.ones((WIDTH, WIDTH), np.float32), "w")]
        graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], inits)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (declined,) = FEW.propose(task(proto, given))
    causes = {"samples": Cause.UNTESTED, "units": Cause.NO_PRODUCT}
    assert isinstance(declined, Declined) and declined.method == "blocks"
    assert declined.reason.cause is causes.get(why, Cause.UNSUPPORTED)


def test_a_scalar_input_says_nothing_of_rows():
    proto = two_layers(*(np.ones(shape, np.float32) for shape in ((8, 16), (16, 4))))
    proto.graph.input.insert(0, helper.make_tensor_value_info("scale", TensorProto.FLOAT, []))
    given = [{"scale": np.float32(1), "x": np.ones((size, 8), np.float32)} for size in (3, 7, 5)]
    assert fitting._rows(task(proto, given, given)) == 5
