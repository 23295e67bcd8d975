import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from proposals import two_layers
from prunable import feeds as of_lengths
from prunable import residual

torch = pytest.importorskip("torch")

from scission.ir.io.load import load  # noqa: E402
from scission.ir.reason import Reason  # noqa: E402
from scission.runtime.decompose.blocks.lesson import block_lesson  # noqa: E402
from scission.runtime.decompose.task.goal import parse_goal  # noqa: E402
from scission.runtime.decompose.task.method import DecomposeTask  # noqa: E402
from scission.runtime.decompose.task.samples import Samples  # noqa: E402
from scission.runtime.ort.trials import Trials  # noqa: E402

rng = np.random.default_rng(0)
PROTO = two_layers(*(rng.standard_normal(shape).astype(np.float32) for shape in ((8, 16), (16, 4))))


def lesson(given, labels=None, metric="argmax", proto=PROTO, seed=0):
    samples = Samples(feeds=given, labels=labels)
    return block_lesson(
        DecomposeTask(
            model=load(proto),
            calibration=samples,
            selection=samples,
            goal=parse_goal(None, 2.0, metric),
            trials=Trials(provider="cpu", threads=1),
            seed=seed,
        )
    )


def numbered(sizes):
    """Feeds whose rows are told apart by their first number."""
    ends = np.cumsum([0, *sizes])
    made = []
    for start, size in zip(ends, sizes, strict=False):
        rows = np.ones((size, 8), np.float32)
        rows[:, 0] = start + np.arange(size)
        made.append({"x": rows})
    return made


def rows_of(part, epoch):
    return [float(row) for piece in part.batches(epoch, 3) for row in piece.inputs["x"][:, 0]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 1), st.integers(0, 99))
def test_every_sample_is_trained_on_or_held_back_and_none_is_both(sizes, seed):
    found = lesson(numbered(sizes), seed=seed)
    trained, held = rows_of(found.trained, None), rows_of(found.held_back, None)
    assert sorted(trained + held) == list(range(sum(sizes))) and trained and held
    for epoch in (0, 1):
        order = rows_of(found.trained, epoch)
        assert set(order) <= set(trained) and len(order) == len(set(order)) >= min(len(trained), 32)
        assert order == rows_of(found.trained, epoch)


def test_what_is_told_and_the_labels_belong_to_their_samples():
    given = numbered([40, 24, 13])
    labels = [feed["x"][:, 0].astype(np.int64) % 4 for feed in given]
    found = lesson(given, labels)
    up, down = (torch.from_numpy(numpy_helper.to_array(one).copy()) for one in PROTO.graph.initializer)
    for part in (found.trained, found.held_back):
        for piece in part.batches(2, 0):
            x = piece.inputs["x"]
            assert torch.allclose(piece.told[0], torch.relu(x @ up) @ down, rtol=1e-4, atol=1e-4)
            assert piece.labels.tolist() == (x[:, 0].long() % 4).tolist() and piece.size == len(x)
    assert found.objective.loss == "cross-entropy" and len(found.objective.taught) == 1


@pytest.mark.parametrize(
    ("metric", "labels", "loss"),
    [
        ("argmax", np.zeros(10, np.int64), "cross-entropy"),
        ("argmax", np.full(10, -100), "cross-entropy"),
        ("argmax", np.full(10, 4), None),  # no class of four
        ("argmax", np.zeros(10), None),  # no whole numbers
        ("argmax", np.zeros((10, 3), np.int64), None),
        ("mse", np.zeros((10, 4)), "mse"),
        ("mse", np.zeros((10, 5)), None),
        ("perplexity:shift", np.zeros(10, np.int64), None),  # of other places than its own
        ("cosine", np.zeros(10, np.int64), None),
        ("argmax", None, None),
    ],
)
def test_labels_are_learnt_where_they_suit(metric, labels, loss):
    found = lesson(numbered([10]), None if labels is None else [labels], metric)
    assert found.objective.loss == loss
    assert (next(found.trained.batches(0, 0)).labels is None) == (loss is None)


def test_feeds_of_different_shapes_stay_as_they_are():
    given = of_lengths(10)
    found = lesson(given, metric="cosine", proto=residual(24))
    pieces = [piece.inputs["x"].numpy() for part in (found.trained, found.held_back) for piece in part.batches(None, 0)]
    assert len(pieces) == 10 and found.trained.rounds == 8
    assert all(sum(np.array_equal(one, feed["x"]) for one in pieces) == 1 for feed in given)


def test_one_sample_is_too_few():
    assert isinstance(lesson(numbered([1])), Reason)


def test_outputs_without_axes_are_learnt_feed_by_feed():
    proto = type(PROTO)()
    proto.CopyFrom(PROTO)
    proto.graph.node.append(helper.make_node("ReduceMean", ["y"], ["mean"], keepdims=0))
    proto.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, []))
    found = lesson(numbered([3, 3, 3]), proto=proto)
    pieces = [piece for part in (found.trained, found.held_back) for piece in part.batches(None, 0)]
    assert len(pieces) == 3
    assert all(torch.allclose(piece.told[1], piece.told[0].mean()) and piece.told[1].ndim == 0 for piece in pieces)
