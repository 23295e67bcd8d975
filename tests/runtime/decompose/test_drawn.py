import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from picture_examples import texts
from rich.console import Console

from scission.ir.reason import Cause, Reason
from scission.runtime.calibrate.metric_runner import Measured
from scission.runtime.decompose.drawn import decompose_picture
from scission.runtime.decompose.result import DecomposeResult
from scission.runtime.decompose.shown import decompose_view
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import Declined, ModelCandidate, ProjectedWeight, Removed
from scission.runtime.decompose.trying import TriedCandidate
from scission.runtime.measure.comparison import Comparison

pytest.importorskip("matplotlib")

HEADS = Removed(node="o", kind="heads", count=2, whole=8)
WEIGHTS = [
    ProjectedWeight(node=name, form=form, rank=8, share=0.25)
    for name, form in (("q", "low_rank"), ("k", "low_rank"), ("up", "block_low_rank"), ("down", "monarch"))
]


def tried(speedup, drop, method, **changed):
    return TriedCandidate(
        candidate=ModelCandidate(method=method, model=None, settings={"share": 0.1}, **changed),
        measured=Measured(metric=1 - drop, baseline=1.0, drop=drop, deviation=0.0, cosine=None),
        latency=Comparison(ratio=speedup, low=speedup - 0.1, high=speedup + 0.1, pairs=20),
    )


@pytest.fixture
def found():
    return DecomposeResult(
        original=SimpleNamespace(name="m.onnx"),
        goal=parse_goal("cosine<=0.05", "2x"),
        chosen=None,
        reason=Reason(Cause.BELOW_TARGET, "too slow"),
        judged=None,
        tried=(tried(1.5, 0.02, "removal", removed=(HEADS,)), tried(1.4, 0.03, "projection", projected=tuple(WEIGHTS))),
        declined=(),
        seconds=1.0,
    )


def test_each_method_and_the_goal_are_in_the_picture(found):
    said = texts(decompose_picture(found, "svg"))
    for text in ("m.onnx", "removal", "projection", "budget 0.05", "target 2x", "cosine lost"):
        assert text in said
    assert "2 candidates · 1 on the front · none is kept" in said
    assert decompose_picture(found).startswith(b"\x89PNG")


def test_a_method_that_proposed_something_is_not_said_to_propose_nothing(found):
    why = Reason(Cause.UNSUPPORTED, "cannot be trained")
    more = tuple(Declined(method=method, reason=why) for method in ("removal", "experts"))
    out = io.StringIO()
    Console(file=out, width=200).print(decompose_view(replace(found, declined=more)))
    assert "removal proposes nothing more: cannot" in out.getvalue()
    assert "experts proposes nothing: cannot" in out.getvalue()


def test_the_table_and_the_record_tell_what_became_of_weights(found):
    out = io.StringIO()
    Console(file=out, width=200).print(decompose_view(found, everything=True))
    told = " ".join(out.getvalue().split())
    assert "without 2 of 8 heads" in told
    assert "2 weights as low rank, 1 weight as blocks and low rank, 1 weight as Monarch products" in told
    record = found.to_dict()["tried"][1]
    assert record["method"] == "projection" and record["projected"][3] == {
        "node": "down",
        "form": "monarch",
        "rank": 8,
        "share": 0.25,
    }
