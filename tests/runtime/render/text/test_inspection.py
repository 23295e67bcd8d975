import csv
import io

import numpy as np
import oracles
import pytest
from inspection_examples import three_of
from rich.console import Console

import scission
from scission.ir.findings.inspection import FIELDS, Inspection
from scission.ir.reason import Cause, Reason
from scission.models.planted.recurrent import Cell, build_cell
from scission.runtime.pipeline.inspect import inspected
from scission.runtime.pipeline.options import PlanOptions
from scission.runtime.render.text.inspection import COLUMNS, InspectionError, inspection_view, select_rows, to_csv
from scission.runtime.render.words import plan_sentence, why_nothing


@pytest.fixture(scope="module")
def found():
    return inspected(three_of(), PlanOptions(provider="cpu"))


WHY = Reason(Cause.CONNECTED, "x")


def row(node="n", **changes):
    fields = dict.fromkeys(("scope", "operator", "weight", "type", "verdict"), "")
    fields |= dict.fromkeys(("inputs", "outputs", "parameters", "nonzeros", "components"), 1)
    fields |= dict.fromkeys(("dormant_inputs", "dormant_outputs", "giant", "blocks", "left"), 0)
    return Inspection(**{"node": node, "covers": None, "gain": None, "reason": WHY, **fields, **changes})


def names(rows):
    return [one.node for one in rows]


def text(view, width=200):
    stream = io.StringIO()
    Console(file=stream, width=width).print(view)
    return stream.getvalue()


def test_rows_are_sorted_by_any_column_both_ways_and_what_is_unknown_comes_last():
    rows = [row("a", gain=2.0), row("b", gain=None), row("c", gain=1.0)]
    assert names(select_rows(rows, sort="gain")) == ["c", "a", "b"]
    assert names(select_rows(rows, sort="-gain")) == ["a", "c", "b"]
    assert names(select_rows(rows, sort="gain", reverse=True)) == ["a", "c", "b"]
    assert names(select_rows(rows, sort="-gain", reverse=True, top=2)) == ["c", "a"]
    for column in COLUMNS:
        assert len(select_rows(rows, sort=column)) == 3
    with pytest.raises(InspectionError, match=r"no column 'nonsense'.*density"):
        select_rows(rows, sort="-nonsense")


def test_without_a_column_those_with_most_components_come_first():
    rows = [row("small"), row("split", components=3), row("large", parameters=9)]
    assert names(select_rows(rows)) == ["split", "large", "small"]
    assert names(select_rows(rows, reverse=True)) == ["small", "large", "split"]


@pytest.mark.parametrize(("wanted", "kept"), [("LAYER", ["layer/1"]), ("gemm", ["b"]), ("split", ["c"]), ("x", [])])
def test_a_filter_looks_at_node_operator_and_verdict(wanted, kept):
    rows = [
        row("layer/1"),
        row("b", operator="Gemm"),
        row("c", verdict="split"),
        row("d", reason=Reason(Cause.CONNECTED, "x")),
    ]
    assert names(select_rows(rows, wanted=wanted)) == kept


def test_csv_quotes_what_needs_it():
    rows = [row('say "a, b" and c'), row("plain", giant=0.1 + 0.2)]
    lines = list(csv.reader(io.StringIO(to_csv(rows), newline="")))
    assert lines[0] == list(FIELDS) and lines[1][0] == rows[0].node and lines[2][0] == "plain"
    assert float(lines[2][FIELDS.index("giant")]) == 0.1 + 0.2 and lines[1][FIELDS.index("covers")] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff20"])
def test_no_text_of_csv_is_a_formula(start):
    (_, line) = csv.reader(io.StringIO(to_csv([row(f"{start}HYPERLINK(1)", gain=-2.0)])))
    assert line[0] == f"'{start}HYPERLINK(1)" and line[FIELDS.index("gain")] == "-2.0"


def test_a_name_takes_one_line_of_csv_and_commands_no_terminal():
    assert to_csv([row("a\n=1\r\x1b[2J\u202e\udcff")]).splitlines()[1].startswith(r"a\n=1\r\x1b[2J\u202e\udcff,")


def test_the_table_shows_both_shares_the_verdict_and_why(found):
    shown = text(inspection_view(found, found.rows))
    (band,) = [line for line in shown.splitlines() if line.startswith("layer.1 ")]
    for word in ("64x64", f"{found.rows[1].covers:.1%}", "100.0%", found.rows[1].verdict):
        assert word in band
    assert found.rows[2].reason.text[:40] in shown and "groups (Conv)" in shown and "scope" not in shown
    assert "2 of 3 linears" in text(inspection_view(found, found.rows[:2]))
    assert "[red]" in text(inspection_view(found, [row("[red]")], True)) and text(inspection_view(found, []))
    assert "scope" in text(inspection_view(found, [row(scope="f")]), 300)


def test_long_models_are_cut_unless_everything_is_asked_for(found):
    rows = [row(f"node{i}.") for i in range(15)]
    short, full = text(inspection_view(found, rows)), text(inspection_view(found, rows, True))
    assert "node14." not in short and "3 more" in short and all(f"node{i}." in full for i in range(15))


def test_the_states_of_recurrent_weights_are_shown():
    model = build_cell(np.random.default_rng(0), Cell(direction="bidirectional")).model
    found = inspected(model, PlanOptions())
    assert "SCCs" in text(inspection_view(found, found.rows)) and found.rows == scission.inspect(model)


def test_a_model_without_linears_has_no_empty_table():
    model = oracles.graph([("Relu", ["x"], ["y"])], {"x": ["m", 4]}, {"y": ["m", 4]}, {"w": np.ones(1, np.float32)})
    found = inspected(model, PlanOptions(provider="cpu"))
    assert text(inspection_view(found, found.rows)).strip() == why_nothing(found.plan)


def test_the_last_line_says_what_the_plan_comes_to(found):
    assert text(inspection_view(found, found.rows)).rstrip().endswith(plan_sentence(found.plan))
