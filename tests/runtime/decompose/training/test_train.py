from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper
from proposals import narrowed, wide
from reference import model, node

torch = pytest.importorskip("torch")

from run_torch import by_runtime  # noqa: E402

from scission import LabelledError, RetrainError, Samples, Trials  # noqa: E402
from scission.ir.io.load import load  # noqa: E402
from scission.ir.io.save import to_proto  # noqa: E402
from scission.ir.onnx_ir import onnx_ir as ir  # noqa: E402
from scission.ir.reason import Cause  # noqa: E402
from scission.runtime.decompose.options import DecomposeOptions  # noqa: E402
from scission.runtime.decompose.task.goal import parse_goal  # noqa: E402
from scission.runtime.decompose.task.method import Declined, DecomposeTask, ModelCandidate  # noqa: E402
from scission.runtime.decompose.training.train import Unfinished, holding_back, require_training, train  # noqa: E402

TRIALS = Trials(provider="cpu", threads=1)


def case(count=40):
    """A network of 64 hidden units, the one without half of them, and feeds of several sizes."""
    proto = wide(64)
    rng = np.random.default_rng(2)
    feeds = [{"x": rng.standard_normal((4 + place % 3, 48)).astype(np.float32)} for place in range(count)]
    samples = Samples(feeds=feeds)
    task = DecomposeTask(
        model=load(proto), calibration=samples, selection=samples, goal=parse_goal(None, 1.5), trials=TRIALS
    )
    return task, ModelCandidate(method="removal", model=narrowed(proto, 32))


def how(**changed):
    return DecomposeOptions(**{"target": 1.5, "train": 200, "rate": 1e-2, **changed}).training


def off(task, candidate):
    x = {"x": np.random.default_rng(3).standard_normal((100, 48)).astype(np.float32)}
    protos = [to_proto(task.model, one) for one in (task.model.graph, candidate.model)]
    (wanted,), (made,) = (by_runtime(proto, x) for proto in protos)
    return float(((made - wanted) ** 2).mean() / (wanted**2).mean())


def test_a_candidate_comes_closer_to_the_original_and_stays_as_large():
    task, candidate = case()
    made = train(task, candidate, how())
    assert off(task, made) < 0.8 * off(task, candidate)
    assert made.learning.after < made.learning.before and 0 < made.learning.step <= 200
    shapes = [[one.shape for one in proto.model.graph.initializers.values()] for proto in (candidate, made)]
    assert shapes[0] == shapes[1] and made.method == "removal"


def test_what_is_trained_on_may_be_other_samples_than_what_is_fitted_to():
    task, candidate = case()
    zeros = Samples(feeds=[{"x": np.zeros((2, 48), np.float32)}] * 4)
    made = train(replace(task, training=zeros), candidate, how(train=5))
    assert made.learning.before == 0 and off(task, made) == off(task, candidate)


def test_a_run_that_ended_early_goes_on_to_the_same_bits(tmp_path):
    task, candidate = case()
    whole = train(task, candidate, how(train=60))
    path = tmp_path / "checkpoint"

    class EndedError(Exception):
        pass

    def progress(done, total, what):
        if done == 31:
            raise EndedError

    with pytest.raises(EndedError):
        train(task, candidate, how(train=60, checkpoint=path), progress)
    assert (tmp_path / "checkpoint.removal").exists()
    seen = []
    again = train(task, candidate, how(train=60, checkpoint=path), lambda done, *_: seen.append(done))
    assert seen[0] == 31 and list(tmp_path.iterdir()) == [] and again.learning == whole.learning
    both = [
        {name: one.const_value.numpy() for name, one in each.model.graph.initializers.items()}
        for each in (whole, again)
    ]
    assert all(np.array_equal(both[0][name], both[1][name]) for name in both[0])
    (tmp_path / "checkpoint.removal").write_bytes(b"nothing")
    with pytest.raises(RetrainError, match="is no checkpoint"):
        train(task, candidate, how(train=60, checkpoint=path))


def test_what_torch_cannot_compute_or_nothing_can_learn_is_said_so():
    task, _ = case()
    for op, why in (("NonZero", "NonZero"), ("Relu", "no weight that can learn")):
        graph = ir.from_proto(model([node(op, "x", "y")], {"x": ["n", 48]}, {"y": ["n", 48]}))
        found = train(task, ModelCandidate(method="removal", model=graph), how())
        assert isinstance(found, Declined) and found.reason.cause is Cause.UNSUPPORTED and why in str(found.reason)


def test_one_feed_is_too_few():
    task, _ = case(1)
    with pytest.raises(LabelledError, match="two feeds"):
        require_training(task)


def test_a_model_of_whole_numbers_has_nothing_to_teach():
    task, _ = case()
    proto = wide(64)
    proto.graph.node.append(helper.make_node("ArgMax", ["y"], ["best"], axis=-1, keepdims=0))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("best", TensorProto.INT64, ["n"]))
    found = train(replace(task, model=load(proto)), ModelCandidate(method="removal", model=ir.from_proto(proto)), how())
    assert isinstance(found, Declined) and "floating-point" in str(found.reason)


def test_training_that_ended_early_belongs_to_one_candidate(tmp_path):
    task, candidate = case()
    options = how(train=60, checkpoint=tmp_path / "checkpoint")

    class EndedError(Exception):
        pass

    def progress(done, total, what):
        if done == 31:
            raise EndedError

    assert Unfinished.of(task, options, "removal") is None
    with pytest.raises(EndedError):
        train(task, candidate, options, progress)
    found = Unfinished.of(task, options, "removal")
    other = ModelCandidate(method="removal", model=narrowed(wide(64), 16))
    assert found.is_of(candidate, True) and not found.is_of(other, True) and not found.is_of(other, False)
    with pytest.raises(RetrainError, match="not measured to be as fast as the target this time"):
        found.is_of(candidate, False)
    with pytest.raises(RetrainError, match="other data, weights or options"):
        found.refuse()
    with pytest.raises(RetrainError, match="other data, weights or options"):
        Unfinished.of(task, how(train=61, checkpoint=tmp_path / "checkpoint"), "removal")
    assert Unfinished.of(task, options, "blocks") is None


def test_nothing_is_fitted_to_what_tells_when_training_ends():
    task, candidate = case()
    labelled = Samples(feeds=task.calibration.feeds, labels=[np.array([place]) for place in range(40)])
    whole = replace(task, calibration=labelled)
    held = holding_back(whole, 0.1)
    parts = [held.calibration, held.held_back]
    assert [len(part.feeds) for part in parts] == [36, 4]
    assert sorted(int(one[0]) for part in parts for one in part.labels) == list(range(40))
    for part in parts:
        assert all(feed is labelled.feeds[label[0]] for feed, label in zip(part.feeds, part.labels, strict=True))
    assert holding_back(replace(task, training=task.calibration), 0.1).held_back is None
    zeros = Samples(feeds=[{"x": np.zeros((2, 48), np.float32)}])
    made = train(replace(task, held_back=zeros), candidate, how(train=5))
    assert made.learning.before == 0, "it is judged by what the task holds back"
