import dataclasses
import io
import re

import numpy as np
import oracles
import pytest
from rich.console import Console

import scission
from scission import Plan, Trials
from scission.ir.graph.skipped import Skipped
from scission.ir.plan.axis_order import Reordering
from scission.ir.reason import Cause, Reason
from scission.models.matrix import weight
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.recurrent import Cell, build_cell
from scission.runtime.pipeline.optimize import optimize
from scission.runtime.render.console import console
from scission.runtime.render.text import report

QUICK = Trials(provider="cpu", threads=1, seconds=0.01)


def text(view):
    stream = io.StringIO()
    Console(file=stream, width=200).print(view)
    return stream.getvalue()


def model_of(count=1, sizes=((12, 12),) * 4, dormant=(0, 0), name="[red]layer[/]"):
    """`count` products in a row, each named as if it were markup."""
    W, _ = weight(np.random.default_rng(0), sizes, dormant)
    nodes = [("MatMul", [f"x{i}", "W"], [f"x{i + 1}"], {"name": f"{name}{i}."}) for i in range(count)]
    return oracles.graph(nodes, {"x0": ["m", W.shape[0]]}, {f"x{count}": ["m", W.shape[1]]}, {"W": W})


def plan_of(*args, force=True, **options):
    return scission.plan(model_of(*args, **options), force=force, provider="cpu", threads=1)


def test_names_are_shown_as_they_are():
    for force in (True, False):
        assert "[red]layer[/]0." in text(report.plan_view(plan_of(force=force)))


def test_a_plan_shows_blocks_dormant_features_and_lowering():
    plan = plan_of(sizes=((5, 6),) * 3, dormant=(2, 3))
    shown = text(report.plan_view(plan))
    (row,) = [line for line in shown.splitlines() if "layer" in line]
    for word in ("MatMul", "17x21", plan.steps[0].lowering, "2 in 3 out"):
        assert word in row
    assert shown.startswith("components found by search on the CPU")
    assert re.fullmatch(r"1 of 1 operator would be split, [\d.]+x predicted", shown.splitlines()[-1].strip())


def test_what_is_split_together_is_numbered_and_explained():
    model = planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model
    plan = scission.plan(model, provider="cpu", threads=1, force=True)
    (region,) = plan.regions
    plan = dataclasses.replace(plan, regions=(dataclasses.replace(region, layout="features_first", blocks_per_node=4),))
    order = Reordering(value="h", axis=1, order=[1, 0])
    shown = text(report.plan_view(dataclasses.replace(plan, reorderings=(order,))))
    assert len([line for line in shown.splitlines() if "MatMul" in line and "region 1" in line]) == 2
    assert f"region 1: {region.reason}, blocks stacked by 4, features first" in shown
    assert "1 inner axis of features in the order of the blocks: h" in shown


def test_merged_blocks_are_told_apart_from_components():
    plan = plan_of()
    merged = oracles.edited(plan, "scatter", lambda _: [oracles.whole(48, 48)])
    assert "1 of 4" in text(report.plan_view(merged))


@pytest.mark.parametrize("force", [True, False])
def test_long_models_are_summed_up_unless_everything_is_asked_for(force):
    plan = plan_of(report.SHOWN + 3, force=force)
    short, full = text(report.plan_view(plan)), text(report.plan_view(plan, True))
    assert all(f"layer[/]{i}." in full for i in range(report.SHOWN + 3))
    assert not all(f"layer[/]{i}." in short for i in range(report.SHOWN + 3))
    assert f"{3 if force else report.SHOWN + 2} more" in short


def test_what_is_left_alone_is_listed_with_its_reason_largest_first():
    skipped = tuple(
        Skipped(f"node{i}", "Gather", Reason(Cause.NO_PRODUCT, f"reason {i % 20}"), 10 * (i % 20)) for i in range(40)
    )
    plan = Plan(model="m", provider="cpu", batch=(1,), parameters=10_000, steps=(), skipped=skipped)
    short = text(report.plan_view(plan))
    assert "node19 and 1 more" in short and "380 (3.8%)" in short and "8 more" in short
    assert short.index("reason 19") < short.index("reason 18") and "reason 0" not in short
    full = text(report.plan_view(plan, True))
    assert all(f"node{i} " in full and f"reason {i % 20}" in full for i in range(40))


