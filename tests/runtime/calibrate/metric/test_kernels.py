import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scission.runtime.calibrate.metric.kernels import IGNORED, MetricError
from scission.runtime.calibrate.metric.metric import parse_metric

# few distinct values, so that ties are common
logits = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3), st.just(7)), elements=st.integers(-3, 3)
)


def score(text, ours, original=None, labels=None):
    metric = parse_metric(text)
    return metric.score({"y": ours}, {"y": ours if original is None else original}, labels)


def first_largest(row, most):
    return sorted(range(len(row)), key=lambda k: (-row[k], k))[:most]


@settings(max_examples=60)
@given(logits, st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(("text", "most"), [("argmax", 1), ("top5", 5)])
def test_classes_are_judged_row_by_row(text, most, ours, seed):
    rng = np.random.default_rng(seed)
    labels, original = rng.integers(0, 7, ours.shape[:-1]), rng.integers(-3, 4, ours.shape).astype(float)
    wanted = [[labels[i], original[i].argmax()] for i in np.ndindex(labels.shape)]
    rows = [first_largest(ours[i], most) for i in np.ndindex(labels.shape)]
    assert score(text, ours, original, labels).tolist() == [w[0] in row for w, row in zip(wanted, rows, strict=True)]
    assert score(text, ours, original).tolist() == [w[1] in row for w, row in zip(wanted, rows, strict=True)]
    assert (score(text, ours) == 1).all()


def test_outputs_that_lost_all_structure_are_no_better_than_chance():
    labels = np.arange(10).repeat(3)
    for text, chance in (("argmax", 0.1), ("top5", 0.5)):
        metric = parse_metric(text)
        assert metric.aggregate([score(text, np.zeros((30, 10)), labels=labels)]) == pytest.approx(chance)
        lost = score(text, np.full((30, 10), np.nan), np.zeros((30, 10)), labels)
        assert metric.aggregate([lost]) == 0


@pytest.mark.parametrize("text", ["argmax", "top5", "perplexity"])
def test_ignored_labels_do_not_count(text):
    ours = np.random.default_rng(0).normal(size=(4, 6, 9))
    labels = np.random.default_rng(1).integers(0, 9, (4, 6))
    labels[:, 2:] = IGNORED
    np.testing.assert_array_equal(score(text, ours, labels=labels), score(text, ours[:, :2], labels=labels[:, :2]))
    with pytest.raises(MetricError, match="there is no case to judge; every label is -100"):
        parse_metric(text).aggregate([score(text, ours, labels=np.full((4, 6), IGNORED))])


def test_labels_may_be_a_column_or_whole_floats():
    ours = np.eye(7)[[0, 3, 5]]
    for labels in (np.array([[0], [3], [4]]), np.array([0.0, 3.0, 4.0]), np.array([0, 3, 4], np.uint8)):
        assert score("argmax", ours, labels=labels).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(4), r"has shape \(3, 7\) and needs labels \(3,\), got \(4,\)"),
        (np.array([0, 7, 1]), r"label 7 is not a class from 0 to 6, nor -100"),
        (np.array([0, -1, 1]), r"label -1 is not a class"),
        (np.array([0, 0.5, 1]), "must be integers"),
        (np.array([0, np.inf, 1]), "must be integers"),
        (np.array(["a", "b", "c"]), "must be integers, the numbers of classes, got <U1"),
    ],
)
@pytest.mark.parametrize("text", ["argmax", "top5", "perplexity"])
def test_labels_that_do_not_match(text, labels, message):
    with pytest.raises(MetricError, match=f"{text}: output 'y'.*{message}"):
        score(text, np.zeros((3, 7)), labels=labels)


def test_metrics_that_could_not_fail_are_refused():
    with pytest.raises(MetricError, match="has 5 classes, all among the 5 largest; use argmax"):
        score("top5", np.zeros((3, 5)))
    for shape in ((3,), (3, 1), ()):
        with pytest.raises(MetricError, match="no scores of classes; choose another with @output"):
            score("argmax", np.zeros(shape))


@settings(max_examples=60)
@given(hnp.arrays(np.float64, (2, 3, 4), elements=st.floats(-10, 10)), st.integers(0, 99))
def test_cosine_is_that_of_each_row(ours, seed):
    original = np.random.default_rng(seed).normal(size=ours.shape)
    found = score("cosine", ours, original)
    assert found.shape == (6,) and (abs(found) <= 1).all()
    for value, a, b in zip(found, ours.reshape(6, 4), original.reshape(6, 4), strict=True):
        if math.hypot(*a) > 1e-100:
            assert value == pytest.approx(a @ b / math.hypot(*a) / math.hypot(*b), abs=1e-12)
    np.testing.assert_allclose(score("cosine", original * 3, original), 1)
    np.testing.assert_allclose(score("cosine", -original, original), -1)


