import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.calibrate.metric.metric import MetricError, parse_budget, parse_metric

BUILT_IN = ("argmax", "top5", "cosine", "mse", "perplexity", "perplexity:shift")


def score(text, ours, original=None, labels=None):
    metric = parse_metric(text)
    return metric.score({"y": ours}, {"y": ours if original is None else original}, labels)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_batches_count_by_their_cases(sizes):
    ours = np.random.default_rng(0).normal(size=(sum(sizes), 4))
    original = np.random.default_rng(1).normal(size=ours.shape)
    ends = np.cumsum(sizes)[:-1]
    pairs = list(zip(np.split(ours, ends), np.split(original, ends), strict=True))
    for text in ("argmax", "cosine", "mse"):
        metric = parse_metric(text)
        whole = metric.aggregate([score(text, ours, original)])
        assert metric.aggregate(score(text, a, b) for a, b in pairs) == pytest.approx(whole)


def test_the_first_float_output_or_the_one_that_is_named():
    outputs = {"sequence": [1], "ids": np.array([[0, 1]]), "a": np.eye(2, dtype=np.float32), "b": -np.eye(2)}
    reference = outputs | {"b": np.eye(2)}
    assert parse_metric("cosine").score(outputs, reference).tolist() == [1, 1]
    assert parse_metric("cosine@b").score(outputs, reference).tolist() == [-1, -1]
    assert parse_metric("mse@ids").score(outputs, reference).tolist() == [0]
    assert parse_metric("perplexity:shift@b").name == "perplexity:shift@b"
    with pytest.raises(MetricError, match=r"no output 'c'; the outputs are \['sequence', 'ids', 'a', 'b'\]"):
        parse_metric("cosine@c").score(outputs, reference)
    with pytest.raises(MetricError, match="'sequence' is no tensor of numbers"):
        parse_metric("cosine@sequence").score(outputs, reference)
    with pytest.raises(MetricError, match=r"none of the outputs \['ids'\] is a float tensor"):
        parse_metric("argmax").score({"ids": outputs["ids"]}, {"ids": outputs["ids"]})
    with pytest.raises(MetricError, match=r"has shape \(1, 2\), of the original \(2, 2\)"):
        parse_metric("cosine").score({"a": np.ones((1, 2))}, reference)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_narrow_types_are_judged_in_double_precision(dtype):
    ours = np.full((1, 8), 200.0).astype(dtype)
    assert score("mse", ours, (ours * 0).astype(dtype)).tolist() == [40_000]  # beyond a float16's half of its range
    assert score("cosine", ours).tolist() == pytest.approx([1])


def test_what_each_metric_is_like():
    found = [parse_metric(text) for text in BUILT_IN]
    assert [m.higher_is_better for m in found] == [True, True, True, False, False, False]
    assert [m.needs_labels for m in found] == ["optional", "optional", "no", "optional", "yes", "yes"]
    assert [m.span for m in found] == [1, 1, 1, None, None, None]
    assert parse_metric(" argmax ") == parse_metric("argmax") != parse_metric("argmax@y")
    assert score("cosine", np.ones((1, 2)), labels=np.array(["not looked at"])).tolist() == pytest.approx([1])


def test_no_outputs_no_cases():
    with pytest.raises(MetricError, match="'argmax': there is no case to judge"):
        parse_metric("argmax").aggregate([score("argmax", np.zeros((0, 3)))])
    with pytest.raises(MetricError, match="there is no case"):
        parse_metric("cosine").aggregate([])


@pytest.mark.parametrize("text", ["", "accuracy", "argmax@", "top3", "perplexity:", "python", "@y"])
def test_metrics_that_do_not_exist(text):
    with pytest.raises(MetricError, match=r"there is no metric .*use argmax, top5, .*python:module\.function"):
        parse_metric(text)


@pytest.mark.parametrize(
    ("text", "metric", "limit"),
    [
        ("argmax<=0.01", "argmax", 0.01),
        (" argmax ≤ 1% ", "argmax", 0.01),
        ("cosine<=1e-3", "cosine", 0.001),
        ("top5@logits<=.5", "top5@logits", 0.5),
        ("perplexity:shift<=0", "perplexity:shift", 0),
    ],
)
def test_limits(text, metric, limit):
    budget = parse_budget(text)
    assert (budget.metric.name, budget.limit) == (metric, pytest.approx(limit))
    assert budget.allows(limit) and budget.allows(-1.0) and not budget.allows(limit + 1e-6) and not budget.allows(None)
    assert not budget.allows(math.nan)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("argmax", "is no limit; write a metric, <= and a number, quoted"),
        ("argmax<0.01", "is no limit"),
        ("argmax<=-0.01", "is no limit"),
        ("argmax<=nan", "is no limit"),
        ("argmax<=", "is no limit"),
        ("argmax<=1e999", "must be finite"),
        ("accuracy<=0.01", "there is no metric 'accuracy'"),
        ("mse<=1%", "mse has no fixed scale to take a percent of"),
        ("perplexity<=1%", "no fixed scale"),
    ],
)
def test_limits_that_say_nothing(text, message):
    with pytest.raises(MetricError, match=message):
        parse_budget(text)
