"""The report of a model that does not decompose, as it is shown."""

import dataclasses
import io
import json
import math
import re

import pytest
from rich.console import Console

from scission.ir.evidence.null import Null
from scission.ir.findings.decomposability import STEPS, MatrixReport, ModelReport, Sensitivity
from scission.ir.graph.skipped import Skipped
from scission.ir.reason import Cause, Reason
from scission.runtime.render.text.decomposability import SHOWN, decomposability_view

NULL = Null(family="normal", scale=0.02, source="[scheme] bert")


def matrix(place, **changes):
    rows = tuple(
        Sensitivity(factor=f, confirmed=0.4 / f, components=1, giant=1 / f, dormant=0, distance=9) for f in (0.5, 1, 2)
    )
    values = {"node": f"[red]n{place}[/]", "shape": (10 + place, 20), "density": 0.5, "components": 1, "giant": 0.75}
    values |= {"dormant": place, "distance": 252.3, "half": 0.125, "half_kept": 0.004, "half_giant": 0.4}
    values |= {"half_components": 3, "mass": 0.594, "mass_shuffled": 0.552, "null": NULL, "smallest_edge": 2.41}
    values |= {"smallest_block": 0.63, "sensitivity": rows, "power": (("walk", "sees [nothing]"),)}
    values |= {"reason": f"why {place}", "step": "train", "suggestion": f"try {place}"}
    return MatrixReport(**values | changes)


def report(count=2, **changes):
    made = tuple(matrix(place) for place in range(count))
    values = {"model": "m.onnx", "matrices": made, "level": 0.05, "notes": ("a [note]",), "seconds": 1.25}
    return ModelReport(**values | changes)


def text(found, everything=False, width=240):
    stream = io.StringIO()
    Console(file=stream, width=width).print(decomposability_view(found, everything))
    return stream.getvalue()


def rows(shown, start):
    return [line.split() for line in shown.splitlines() if line.startswith(start)]


def test_two_rows_for_each_weight():
    first, second = rows(text(report()), "[red]n1[/]")
    assert first[1:] == ["11x20", "50.00%", "1", "75.0%", "1", "252x", "99.60%", "0.125", "59.4%", "55.2%"]
    assert second[1:] == ["0.02", "2.41", "0.63", "40.00%", "100.0%", "80.00%", "200.0%", "20.00%", "50.0%"]


def test_the_sentence_the_notes_and_the_steps_are_shown():
    found = report()
    shown = text(found)
    assert found.sentence in " ".join(shown.split())
    assert "a [note]" in shown and "examined in 1.2 s" in shown and "at level 0.05" in shown
    assert f"train, 2 of 2: {STEPS['train']}" in shown and "sigma of [red]n1[/] and 1 more: [scheme] bert" in shown


NODES = "[red]n", "/encoder/layer.0/attention/self/query/MatMul_"


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_number_is_cut_at_any_width(node, width):
    large = {"shape": (1024, 50_265), "distance": 7174.5, "dormant": 12_345, "half": 1.234e-5, "components": 12_345}
    null = dataclasses.replace(NULL, scale=1.2345e-5)
    made = tuple(matrix(k, node=f"{node}{k}", **large, null=null, smallest_edge=math.inf) for k in range(3))
    shown = text(report(matrices=made), width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert not any("…" in line.partition(" ")[2] for line in shown.splitlines())  # names, which come first, may be cut
    for word in ("1024x50265", "75.0%", "12,345", "7,174x", "99.60%", "1.23e-05", "never", "0.63", "40.00%", "100.0%"):
        assert len(re.findall(rf"(?<![\w.,]){re.escape(word)}(?![\w.])", shown)) >= 3, word
    assert ("distance" in shown) and ("at |w|" in shown) is (width == 160)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [(0.0, "<0.1"), (0.0999, "<0.1"), (0.1, "0.10"), (2.414, "2.41"), (math.inf, "never"), (None, "-")],
)
def test_signals_are_said_in_words_where_numbers_mislead(signal, expected):
    shown = rows(text(report(matrices=(matrix(0, smallest_edge=signal, smallest_block=7.0),))), "[red]n0[/]")
    assert shown[1][2:4] == [expected, "7.00"]


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 3])
def test_the_largest_come_first_and_the_rest_is_summed_up(count):
    found = report(count)
    shown, everything = text(found), text(found, everything=True)
    assert len(rows(shown, "[red]n")) == 2 * SHOWN
    assert rows(shown, "[red]")[0][0] == f"[red]n{count - 1}[/]"
    assert shown.count("… and 3 more (--all shows them)") == (2 if count > SHOWN else 0)
    assert "… and" not in everything
    for place in range(count):
        assert len([row for row in rows(everything, f"[red]n{place}[/]") if len(row) > 1]) == 2
        assert f"why: why {place}\n" in everything and f"next: try {place}\n" in everything
    assert "walk: sees [nothing]" in everything and "why: " not in shown


def test_what_is_not_known_is_a_dash_and_what_is_never_seen_says_so():
    unknown = matrix(0, null=None, mass=None, mass_shuffled=None, smallest_edge=None, sensitivity=(), dormant=0)
    endless = matrix(1, smallest_edge=math.inf, smallest_block=math.inf)
    shown = text(report(matrices=(unknown, endless)))
    first, second = rows(shown, "[red]n0[/]")
    assert (first[5], first[-2:], second[1:6]) == ("0", ["-", "-"], ["-", "-", "0.63", "-", "-"])
    assert rows(shown, "[red]n1[/]")[1][2:4] == ["never", "never"]
    assert "sigma of [red]n0[/]: nothing known" in shown


def test_what_was_not_examined_is_listed():
    skipped = tuple(
        Skipped(f"s{place}", "MatMul", Reason(Cause.UNREADABLE, "its [weight]"), 3) for place in range(SHOWN + 2)
    )
    shown = text(report(0, skipped=skipped))
    assert "not examined: s0 (MatMul): its [weight]" in shown and f"s{SHOWN} " not in shown
    assert "… and 2 more not examined" in shown and "m.onnx has no weight that can be examined" in shown
    assert f"s{SHOWN + 1} (MatMul)" in text(report(0, skipped=skipped), everything=True)
    assert "what holds" not in shown


def test_json_is_that_of_the_report():
    found = dataclasses.replace(report(), notes=())
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sentence"] == found.sentence
