import json

import numpy as np

from scission.ir.io.load import load
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import decompose, group
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.signature import signature
from scission.passes.planning.units.unit import plan_units
from scission.passes.rewrite.extract import extract
from scission.passes.rewrite.prepare import planned_view


def signed(model):
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(force=True, regions=False))
    seen = planned_view(loaded.graph, plan)
    return [
        signature(extract(seen, unit.operators, unit.inner), [step.decomposition for step in unit.steps])
        for unit in plan_units(plan, seen)
    ]


def ffn(seed=0, **options):
    return signed(
        planted_ffn.build(np.random.default_rng(seed), **{"d": 16, "hidden": 32, "blocks": 4, **options}).model
    )


def test_names_and_weights_do_not_count():
    first, second = ffn(0), ffn(1)
    assert first == second
    json.dumps(first)


def test_what_the_speed_depends_on_does():
    base = ffn()
    for options in (
        {"d": 32},
        {"hidden": 64},
        {"shuffle": False},
        {"leading": (7,)},
        {"leading": ("batch", "sequence")},
        {"dtype": np.float16},
        {"activation": "swiglu"},
    ):
        assert ffn(**options) != base, options


def test_the_shapes_of_blocks_count():
    loaded = load(build(np.random.default_rng(0), "gemm", sizes=[(4, 4)] * 4).model)
    seen = planned_view(loaded.graph, make_plan(loaded))
    part = extract(seen, seen.found.linears)
    blocks = decompose(components(seen.found.linears[0].canonical(seen.found.constants)))
    found = [signature(part, [group(blocks, count)]) for count in (4, 3, 2, 1)]
    assert all(one != other for place, one in enumerate(found) for other in found[:place])


def test_only_an_order_makes_a_difference_not_which_one():
    one, other = (signed(build(np.random.default_rng(seed), "gemm", sizes=[(4, 4)] * 4).model) for seed in (0, 1))
    assert one == other
    contiguous = signed(build(np.random.default_rng(0), "gemm", sizes=[(4, 4)] * 4, contiguous=True).model)
    assert contiguous != one and contiguous[0]["blocks"][0]["inputs"] == "ordered"
    assert one[0]["blocks"][0]["inputs"] == "scattered"


def test_small_integers_count_by_what_they_hold_and_symbols_by_their_place():
    (found,) = signed(build(np.random.default_rng(0), "matmul-right-3").model)
    assert found["inputs"][0][1][:2] == ["#0", "#1"]
