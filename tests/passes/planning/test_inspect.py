import numpy as np
import pytest
from inspection_examples import BAND, three_of

import scission
from scission.ir.findings.inspection import FIELDS
from scission.ir.io.load import load
from scission.models.planted.products import build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.cover import every_cover
from scission.passes.planning.inspect import inspect_model
from scission.passes.planning.settings import PlanSettings


def test_a_row_tells_of_components_covers_and_the_verdict_of_the_plan():
    model = three_of()
    rows, plan = scission.inspect(model, provider="cpu"), scission.plan(model, provider="cpu")
    assert [(row.node, row.verdict, row.reason, row.gain) for row in rows] == [
        (step.node, step.lowering, step.reason, step.gain) for step in plan.steps
    ]
    blocks, band, dense = rows
    assert (blocks.components, blocks.blocks, blocks.density, blocks.giant) == (4, 0.25, 0.25, 0.25)
    assert (band.components, band.blocks, dense.blocks, dense.covers) == (1, 1.0, 1.0, None)
    finest = min(one.mac_share for one in every_cover(relate(BAND), components(BAND)))
    assert finest < band.covers < 0.5 and (dense.distance, dense.degree) == (64, 64)


def test_what_is_no_linear_is_skipped_with_its_reason():
    found = inspect_model(load(three_of()))
    assert [skip.node for skip in found.plan.skipped] == ["groups"]
    assert found.to_dict()["skipped"][0]["reason"] and len(found.to_dict()["linears"]) == 3
    assert list(found.rows[0].to_dict()) == list(FIELDS)


@pytest.mark.parametrize(
    ("kind", "scopes"),
    [
        ("chain", ["", "", ""]),
        ("if", ["if.then_branch", "if.else_branch"]),
        ("loop", ["loop.body"]),
        ("scan", ["scan.body"]),
        ("function", ["", ""]),  # put in the place of its call
    ],
)
def test_the_scope_is_the_graph_that_the_node_stands_in(kind, scopes):
    rows = inspect_model(load(build(np.random.default_rng(0), kind).model), PlanSettings(force=True)).rows
    assert [row.scope for row in rows] == scopes
    assert all(row.node.startswith(row.scope) for row in rows)


def test_each_direction_of_a_recurrent_operator_has_a_row():
    rows = scission.inspect(build_cell(np.random.default_rng(0), Cell(direction="bidirectional")).model)
    assert [row.node for row in rows] == ["cell[forward]", "cell[reverse]"]
    assert all(row.scope == "" and row.covers is None and row.blocks < 1 for row in rows)
