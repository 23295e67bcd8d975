import dataclasses

import numpy as np
import pytest
from annealable import SIGMA, network

from scission.ir.io.load import load
from scission.ir.reason import Cause, Reason
from scission.passes.anneal.edges.schemes import parse_scheme
from scission.passes.anneal.model import anneal_model
from scission.passes.anneal.settings import Anneal
from scission.runtime.calibrate.metric_runner import Measured
from scission.runtime.calibrate.selection import AnnealingCandidate, Refusal, Selection
from scission.runtime.render.console import console
from scission.runtime.render.text.annealing import annealing_view, selection_view
from scission.runtime.render.text.report import plan_view


def shown(view):
    with (made := console()).capture() as capture:
        made.print(view)
    return " ".join(capture.get().split())


@pytest.fixture(scope="module")
def annealing():
    model, _, _ = network(np.random.default_rng(0))
    null = parse_scheme(f"normal:{SIGMA}")
    return anneal_model(load(model), Anneal(method="blocks", null=lambda _: null.null(1, 1))).annealing


def test_every_annealed_weight_is_named_with_its_evidence(annealing):
    text = shown(annealing_view(annealing))
    assert all(word in text for word in ("l0", "W0", "l1", "W1", "48x96", "2,304 (50.0%)", "blocks at 0.001", "lossy"))
    many = [dataclasses.replace(annealing[0], node=f"n{i}") for i in range(20)]
    assert "and 8 more" in shown(annealing_view(many)) and "n19" in shown(annealing_view(many, everything=True))


def test_a_plan_that_anneals_says_so(annealing):
    import scission

    model, _, _ = network(np.random.default_rng(0))
    plan = scission.plan(model, anneal=scission.Annealer(method="blocks", init=f"normal:{SIGMA}"), force=True)
    assert "not measured" in shown(plan_view(plan)) and "W0" in shown(plan_view(plan))
    assert "argmax 1 -> 0.9" in shown(plan_view(dataclasses.replace(plan, effect="argmax 1 -> 0.9")))


def test_a_selection_tells_what_it_took_and_why_not_the_rest(annealing):
    measured = Measured(metric=0.98, baseline=1.0, drop=0.02, deviation=0.1, cosine=0.99)
    candidate = AnnealingCandidate(annealing=annealing[0], level=0.05, mac_share=0.5, drop=0.01)
    selection = Selection(
        chosen=(candidate,),
        refused=tuple(Refusal(node, Reason(Cause.TOO_COSTLY_ALONE, "too dear")) for node in ("l1", "l2")),
        tuning=measured,
        held_back=measured,
        samples=10,
        reason="",
        metric="argmax",
        limit=0.03,
    )
    text = shown(selection_view(selection))
    assert "argmax 1 -> 0.98 on 10 samples held back" in text and "l1 and 1 more: too dear" in text
    assert "l2: too dear" in shown(selection_view(selection, everything=True))
    none = dataclasses.replace(selection, chosen=(), held_back=None, reason="because")
    assert "nothing was annealed: because" in shown(selection_view(none)) and none.effect == ""
    assert "nothing was annealed" not in shown(selection_view(none, told=True))
