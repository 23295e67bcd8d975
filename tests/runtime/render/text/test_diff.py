import io

import numpy as np
import pytest
from mutations import KINDS, mutated, random_model
from rich.console import Console

import scission
from scission.ir.findings.difference import (
    Became,
    Difference,
    Drift,
    Field,
    NodeAt,
    NodeChange,
    Side,
    Totals,
)
from scission.runtime.render.text.diff import diff_view, drift_cells


def text(found, everything=False, width=200):
    out = io.StringIO()
    Console(width=width, file=out).print(diff_view(found, everything))
    return out.getvalue()


def test_every_kind_of_change_is_shown():
    rng = np.random.default_rng(2)
    model = random_model(rng, 15)
    for kind in KINDS:
        found = scission.diff(model, mutated(rng, model, kind)[0])
        assert found.sentence in text(found) and "totals" in text(found)


def test_long_tables_are_cut():
    rng = np.random.default_rng(0)
    found = scission.diff(random_model(rng, 40), random_model(rng, 40))
    assert "--all shows them" in text(found) and "--all shows them" not in text(found, everything=True)


def test_same_is_one_line():
    model = random_model(np.random.default_rng(0), 3)
    assert text(scission.diff(model, model)).strip() == scission.diff(model, model).sentence


def test_numbers_that_are_not_finite_are_told():
    assert drift_cells(Drift(relative=None, max_abs=2.0, share=0.5)) == ("not finite", "2.00e+00", "50.00%")


def test_rows_that_say_the_same_are_one_with_their_number():
    group = Became(before=(), after=(NodeAt(address="a", op="Cast"),), by="matching")
    other = Became(before=(), after=(NodeAt(address="b", op="Cast"),), by="matching")
    side = Side(name="m", producer="", totals=Totals(nodes=(), parameters=0, nbytes=0, macs=(), uncounted=0))
    found = Difference(before=side, after=side, matched=0, groups=(group, other))
    assert "added 2 times" in text(found)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_long_cells_are_readable_on_a_narrow_terminal(width):
    """Nothing of a field is cut, names stay apart, and no line is longer than the terminal."""
    side = Side(name="m", producer="", totals=Totals(nodes=(), parameters=0, nbytes=0, macs=(), uncounted=0))
    path = "/model/encoder/layers.{}/self_attention/query_projection_dense/Softmax"
    axis = Field(what="axis", before="-1 (default)", after="1")
    nodes = [NodeAt(address=path.format(layer), op="Softmax") for layer in range(4)]
    changes = tuple(NodeChange(kind="changed", before=node, after=node, fields=(axis,)) for node in nodes)
    shape = "[batch_size_of_the_request, 32]", "[batch, sequence_length, 32]"
    field = Field(what="input embedding_of_the_first_sentence shape", before=shape[0], after=shape[1])
    shown = text(Difference(before=side, after=side, matched=4, interface=(field,), nodes=changes), width=width)
    assert max(map(len, shown.splitlines())) <= width and "…" not in shown.split("nodes of both")[0]
    words = set(shown.replace(",", " ").split())
    assert {"[batch_size_of_the_request", "embedding_of_the_first_sentence", "sequence_length"} <= words
    assert len({word for word in words if word.endswith("Softmax") and word != "Softmax"}) == 4


def test_the_sum_is_last_and_a_row_of_words_has_a_line_for_each_thing():
    nodes = tuple(NodeAt(address=f"a/rather/long/name/{at}", op=f"Operator{at}") for at in range(6))
    group = Became(before=nodes[:3], after=nodes[3:], by="provenance")
    side = Side(name="m", producer="", totals=Totals(nodes=(), parameters=0, nbytes=0, macs=(), uncounted=0))
    found = Difference(before=side, after=side, matched=0, groups=(group,))
    lines = [line.rstrip() for line in text(found, width=60).splitlines()]
    assert lines[-1] and found.sentence.endswith(lines[-1].split(";")[-1].strip())
    at = next(place for place, line in enumerate(lines) if line.startswith("became: "))
    assert lines[at + 1].startswith("  operators ") and lines[at + 2].startswith("  nodes of B 3, operators ")
    assert lines[at + 3] == "  by provenance"
