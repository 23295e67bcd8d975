"""Texts are for people: nothing is decided by comparing or searching a sentence, so that any may be worded anew."""

import ast
import re

import pytest
from modules import MODULES, tree
from sentences import PROSE

# Libraries that tell what happened in words alone: what they say is searched in these modules and nowhere else.
MAY_READ = {"scission.ir.foreign", "scission.runtime.ort.messages"}
SEARCHING = {"startswith", "endswith", "find", "rfind", "index", "count", "partition", "rpartition", "split"}
TOLD = {"reason", "refused", "sentence", "note", "why"}  # what holds a sentence, or a Reason with one
ASKED_WHY = re.compile(r"(^|_)(why|misfit|unfit|obstacle|refusal)(_|$)|(^|_)problems?$")  # functions that answer it
MAY_WORD = {  # those that answer in words, and what the words are for
    "scission.ir.axes.axis_rules._why_not": "what a node does to its axes, for a plan to show",
    "scission.ir.axes.constant_permutation.problem": "what pins an axis, for a plan to show",
    "scission.ir.axes.shared_axis._problem": "the same, looked up",
    "scission.ir.axes.shared_axis.reasons": "the same, of whole sets",
    "scission.passes.planning.wording.describe_stranger": "the message of an error",
    "scission.runtime.ort.validity.refusal": "parts of the message of an error",
    "scission.runtime.render.words.why_nothing": "a line of a report",
    "scission.runtime.tune.cached_units._stale": "a cell of a table",
}


def constants(body):
    """The texts that names in capitals stand for."""
    for n in body:
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str):
            yield from ((name.id, n.value.value) for name in n.targets if isinstance(name, ast.Name))


SENTENCES = {name for module in MODULES for name, text in constants(tree(module).body) if PROSE.match(text)}


def named(parsed):
    """The sentences that a module gives a name, or imports by it."""
    own = {name for name, text in constants(parsed.body) if PROSE.match(text)}
    imported = {alias.name for n in ast.walk(parsed) if isinstance(n, ast.ImportFrom) for alias in n.names}
    return own | (imported & SENTENCES)


def is_prose(n, known=frozenset()):
    """Whether an expression is a sentence, or several, or what holds one."""
    if isinstance(n, ast.Tuple | ast.List | ast.Set):
        return any(is_prose(each, known) for each in n.elts)
    if isinstance(n, ast.JoinedStr):
        return any(is_prose(each, known) for each in n.values)
    if isinstance(n, ast.Constant):
        return isinstance(n.value, str) and bool(PROSE.match(n.value))
    if isinstance(n, ast.Attribute):
        return n.attr in TOLD or (n.attr == "text" and is_prose(n.value, known))
    return isinstance(n, ast.Name) and n.id in known


def is_typed(n):
    """Whether an expression is no text at all: None, or a number."""
    return isinstance(n, ast.Constant) and not isinstance(n.value, str)


def decisions(parsed):
    """Every place that compares a sentence or searches one."""
    known = named(parsed)
    for n in ast.walk(parsed):
        sides = []
        if isinstance(n, ast.Compare) and not any(map(is_typed, [n.left, *n.comparators])):
            sides = [n.left, *n.comparators]
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in SEARCHING:
            sides = [n.func.value, *n.args]
        if any(is_prose(side, known) for side in sides):
            yield ast.unparse(n)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('"unknown rank" in skip.reason', 1),
        ("step.reason != own", 1),
        ("step.reason.text == other", 1),
        ('why.startswith(("already a block", "one"))', 1),
        ('found in ("no gain", "whole")', 1),
        ('step.reason.startswith("no")', 1),
        ("step.reason is None", 0),
        ("step.reason.cause is Cause.NO_GAIN", 0),
        ('kind in ("split", "dense")', 0),
        ('line.split(" : ")', 0),
    ],
)
def test_the_law_sees_what_it_is_for(text, count):
    assert len(list(decisions(ast.parse(text)))) == count


@pytest.mark.parametrize("module", sorted(set(MODULES) - MAY_READ))
def test_nothing_is_decided_by_a_sentence(module):
    assert list(decisions(tree(module))) == []


def answers(parsed):
    """(name, annotation) of each function that tells why something is not, or cannot be, or stays as it is."""
    for n in ast.walk(parsed):
        if isinstance(n, ast.FunctionDef):
            told = (ast.get_docstring(n) or "").startswith("Why ")
            if told or ASKED_WHY.search(n.name):
                yield n.name, ast.unparse(n.returns) if n.returns else "None"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_why_not_is_answered_with_a_reason(module):
    for name, annotation in answers(tree(module)):
        if name == "why_not":
            assert annotation in ("Reason | None", "Reason"), f"{name} -> {annotation}"
        worded = re.search(r"\bstr\b", annotation.removeprefix("dict[str,")) is not None
        assert worded == (f"{module}.{name}" in MAY_WORD), f"{name} -> {annotation}"