def test_a_model_without_anything_in_it():
    plan = Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=())
    assert text(report.plan_view(plan))


@pytest.fixture(scope="module")
def result():
    return optimize(model_of(2), force=True, trials=QUICK, regions=False, batch=[1, 2])


def test_a_verdict_has_a_row_per_output_and_the_probes(result):
    shown = text(report.verdict_view(result.verdict))
    assert "x2" in shown and "2 of 2 split products within their a-priori error bound" in shown
    assert "DIFFERENT" not in shown
    worse = dataclasses.replace(result.verdict.outputs[0], equal=False, identical=False)
    assert "DIFFERENT" in text(report.verdict_view(dataclasses.replace(result.verdict, outputs=(worse,))))


def test_timings_have_a_row_per_input_size(result):
    shown = text(report.timings(result.benches))
    assert sum("ms" in line for line in shown.splitlines()) == 2 and "1 thread" in shown
    assert all(bench.comparison.figure in shown for bench in result.benches)
    assert all(bench.comparison.range in shown and bench.speed.value in shown for bench in result.benches)
    assert "interleaved rounds by processor time" in text(
        report.timings([dataclasses.replace(b, clock="cpu") for b in result.benches])
    )
    assert text(report.timings([]))


def test_timings_say_on_cuda_whether_models_ran_as_cuda_graphs(result):
    assert "graphs" not in text(report.timings(result.benches))
    graph, plain = (
        dataclasses.replace(b, provider="cuda", threads=None, cuda_graph=used, cuda_graph_reason=why)
        for b, used, why in zip(result.benches, (True, False), ("", "'[red]x' is text"), strict=True)
    )
    for benches, words in (
        ([graph], "on cuda, as CUDA graphs"),
        ([plain], "on cuda, without CUDA graphs: '[red]x' is text"),
        ([graph, plain], "on cuda, without CUDA graphs at batch 2: '[red]x' is text"),
        ([plain, graph], "on cuda, without CUDA graphs at batch 2: '[red]x' is text"),
    ):
        assert text(report.timings(benches)).rstrip().endswith(words)


def test_a_result_ends_with_what_came_of_it(result, tmp_path):
    shown = text(report.result_view(dataclasses.replace(result, written=(tmp_path,))))
    assert shown.rstrip().endswith("split: 2 of 2 operators split") and f"wrote {tmp_path}" in shown.replace("\n", "")
    assert "bench" in shown and "check" in shown
    bare = dataclasses.replace(result, verdict=None, benches=(), outcome="unchanged", reason="why")
    assert text(report.result_view(bare)).rstrip().endswith("unchanged: why")


def test_a_console_that_is_no_terminal_is_wide(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("COLUMNS", "77")
    assert console().width == 77
    monkeypatch.delenv("COLUMNS")
    assert console().width == 160 and not console().is_terminal


def test_recurrent_weights_show_the_structure_of_their_states():
    planted = build_cell(np.random.default_rng(0), Cell(direction="bidirectional"))
    chosen = scission.plan(planted.model, provider="cpu", force=True)
    shown = text(report.plan_view(chosen))
    assert "recurrent states" in shown and "SCCs" in shown
    assert "cell[forward]" in shown and "cell[reverse]" in shown
    assert "recurrent states" not in text(report.plan_view(dataclasses.replace(chosen, steps=())))


def test_what_nobody_looked_at_is_told_before_the_outcome(result):
    bare = dataclasses.replace(result, verdict=None, benches=())
    lines = text(report.result_view(bare)).rstrip().splitlines()
    assert lines[-1].startswith("split: ")
    assert lines[-3].startswith("unproved: that ") and all(one.node in lines[-3] for one in bare.plan.rewrites)
    assert lines[-2].startswith("unmeasured: that it is faster")
    proved = text(report.result_view(dataclasses.replace(result, benches=())))
    assert "unproved" not in proved and "unmeasured" in proved
    failed = text(report.result_view(dataclasses.replace(bare, outcome="failed")))
    assert "unproved" not in failed and "unmeasured" not in failed
