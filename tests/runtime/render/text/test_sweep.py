import dataclasses
import io
import json
import math
import re

import pytest
from rich.console import Console

from scission.ir.findings.level_sweep import OperatorLevel, Sweep, summarise
from scission.ir.reason import Cause, Reason
from scission.runtime.calibrate.continuity import jumps
from scission.runtime.calibrate.metric.metric import MetricError, parse_budget
from scission.runtime.render.text.sweep import level_view, sweep_view, to_dict, verdict
from scission.runtime.render.text.table import SHOWN


def text(view, width=220):
    stream = io.StringIO()
    Console(file=stream, width=width).print(view)
    return stream.getvalue()


def operator(place, kept, components, reason=None):
    values = {"confirmed": kept / 2, "giant": 1 / components, "dormant": place if components > 1 else 0}
    values |= {"mac_share": kept, "reason": reason}
    return OperatorLevel(node=f"[red]n{place}[/]", shape=(10 + place, 20), kept=kept, components=components, **values)


def sweep(metrics=(0.97, 0.968, 0.965, 0.5), components=(1, 2, 3, 4), operators=2, **changes):
    levels = tuple(
        summarise(
            10.0 ** -(place + 1),
            [operator(k, 1 / (place + 1), count) for k in range(operators)],
            metric=metric,
            baseline=0.97,
            deviation=place / 100,
            cosine=1 - place / 1000,
        )
        for place, (metric, count) in enumerate(zip(metrics, components, strict=True))
    )
    values = {"model": "m.onnx", "test": "support", "metric_name": "argmax", "higher_is_better": True}
    values |= {"baseline": 0.97, "samples": 1234, "jumps": jumps(levels), "notes": ("a note",), "seconds": 2.5}
    return Sweep(levels=levels, **values | changes)


def unmeasured(**changes):
    found = sweep(baseline=None, **changes)
    levels = tuple(dataclasses.replace(level, metric=None, drop=None) for level in found.levels)
    return dataclasses.replace(found, levels=levels, jumps=jumps(levels))


def row(shown, start):
    (found,) = [line for line in shown.splitlines() if line.startswith(f"{start} ")]
    return found.split()


def test_a_row_for_each_level_with_what_it_keeps_and_costs():
    shown = text(sweep_view(sweep()))
    assert row(shown, "original")[1:] == ["100.0%", "100.0%", "0.97"]
    assert row(shown, "level")[1:8] == ["confirmed", "kept", "components", "giant", "dormant", "split", "MACs"]
    assert row(shown, "0.1")[:8] == ["0.1", "50.0%", "100.0%", "2", "100.0%", "0", "0/2", "100.0%"]
    assert row(shown, "0.1")[8:] == ["0.97", "0", "0", "1"]
    assert row(shown, "0.01")[:8] == ["0.01", "25.0%", "50.0%", "4", "50.0%", "1", "2/2", "50.0%"]
    assert row(shown, "0.01")[8:] == ["0.968", "0.002", "0.01", "0.999"]
    assert row(shown, "0.0001")[-2:] == ["0.997", "jump"] and shown.count("  jump") == 1
    assert "a note" in shown and "test: support; argmax on 1,234 samples; 2.5 s" in shown
    assert "giant: share of the features in the largest component, at its worst over the operators" in shown


NAMES = ("argmax", "cosine", "python:some.module.sentence_cosine", "python:some.module.cosine", "python:m.kept")


def shape_like(**changes):
    """Twelve levels of a large model, with awkward numbers."""
    found = sweep(
        [0.987654321 / (k + 1) for k in range(12)],
        [123_456 + k for k in range(12)],
        baseline=0.98765,
        **changes,
    )
    levels = tuple(
        dataclasses.replace(one, level=10.0 ** -(2 * place), giant=1.0, dormant=12_345, deviation=1.234567e-5)
        for place, one in enumerate(found.levels, 1)
    )
    return dataclasses.replace(found, levels=levels, jumps=jumps(levels))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [30, 60, 80, 100, 160])
def test_no_number_is_cut_at_any_width(name, width):
    for found in (sweep(metric_name=name), shape_like(metric_name=name), unmeasured()):
        shown = text(sweep_view(found), width)
        assert "…" not in shown and max(map(len, shown.splitlines())) <= width
        for level in found.levels:
            wanted = [f"{level.level:g}", f"{level.giant:.1%}", f"{level.dormant:,}", f"{level.mac_share:.1%}"]
            wanted += [] if level.metric is None else [f"{level.metric:.4g}", f"{level.drop:.4g}"]
            assert all(word in re.split(r"[\s,]*\s", shown) for word in wanted)
        if width >= 80:
            assert len(row(shown, f"{found.levels[0].level:g}")) > 5


