import dataclasses
import itertools

import numpy as np
import pytest
from races import told

from scission.ir.io.load import load
from scission.models.planted.products import build
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.runtime.measure.bench import Bench
from scission.runtime.measure.race import Spread, Timing
from scission.runtime.pipeline.judgement import judge_speed, speed_of

TIMING = Timing(latency=Spread(median=1.0, q10=1.0, q90=1.0), rows_per_second=None, load_seconds=0.0, bytes_=1)
KINDS = {"faster": told(2.0), "slower": told(0.5), "equal": told(1.0), "unmeasurable": told(0.74, 2.0)}


def benched(*kinds):
    return [
        Bench(
            original=TIMING,
            changed=TIMING,
            comparison=KINDS[kind],
            paired=TIMING.latency,
            clock="cpu",
            rows=16**place,
            provider="cpu",
            threads=1,
            machine={},
        )
        for place, kind in enumerate(kinds)
    ]


@pytest.fixture(scope="module")
def plan():
    return make_plan(load(build(np.random.default_rng(0), "matmul-right-2").model), PlanSettings(force=True))


def gaining(plan, gain):
    return dataclasses.replace(plan, steps=tuple(dataclasses.replace(step, gain=gain) for step in plan.steps))


@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, repeat=3)))
def test_only_what_is_clearly_slower_somewhere_or_neither_measured_nor_predicted_is_not_kept(kinds, plan):
    for gain in (0.5, 1.5):
        found = judge_speed(gaining(plan, gain), benched(*kinds))
        assert found.speed is speed_of(benched(*kinds))
        assert found.keep is not ("slower" in kinds or ("unmeasurable" in kinds and gain < 1))
        assert ("not measurable" in found.reason) is ("unmeasurable" in kinds and "slower" not in kinds)


def test_the_words(plan):
    noisy = benched("unmeasurable", "faster")
    kept = judge_speed(gaining(plan, 1.5), noisy)
    assert kept.reason == (
        "its speed is not measurable on this machine now (0.37-1.48x at batch 1), so the prediction decides, "
        "1.5x at the least; more seconds would tell more"
    )
    assert "no gain is predicted, so the original is kept" in judge_speed(gaining(plan, 0.9), noisy).reason
    assert judge_speed(gaining(plan, 0.9), noisy, tuned=True).keep
    slow = judge_speed(plan, benched("slower", "faster"))
    assert slow.reason.startswith("measured 0.50x (0.50-0.51x) the speed of the original at batch 1, so the original")
    assert "a batch names the sizes" in slow.reason
    assert "--rows" not in judge_speed(plan, benched("slower", "unmeasurable")).reason


def test_without_a_bench_all_is_kept(plan):
    found = judge_speed(gaining(plan, 0.5), [])
    assert found.speed is None and found.keep and not found.reason
