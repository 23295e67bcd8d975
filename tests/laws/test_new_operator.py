"""`docs/adding_an_operator.md` is true: what it adds is applied as it stands there, and understood."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from equivariance import assert_equivariant
from modules import ROOT
from random_nodes import case
from reference import model, node

from scission.ir.axes import axis_rule, axis_rules
from scission.ir.graph import recognise
from scission.ir.graph.survey import survey
from scission.ir.io.load import load

TEXT = (ROOT / "docs" / "adding_an_operator.md").read_text(encoding="utf-8")
PROBE = """
import importlib, importlib.util, json, sys
import numpy as np

sys.path.insert(0, "tests/support")
name = "scission.ir.graph.operators"
source = open(importlib.util.find_spec(name).origin, encoding="utf-8").read()
for before, after in json.loads(sys.argv[1]):
    assert source.count(before) == 1, before
    source = source.replace(before, after)
changed = importlib.util.module_from_spec(importlib.util.find_spec(name))
sys.modules[name] = changed
exec(compile(source, name, "exec"), changed.__dict__)

from reference import node
from regions import chain, checked, done, looked_at, grown
from scission.ir.axes.shared_axis import find_shared_axes

nodes = [
    node("Abs", "h", "a", "abs"),
    node("Cast", "a", "i", "in", to=12),
    node("BitShift", "i c", "k", "shift", direction="RIGHT"),
    node("Cast", "k", "g", "out", to=11),
]
proto = chain(nodes, constants={"c": np.uint32(1)})
seen = looked_at(proto)
free = [shared_axis.value for shared_axis in find_shared_axes(seen.found, seen.model) if not shared_axis.pinned]
inner = [one.name for found in grown(seen) for one in found.region.inner]
ways = done(checked(proto, ((3, 5),)))[0] if inner else ()
print(json.dumps({"free": free, "inner": inner, "ways": sorted(map(list, ways))}))
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def probed(changes):
    """What is understood of a BitShift between two linears, with other lines in the module of traits."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(changes)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_one_line_makes_a_pointwise_operator_understood_by_all():
    """Shared axes, ids of features, regions and what regions emit, which is run beside the original."""
    (diff,) = blocks("diff")
    changes = list(zip(re.findall(r"^-(.*)$", diff, re.M), re.findall(r"^\+(.*)$", diff, re.M), strict=True))
    assert len(changes) == 1
    before, after = probed([]), probed(changes)
    assert before["free"] == before["inner"] == before["ways"] == []
    assert after["free"] and "shift" in after["inner"] and len(after["ways"]) >= 2


def test_a_rule_is_all_that_shared_axes_ask_for(monkeypatch):
    of = case("MeanVarianceNormalization", "x", {"x": [2, 3, 4]}, axes=[0, 2])
    rule, _ = blocks("python")
    monkeypatch.setattr(axis_rules, "RULES", dict(axis_rules.RULES))
    with pytest.raises(AssertionError, match="may depend on their order"):
        assert_equivariant(of, np.random.default_rng(0))
    exec(rule, {**vars(axis_rule), **vars(axis_rules)})
    groups = assert_equivariant(of, np.random.default_rng(0))
    assert sorted(map(len, groups)) == [2, 2, 2]


def test_a_recogniser_makes_a_linear(monkeypatch):
    _, recogniser = blocks("python")
    monkeypatch.setattr(recognise, "RECOGNISERS", dict(recognise.RECOGNISERS))
    exec(recogniser, vars(recognise).copy())
    W = np.arange(6, dtype=np.float32).reshape(2, 3)
    made = node("TransposeMatMul", "x W", "y", "n", "com.microsoft", transB=1)
    seen = survey(load(model([made], {"x": ["b", 3]}, {"y": ["b", 2]}, {"W": W}, domains=["com.microsoft"])).graph)
    (linear,) = seen.linears
    assert linear.shape == (3, 2) and np.array_equal(linear.canonical(seen.constants), W.T)
