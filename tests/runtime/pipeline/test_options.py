"""Options that would be passed over in silence are refused, each in its own words."""

import numpy as np
import onnx
import pytest
from onnx import helper as h
from small_models import graph

import scission
from scission.runtime.ort.trials import Trials
from scission.runtime.pipeline.options import PlanOptions, agreed

PLAIN = graph([h.make_node("MatMul", ["x", "W"], ["y"], name="mm")], {"W": np.ones((4, 4))}, 4, y=4)


@pytest.mark.parametrize("name", ["data", "labels", "max_drop"])
def test_what_annealing_is_judged_by_means_nothing_without_it(name):
    with pytest.raises(scission.AnnealOptionsError, match=f"^{name}=… says by what annealing is judged"):
        scission.optimize(PLAIN, **{name: "argmax<=0.1"})


def test_labels_are_given_once():
    from scission.ir.io.load import load
    from scission.runtime.calibrate.dataset import labelled
    from scission.runtime.inputs.spec import spec_of

    held = labelled({"x": np.ones((3, 4), np.float32)}, spec_of(load(PLAIN)), np.zeros(3, int))
    with pytest.raises(scission.LabelledError, match="the data are labelled already; leave labels=… out"):
        scission.sweep(PLAIN, held, labels=np.zeros(3, int), metric="argmax")


@pytest.mark.parametrize(
    ("options", "shell"),
    [
        ({"force": True}, "--force"),
        ({"regions": False}, "--no-regions"),
        ({"parts": 2}, "--parts"),
        ({"granularity": 2}, "--granularity"),
        ({"lowering": "split"}, "--lowering"),
    ],
)
def test_how_to_plan_means_nothing_beside_a_plan(options, shell):
    made = scission.plan(PLAIN)
    with pytest.raises(scission.OptionError, match=f"^{next(iter(options))} says how to plan") as refused:
        scission.report(PLAIN, plan=made, **options)
    assert refused.value.for_shell.startswith(f"{shell} says how to plan")
    assert scission.report(PLAIN, plan=made, batch=4, device="cpu", provider="cpu").plan == made


@pytest.mark.parametrize("is_there", [True, False])
def test_a_library_that_is_none_is_refused_whether_or_not_it_is_needed(is_there, tmp_path):
    file = tmp_path / "ops.so"
    if is_there:
        file.write_bytes(b"no library")
    told = "not a library of custom operators" if is_there else "there is no such file"
    calls = [scission.plan, scission.inspect, scission.report, scission.optimize]
    for call in (*calls, lambda model, **options: scission.explain(model, "mm", **options)):
        with pytest.raises(scission.SessionError, match=rf"ops\.so: {told}"):
            call(PLAIN, custom_ops=[file])
    with pytest.raises(scission.SessionError, match=told):
        scission.apply(PLAIN, scission.plan(PLAIN), custom_ops=[file])
    assert onnx.checker.check_model(PLAIN) is None


def test_a_plan_and_its_trials_round_factors_alike():
    options, trials = agreed(PlanOptions(tf32=False), None)
    assert not options.tf32 and not trials.tf32
    options, trials = agreed(PlanOptions(), Trials(tf32=False))
    assert not options.tf32 and not trials.tf32


def test_plans_for_cuda_say_how_factors_are_rounded():
    for tf32 in (True, False):
        plan = scission.plan(PLAIN, provider="cuda", tf32=tf32)
        assert plan.tf32 is tf32 and scission.Plan.loads(plan.dumps()).tf32 is tf32
    assert scission.plan(PLAIN, provider="cpu").tf32 is None
