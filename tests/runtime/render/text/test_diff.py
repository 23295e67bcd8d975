import io

import numpy as np
from mutations import KINDS, mutated, random_model
from rich.console import Console

import scission
from scission.ir.findings.difference import Became, Difference, Drift, NodeAt, Side, Totals
from scission.runtime.render.text.diff import diff_view, drift_cells


def text(found, everything=False):
    out = io.StringIO()
    Console(width=200, file=out).print(diff_view(found, everything))
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
