import math
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scission.runtime.metric import IGNORED, MetricError, parse_budget, parse_metric

BUILT_IN = ("argmax", "top5", "cosine", "mse", "perplexity", "perplexity:shift")
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
        assert metric.aggregate([score(text, np.full((30, 10), np.nan), labels=labels)]) == 0


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
    cases += [(row, inf, 0), (inf, row, 0), (row * np.nan, row, 0), (row * np.nan, row * np.nan, 1), (inf, -inf, 0)]
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
    assert score("mse", ours * np.inf, ours * np.inf).tolist() == [0, 0]
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
    assert math.isnan(metric.aggregate([score("perplexity", masked * np.nan, labels=np.array([1]))]))
    with pytest.raises(MetricError, match="'perplexity' needs labels; give them with --labels"):
        score("perplexity", masked)


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


USER = """
import numpy as np

def rows(outputs, reference, labels):
    return (outputs["y"] - reference["y"]).sum(-1)

def number(outputs, reference, labels):
    return 0.5 if labels is None else float(labels.sum())
number.higher_is_better = False
number.needs_labels = "yes"

def fails(outputs, reference, labels):
    return {}["missing"]

def deep(outputs, reference, labels):
    return np.stack([])

def changes(outputs, reference, labels):
    reference["y"][:] = 0

def text(outputs, reference, labels):
    return "good"

def ragged(outputs, reference, labels):
    return [[1], [2, 3]]

def odd(outputs, reference, labels):
    return 1.0
odd.needs_labels = True

value = 3
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = ("user_metric", "user_broken", "user_needs", "user_syntax")
    for name, source in zip(names, (USER, "1 / 0\n", "import no_such_package\n", "def (\n"), strict=True):
        (tmp_path / f"{name}.py").write_text(source)
    yield tmp_path
    for name in names:
        sys.modules.pop(name, None)


def test_a_function_of_the_user(user):
    rows, number = parse_metric("python:user_metric.rows"), parse_metric("python:user_metric.number")
    ours, original = {"y": np.ones((3, 2))}, {"y": np.zeros((3, 2))}
    assert rows.score(ours, original).tolist() == [2, 2, 2]
    assert (rows.higher_is_better, rows.needs_labels, rows.span) == (True, "optional", None)
    assert (number.higher_is_better, number.needs_labels) == (False, "yes")
    labels = np.array([1, 2])
    assert number.score(ours, original, labels).tolist() == [3, 3]  # as many as samples: batches weigh by their size
    assert parse_budget("python:user_metric.rows<=1%").limit == 0.01


def test_what_a_function_of_the_user_does_wrong(user):
    ours = {"y": np.ones((3, 2))}

    def message(name):
        with pytest.raises(MetricError) as caught:
            parse_metric(f"python:user_metric.{name}").score(ours, ours)
        return str(caught.value)

    line = USER.splitlines().index('    return {}["missing"]') + 1
    assert message("fails") == (
        f"python:user_metric.fails: KeyError: 'missing' ({user / 'user_metric.py'}, line {line})"
    )
    assert f"({user / 'user_metric.py'}, line {line + 3})" in message("deep")  # not where NumPy raised it
    assert "ValueError: assignment destination is read-only" in message("changes") and ours["y"].all()
    assert "must return a number or an array of numbers, got str" in message("text")
    assert "must return a number or an array of numbers, got list" in message("ragged")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python:", r"write python:module\.function"),
        ("python:function", r"write python:module\.function"),
        ("python:no_such_module.score", "there is no module 'no_such_module'; install it, or .* PYTHONPATH=folder"),
        ("python:user_metric.sub.score", "there is no module|is not a package"),
        ("python:user_metric.none", r"user_metric\.py holds no function 'none'"),
        ("python:user_metric.value", r"user_metric\.py holds no function 'value'"),
        ("python:user_metric.odd", "needs_labels must be 'no', 'optional' or 'yes'"),
        ("python:user_broken.score", r"ZeroDivisionError: division by zero \(.*user_broken\.py, line 1\)"),
        (
            "python:user_needs.score",
            r"ModuleNotFoundError: No module named 'no_such_package' \(.*user_needs\.py, line 1",
        ),
        ("python:user_syntax.score", r"SyntaxError: .*user_syntax\.py, line 1"),
    ],
)
def test_functions_that_cannot_be_had(user, text, expected):
    with pytest.raises(MetricError, match=expected):
        parse_metric(text)