def test_the_least_important_columns_go_first():
    def shown(width):
        return next(line.split() for line in text(sweep_view(sweep()), width).splitlines() if "giant" in line)

    full = shown(160)
    assert set(full) - set(shown(110)) == {"confirmed"}
    assert set(full) - set(shown(100)) == {"confirmed", "cosine"}
    assert set(full) - set(shown(80)) == {"confirmed", "cosine", "deviation", "kept"}


def test_a_cosine_is_shown_once():
    for name in ("cosine", "argmax"):
        header = next(line for line in text(sweep_view(sweep(metric_name=name))).splitlines() if "giant" in line)
        assert header.split().count("cosine") == 1
    other = text(sweep_view(sweep(metric_name="python:m.cosine")))
    assert row(other, "level")[-4:] == ["metric", "drop", "deviation", "cosine"]


def test_a_jump_names_the_operators_that_changed_most():
    shown = text(sweep_view(sweep()))
    assert "jump: between the levels 0.001 and 0.0001 the argmax changes by 0.465 (expected at most 0.0125)" in shown
    assert "most changed: [red]n1[/], [red]n0[/]" in shown
    lost = text(sweep_view(sweep((0.97, 0.97, math.nan, math.nan))))
    assert "the argmax changes to or from what is no number" in lost


def test_without_a_metric_the_deviation_is_shown():
    shown = text(sweep_view(unmeasured()))
    header = next(line for line in shown.splitlines() if line.startswith("level "))
    assert "argmax" not in header and "drop" not in header and "deviation" in header and "original " not in shown
    assert verdict(unmeasured()) == (
        "from level 0.1 to 0.0001 deviation goes from 0 to 0.03, the operators that split from 0 to 2 of 2, "
        "the MACs left from 100.0% to 25.0%; the results change continuously with the level"
    )
    none = verdict(unmeasured(), parse_budget("argmax<=0.01"))
    assert none == "no level stays within argmax <= 0.01: the weakest, 0.1, has no known drop"


def test_the_verdict_is_the_strongest_level_within_the_budget():
    budget = parse_budget("argmax<=0.5%")
    assert verdict(sweep(), budget) == (
        "level 0.001 is the strongest within argmax <= 0.005: drop 0.005, 2 of 2 operators split, "
        "33.3% of the MACs left; the results jump from 0.001 to 0.0001"
    )
    first = sweep((0.9, 0.97, 0.97, 0.97))
    assert verdict(first, budget) == "no level stays within argmax <= 0.005: the weakest, 0.1, already drops by 0.07"
    whole = sweep(components=(1, 1, 1, 1))
    assert "no operator splits there, so nothing is gained" in verdict(whole, budget)
    with pytest.raises(MetricError, match="the limit is for cosine, but argmax was measured"):
        verdict(sweep(), parse_budget("cosine<=0.1"))


def test_the_verdict_without_a_budget_is_the_course():
    assert verdict(sweep()) == (
        "from level 0.1 to 0.0001 argmax goes from 0.97 to 0.5 (original 0.97), "
        "the operators that split from 0 to 2 of 2, the MACs left from 100.0% to 25.0%; "
        "the results jump from 0.001 to 0.0001"
    )
    one = sweep((0.97,), (2,), operators=1)
    assert verdict(one) == (
        "at level 0.1 argmax is 0.97 (original 0.97), 1 of 1 operator split and 100.0% of the MACs are left"
    )
    two = sweep((0.97, 0.9), (1, 2))
    assert verdict(two).endswith("; too few levels to tell whether the results change continuously")


def alike(count, test="support, block-fill"):
    found = sweep(test=test)
    levels = tuple(dataclasses.replace(found.levels[1], level=level.level) for level in found.levels[:count])
    return dataclasses.replace(found, levels=levels, jumps=())


def test_levels_that_all_give_the_same_say_so():
    same = (
        "from level 0.1 to 0.0001 argmax is 0.968 (original 0.97), 2 of 2 operators split and "
        "50.0% of the MACs are left"
    )
    assert verdict(alike(4)) == f"{same}; every level gives the same result"
    neyman = alike(4, "neyman, block-fill, bonferroni")
    assert verdict(neyman) == f"{same}; every level gives the same result", "not every null is bounded"
    hint = "; a bounded initialisation has no tail: try --anneal support"
    stated = dataclasses.replace(neyman, bounded="stated")
    assert verdict(stated) == f"{same}; every level gives the same result{hint}"
    assert verdict(dataclasses.replace(neyman, bounded="estimated")).endswith(f"{hint} with the --init that it was")
    assert verdict(alike(2)).endswith("; every level gives the same result")
    assert "every level" not in verdict(alike(1)) and "continuous" not in verdict(alike(1))
    budget = parse_budget("argmax<=0.005")
    assert verdict(alike(4), budget).endswith("50.0% of the MACs left; every level gives the same result")
    assert verdict(alike(1), budget).endswith("50.0% of the MACs left")
    lost = sweep((math.nan,) * 3, (1, 1, 1))
    kept = dataclasses.replace(lost, levels=tuple(dataclasses.replace(lost.levels[0], level=x) for x in (0.1, 0.01)))
    assert verdict(kept).endswith("every level gives the same result")


