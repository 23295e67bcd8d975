import sys

import numpy as np
import pytest

from scission.runtime.calibrate.metric.metric import MetricError, parse_budget, parse_metric

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
        f"python:user_metric.fails: KeyError: 'missing' ({user / 'user_metric.py'}, line {line}); "
        "it is called with two dicts of arrays by name, (outputs, reference, labels)"
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