def test_cosine_of_zeros_and_of_what_is_not_finite():
    zero, row, inf = np.zeros(3), np.array([1.0, 2, 3]), np.array([1.0, -np.inf, 3])
    cases = [(zero, zero, 1), (zero, row, 0), (row, zero, 0), (row * 1e300, row * 1e-300, 1), (inf, inf, 1)]
    cases += [(row, inf, 0), (inf, row, 0), (row * np.nan, row, 0), (inf, -inf, 0)]
    for ours, original, expected in cases:
        assert score("cosine", ours[None], original[None]) == pytest.approx(expected)
    assert score("cosine", row, row * 2).tolist() == pytest.approx([1])
    assert score("cosine", np.array(2.0), np.array(-1.0)).tolist() == [-1]


def test_mse_against_the_original_or_the_labels():
    ours, original = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 4.0]])
    assert score("mse", ours, original).tolist() == [2, 0]
    assert score("mse", ours, original, np.array([[1, 2], [3, 2]])).tolist() == [0, 2]
    assert score("mse", np.array([1.0, 2.0]), labels=np.array([[1], [4]])).tolist() == [0, 4]
    assert score("mse", np.array([[1.0], [2.0]]), labels=np.array([1, 4])).tolist() == [0, 4]
    assert score("mse", np.array(3.0), np.array(1.0)).tolist() == [4]
    assert score("mse", ours * np.nan, ours).tolist() == [math.inf] * 2
    with pytest.raises(MetricError, match=r"has shape \(2, 2\), and the labels \(2,\)"):
        score("mse", ours, labels=np.zeros(2))
    with pytest.raises(MetricError, match="labels must be finite numbers"):
        score("mse", ours, labels=ours * np.nan)


@settings(max_examples=60)
@given(logits, st.integers(0, 99))
def test_perplexity_is_the_inverse_geometric_mean_probability(ours, seed):
    labels = np.random.default_rng(seed).integers(0, 7, ours.shape[:-1])
    metric = parse_metric("perplexity")
    chances = [np.exp(ours[i])[labels[i]] / np.exp(ours[i]).sum() for i in np.ndindex(labels.shape)]
    batches = [
        metric.score({"y": part}, {"y": part}, each) for part, each in zip(ours[:, None], labels[:, None], strict=True)
    ]
    assert metric.aggregate(batches) == pytest.approx(math.prod(chances) ** (-1 / len(chances)))


def test_perplexity_shifts_when_asked():
    ours, ids = np.random.default_rng(0).normal(size=(2, 5, 8)), np.random.default_rng(1).integers(0, 8, (2, 5))
    np.testing.assert_array_equal(
        score("perplexity:shift", ours, labels=ids), score("perplexity", ours[:, :-1], labels=ids[:, 1:])
    )
    for shape in ((2, 8), (2, 1, 8)):
        with pytest.raises(MetricError, match=r"needs \(batch, positions, vocabulary\)"):
            score("perplexity:shift", np.zeros(shape), labels=np.zeros(shape[:-1], int))


def test_perplexity_at_the_edges():
    metric = parse_metric("perplexity")
    huge = np.array([[1e308, 0.0], [0.0, 1e308]])
    assert metric.aggregate([score("perplexity", huge, labels=np.array([0, 1]))]) == 1
    assert metric.aggregate([score("perplexity", huge, labels=np.array([1, 1]))]) == math.inf
    masked = np.array([[0.0, -np.inf, 0.0]])
    assert metric.aggregate([score("perplexity", masked, labels=np.array([0]))]) == pytest.approx(2)
    assert metric.aggregate([score("perplexity", masked, labels=np.array([1]))]) == math.inf
    assert math.isnan(metric.aggregate([score("perplexity", masked * np.nan, np.zeros((1, 3)), np.array([1]))]))
    with pytest.raises(MetricError, match="'perplexity' needs labels; give them with labels=…"):
        score("perplexity", masked)


@pytest.mark.parametrize("text", ["argmax", "top5", "cosine", "mse", "perplexity"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_where_the_original_has_no_answer_nothing_is_judged(text, bad):
    original = np.ones((4, 6))
    original[2] = bad
    with pytest.raises(MetricError, match="of the original is NaN or infinite in 1 of 4 rows, first in row 2"):
        score(text, original, labels=None if text in ("cosine", "mse") else np.zeros(4, int))
