"""The tuple of lowerings: names, the common suite on each, and one that is added as its page says."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import oracles
import pytest
from lowering_suite import check_kind

import scission
from scission.ir.plan import step as step_module
from scission.ir.plan import wanted
from scission.ir.plan.plan import PlanError, Step
from scission.ir.reason import Cause, Reason
from scission.models.matrix import weight
from scission.models.planted.products import KINDS
from scission.passes.lowering.linear import lowerings
from scission.passes.lowering.linear.lowerings import DENSE, LOWERINGS, lowering_of
from scission.passes.lowering.recurrent.lowering import CELLS
from scission.passes.planning import analysis

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "writing_a_lowering.md").read_text(encoding="utf-8")


def test_plans_name_the_lowerings_that_there_are():
    there_are = {DENSE.name, *(one.name for one in LOWERINGS), CELLS.name, "region"}
    assert there_are == set(get_args(wanted.LoweringName)) and len(LOWERINGS) == len({one.name for one in LOWERINGS})
    assert set(wanted.WAYS) == {DENSE.name, *(one.name for one in LOWERINGS)}
    assert all(lowering_of(one.name) is one for one in (DENSE, *LOWERINGS))
    with pytest.raises(PlanError, match="'cells' is no lowering of a linear alone; use 'scatter'"):
        lowering_of("cells")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowering", [one for one in LOWERINGS if one.multiplies], ids=lambda one: one.name)
def test_the_suite_holds(lowering, kind):
    check_kind(lowering, kind)


@pytest.mark.parametrize("lowering", (DENSE, *LOWERINGS), ids=lambda one: one.name)
def test_a_step_counts_the_bytes_of_indices_that_its_lowering_does(lowering):
    W, truth = weight(np.random.default_rng(0), [(3, 4), (2, 5)])
    if lowering is DENSE:
        assert lowering.index_bytes(truth) == 0
        return
    step = Step(
        node="n",
        op="MatMul",
        weight="w",
        dtype="float",
        shape=W.shape,
        lowering=lowering.name,
        decomposition=truth,
        components=2,
        giant=0.5,
        nonzeros=22,
        dormant_inputs=0,
        dormant_outputs=0,
        reason=Reason(Cause.COMPONENTS, ""),
        sha256="",
    )
    assert step.byte_share == pytest.approx(truth.mac_share + lowering.index_bytes(truth) / W.nbytes)


def blocks_of(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_lines_that_the_page_changes_are_there():
    (diff,) = blocks_of("diff")
    path = None
    for line in diff.splitlines():
        if line.startswith("--- a/"):
            path = ROOT / line.removeprefix("--- a/")
        elif line.startswith("-"):
            assert line[1:] in path.read_text(encoding="utf-8").splitlines(), line


@pytest.fixture
def masked(monkeypatch, tmp_path):
    """The lowering of the page, added as it says."""
    (source,) = blocks_of("python")
    file, name = tmp_path / "masked.py", "scission.passes.lowering.linear.masked"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    added = (*LOWERINGS, module.Masked())
    for home in (lowerings, analysis):
        monkeypatch.setattr(home, "LOWERINGS", added)
    names = Literal[(*get_args(wanted.LoweringName), "masked")]
    monkeypatch.setattr(step_module, "LoweringName", names)
    monkeypatch.setattr(wanted, "WAYS", (*wanted.WAYS, "masked"))
    return added[-1]


def test_the_lowering_of_the_page_passes_the_suite(masked):
    written = sum(check_kind(masked, kind) for kind in KINDS)
    assert written > len(KINDS)


def test_the_lowering_of_the_page_is_planned_where_it_is_asked_for(masked):
    W, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["m", 48]}, {"y": ["m", 48]}, {"W": W})
    plan = scission.plan(model, provider="cpu", threads=1, lowering="masked")
    assert [step.lowering for step in plan.steps] == [masked.name]
    x = {"x": np.random.default_rng(1).standard_normal((3, 48)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, x), oracles.run(scission.apply(model, plan), x))