def test_dormant_features_save_something_though_nothing_splits():
    level = summarise(
        0.1, [dataclasses.replace(operator(3, 0.5, 1), dormant=3)], metric=0.97, baseline=0.97, deviation=0
    )
    found = dataclasses.replace(sweep(), levels=(level,), jumps=())
    said = verdict(found, parse_budget("argmax<=0.005"))
    assert said.endswith("drop 0, no operator splits, without 3 dormant features 50.0% of the MACs left")
    assert row(text(sweep_view(found)), "0.1")[5:7] == ["3", "0/1"]


def test_json_has_the_verdict_and_the_level_that_is_allowed():
    found = to_dict(sweep(), parse_budget("argmax<=0.005"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["budget"] == {"metric": "argmax", "limit": 0.005} and found["allowed"] == 0.001
    assert found["verdict"] == verdict(sweep(), parse_budget("argmax<=0.005"))
    assert [level["level"] for level in found["levels"]] == [level.level for level in sweep().levels]
    assert to_dict(sweep((0.5,) * 4), parse_budget("argmax<=0.005"))["allowed"] is None
    assert {"budget", "allowed"}.isdisjoint(to_dict(sweep())) and to_dict(sweep())["verdict"] == verdict(sweep())


def test_the_operators_of_a_level():
    level = summarise(
        0.05,
        [operator(0, 1.0, 1, Reason(Cause.UNSUPPORTED, "its weight [is] shared")), operator(3, 0.25, 4)],
        deviation=0.1,
    )
    shown = text(level_view(level))
    assert row(shown, "[red]n3[/]") == ["[red]n3[/]", "13x20", "12.5%", "25.0%", "4", "25.0%", "3", "25.0%"]
    assert (
        "left as it is: [red]n0[/]: its weight [is] shared" in shown
        and shown.index("n3") < shown.index("n0")
        and "level 0.05" in shown
    )


def test_many_operators_are_summed_up_unless_everything_is_asked_for():
    many = sweep(operators=SHOWN + 5)
    level = many.levels[1]
    short, full = text(level_view(level)), text(level_view(level, everything=True))
    assert "… and 5 more (--all shows them)" in short and "more (" not in full
    assert sum("[red]n" in line for line in short.splitlines()) == SHOWN
    assert sum("[red]n" in line for line in full.splitlines()) == SHOWN + 5
    assert text(sweep_view(many, everything=True)).count("[red]n0[/] ") == len(many.levels)


def test_drops_beyond_the_budget_are_red():
    stream = io.StringIO()
    Console(file=stream, width=220, force_terminal=True, color_system="standard").print(
        sweep_view(sweep(), parse_budget("argmax<=0.005"))
    )
    shown = stream.getvalue()
    assert re.findall(r"\x1b\[31m *([\d.]+)", shown) == ["0.47"]
    assert re.findall(r"\x1b\[32m *([\d.]+)", shown) == ["0", "0.002", "0.005"]


def test_a_test_without_levels_is_named_and_no_level_is():
    found = dataclasses.replace(sweep((0.97,), (2,), operators=1), test="blocks, block-fill", leveled=False)
    assert verdict(found).startswith("by the test blocks argmax is 0.97")
    assert verdict(found, parse_budget("argmax<=0.005")).startswith(
        "the test blocks stays within argmax <= 0.005: drop"
    )
    dear = dataclasses.replace(found, levels=sweep((0.5,), (2,), operators=1).levels)
    said = verdict(dear, parse_budget("argmax<=0.005"))
    assert said == "the test blocks does not stay within argmax <= 0.005: it already drops by 0.47"
    shown = text(sweep_view(found, everything=True))
    assert "level 0.1" not in shown and "the test blocks" in shown
    assert not any(line.split()[:1] == ["0.1"] for line in shown.splitlines())


def test_a_metric_that_gets_better_though_nothing_splits_is_a_gain_that_is_told():
    better = sweep((0.99,), (1,), operators=1)
    assert "nothing gets faster, but the metric is better" in verdict(better, parse_budget("argmax<=0.005"))
    same = sweep((0.97,), (1,), operators=1)
    assert verdict(same, parse_budget("argmax<=0.005")).endswith("so nothing is gained")
