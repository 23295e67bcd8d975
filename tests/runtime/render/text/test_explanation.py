import io

import numpy as np
import oracles
import pytest
from compiled_forests import random_trees
from ensembles import regressor
from explanation_examples import CPU, MODEL
from rich.console import Console

import scission
from scission.ir.findings.explanation import Explanation
from scission.models.planted.branches import Repeated, repeated
from scission.models.planted.recurrent import Cell, build_cell
from scission.runtime.render.text.explanation import LISTED, explanation_view, lines
from scission.runtime.render.text.report import plan_view


def text(found, everything=False):
    stream = io.StringIO()
    Console(file=stream, width=400).print(explanation_view(found, everything))
    return stream.getvalue()


def test_it_says_in_words_what_was_tried_and_what_would_have_to_be_true():
    shown = text(scission.explain(MODEL, "/glued", **CPU))
    for words in (
        *("/glued: MatMul", "256 inputs by 256 outputs", "what was tried", "components: 2 components", "scatter:"),
        *("what would have to be true", "falls apart below a density of 0.39%", "2 entries between them"),
        *("[0, 255] 0.5, [255, 64] 0.001", "parts of 64x64, 64x64, 64x64 (inputs x outputs)"),
    ):
        assert words in shown
    assert shown.count("(taken)") <= 1


def test_all_entries_are_named_on_demand():
    found = scission.explain(MODEL, "/dense", **CPU)
    short, full = text(found), text(found, True)
    (glue,) = found.glue
    assert f"{glue.count - LISTED:,} more" in short and len(full) > len(short)
    assert f"{found.percolation.gone:.2%}" in short or "99.99%" in short


@pytest.mark.parametrize("node", ["/relu", "/dynamic"])
def test_what_is_no_linear_takes_a_line(node):
    found = scission.explain(MODEL, node, **CPU)
    assert text(found).splitlines() == [f"{node}: {found.operator}", f"  left as it is: {found.skipped.reason}"]


def test_what_is_merged_is_not_called_left():
    what = Repeated(lanes=12, inputs=8, widths=(5, 5), equal=True, source="places", end="stack", axis=0)
    model = repeated(np.random.default_rng(0), what).model
    (merged,) = scission.plan(model, **CPU).preparations
    for gone in merged.nodes[:3]:
        shown = text(scission.explain(model, gone, **CPU))
        assert f"merged with its likes in other branches, before anything is split: {merged.reason}" in shown
        assert "left as it is" not in shown


def test_what_stays_apart_is_told_with_why():
    what = Repeated(lanes=2, inputs=400, widths=(400,), source="shared", end="outputs")
    model = repeated(np.random.default_rng(0), what).model
    plan = scission.plan(model, **CPU)
    (apart,) = (one for one in plan.refused if one.kind == "branches")
    assert apart.reason.cause is scission.Cause.NO_GAIN and not plan.preparations
    for node in apart.nodes:
        found = scission.explain(model, node, **CPU)
        assert str(apart.reason) in text(found)
        if found.skipped is None:
            assert [one.refused for one in found.trials if one.what == "branches"] == [apart.reason]
    stream = io.StringIO()
    Console(file=stream, width=400).print(plan_view(plan))
    assert f"branches: {apart.reason}" in stream.getvalue()


def test_a_product_that_loses_channels_says_so_before_all_else():
    W, V = (np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in ((64, 96), (96, 64)))
    W[:, ::3] = 0
    nodes = [("MatMul", ["x", "W"], ["h"], {"name": "up"}), ("Relu", ["h"], ["r"])]
    nodes.append(("MatMul", ["r", "V"], ["y"], {"name": "down"}))
    model = oracles.graph(nodes, {"x": ["m", 64]}, {"y": ["m", 64]}, {"W": W, "V": V})
    found = scission.explain(model, "up", **CPU)
    assert [one.by.kind for one in found.touched] == ["channels"]
    assert text(found).splitlines()[1].startswith("  made smaller by channels that do nothing, before anything is")
    assert found.to_dict()["preparations"][0]["kind"] == "channels"


def test_a_weight_that_falls_apart_says_so():
    found = scission.explain(build_cell(np.random.default_rng(0), Cell()).model, "cell", **CPU)
    assert (
        "no component holds half" in text(found)
        and list(lines(Explanation(model="", node="", scope="", operator=""))) == []
    )


def test_what_becomes_another_operator_is_not_called_left_as_it_is():
    trees = random_trees(np.random.default_rng(0), 60, 3, 1, sure=True)
    found = scission.explain(regressor(trees, 1), "trees", provider="cuda", batch=[4096])
    assert (
        text(found)
        .splitlines()[1]
        .startswith("  written anew with all of its forest, before anything is split: 60 trees of depth 3")
    )


def test_how_near_a_weight_is_to_products_of_smaller_ones_is_called_an_analysis():
    found = scission.explain(MODEL, "/dense", **CPU)
    heading, told = next((one, told) for one, told in lines(found) if "product of smaller" in one)
    assert "an analysis" in heading and len(told) == len(found.near.slices) + len(found.near.products)
    first, last = found.near.products[0], found.near.products[-1]
    assert f"Monarch, rank 1: {first.places} blocks" in text(found) and f"loses {last.error:.1%}" in told[-1]
    assert told[-1].startswith("Kronecker: ") and found.to_dict()["near"]["exact"] is False
    assert all(one.gain is not None for one in found.near.products)
    assert scission.explain(MODEL, "/relu", **CPU).near is None


def test_it_ends_with_what_becomes_of_the_operator():
    shown = text(scission.explain(MODEL, "/dense", **CPU)).rstrip().splitlines()
    assert shown[-1].startswith("/dense stays dense: ")
