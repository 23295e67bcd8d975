import contextlib
import dataclasses
import json

import pytest
from decomposition_examples import covers, decompositions
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.ir.graph.skipped import Skipped
from scission.ir.plan.axis_order import Reordering
from scission.ir.plan.codec import DERIVED
from scission.ir.plan.plan import VERSION, Block, Decomposition, Plan, PlanError, States, Step
from scission.ir.plan.region_split import RegionSplit
from scission.ir.reason import Cause, Reason

texts = st.text(max_size=8)
finite = st.floats(allow_nan=False)
reasons = st.builds(Reason, st.sampled_from(Cause), texts)
WHY = Reason(Cause.COMPONENTS, "")


counts = st.integers(0, 99)
states = st.builds(States, components=counts, sccs=counts, layers=counts, giant=finite)


@st.composite
def steps(draw):
    decomposition = draw(st.one_of(decompositions(), covers()))
    lowering = draw(st.sampled_from(["dense", "scatter", "split", "cells"]))
    return Step(
        **{name: draw(texts) for name in ("node", "op", "weight", "dtype")},
        **{name: draw(st.integers(0, 99)) for name in ("components", "nonzeros", "dormant_inputs", "dormant_outputs")},
        reason=draw(reasons),
        shape=decomposition.shape,
        lowering=lowering,
        decomposition=decomposition,
        giant=draw(finite),
        gain=draw(st.none() | finite),
        sha256=draw(texts if lowering != "dense" else st.none() | texts),
        states=draw(st.none() | states),
    )


plans = st.builds(
    Plan,
    model=texts,
    provider=st.sampled_from(["cpu", "cuda"]),
    batch=st.lists(st.integers(1, 2**63 - 1), max_size=3).map(tuple),
    parameters=st.integers(0, 2**63 - 1),
    steps=st.lists(steps(), max_size=4).map(tuple),
    skipped=st.lists(st.builds(Skipped, texts, texts, reasons, st.integers(0, 2**63 - 1)), max_size=2).map(tuple),
    inline=st.lists(st.tuples(texts, texts, texts), max_size=2).map(tuple),
)


@given(plans)
def test_a_plan_survives_json(plan):
    text = plan.dumps()
    assert Plan.loads(text) == plan
    assert Plan.loads(text).dumps() == text
    assert json.loads(text)["version"] == VERSION


@given(plans)
def test_what_is_not_dense_is_a_rewrite(plan):
    assert [step for step in plan.steps if step not in plan.rewrites] == [
        s for s in plan.steps if s.lowering == "dense"
    ]


STEP = Step(
    node="/mlp/up", op="MatMul", weight="W", dtype="float32", shape=(4, 3), lowering="scatter",
    decomposition=Decomposition((4, 3), (Block([0, 2], [1]), Block([1], [0, 2]))),
    components=2, giant=0.5, nonzeros=4, dormant_inputs=1, dormant_outputs=0, reason=WHY, sha256="abc",
)  # fmt: skip
PLAN = Plan(model="m", provider="cpu", batch=(1,), parameters=12, steps=(STEP, STEP), skipped=())


def test_shares_of_a_step():
    assert (STEP.parameters, STEP.density, STEP.degree) == (12, 4 / 12, 8 / 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lowering": "magic"}, "/mlp/up: unknown lowering 'magic'"),
        ({"shape": (3, 4)}, "/mlp/up: blocks are for shape"),
        ({"sha256": None}, "/mlp/up: .*SHA-256"),
    ],
)
def test_a_step_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(PlanError, match=message):
        dataclasses.replace(STEP, **change)


def block(inputs="0", outputs="0"):
    return {"inputs": inputs, "outputs": outputs}


WRONG_STEPS = [
    {"lowering": "magic"},
    {"lowering": ["scatter"]},
    {"lowering": None},
    {"sha256": None},
    {"shape": [4]},
    {"shape": 4},
    {"shape": None},
    {"shape": ["a", "b"]},
    {"shape": [-4, 3]},
    {"shape": [4, 10**15]},
    {"shape": [4, 10**30]},
    {"blocks": None},
    {"blocks": 5},
    {"blocks": [5]},
    {"blocks": ["0"]},
    {"blocks": [{"inputs": "0"}]},
    {"blocks": [block(inputs=[0, 1])]},
    {"blocks": [block(inputs=None)]},
    {"blocks": [block(inputs="")]},
    {"blocks": [block(inputs="0-4")]},
    {"blocks": [block(inputs="2-1")]},
    {"blocks": [block(outputs="0-99999999999999")]},
    {"blocks": [block(outputs="x")]},
    {"blocks": [block(), block()]},
    {"surprise": 1},
    {"reason": 3},
    {"cause": "because"},
    {"cause": ["slower"]},
    {"split_k": 1},
    {"residual": 3},
    {"residual": [[0]]},
    {"residual": [[0, True]]},
    {"residual": [[0, 99]]},
    {"residual": [[0, -1]]},
]


@pytest.mark.parametrize("change", WRONG_STEPS, ids=lambda change: json.dumps(change)[:40])
def test_a_malformed_step_is_named(change):
    data = json.loads(PLAN.dumps())
    data["steps"][1].update(change)
    with pytest.raises(PlanError, match=r"^steps\[1\] \(/mlp/up\): "):
        Plan.loads(json.dumps(data))


OPTIONAL = {*DERIVED, "gain"}


@pytest.mark.parametrize("field", sorted(json.loads(PLAN.dumps())["steps"][0]))
def test_a_missing_field_is_named_with_its_step(field):
    data = json.loads(PLAN.dumps())
    del data["steps"][1][field]
    if field in OPTIONAL:
        Plan.loads(json.dumps(data))
        return
    with pytest.raises(PlanError, match=r"^steps\[1\] .*" + ("SHA-256" if field == "sha256" else f"'?{field}'?")):
        Plan.loads(json.dumps(data))


@pytest.mark.parametrize("step", [None, 3, "text", []])
def test_a_step_that_is_no_object_is_named(step):
    data = json.loads(PLAN.dumps())
    data["steps"][1] = step
    with pytest.raises(PlanError, match=r"^steps\[1\] is .*, which is no object"):
        Plan.loads(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no 'version'"),
        ("null", "no 'version'"),
        ("{}", "no 'version'"),
        ('{"version": 99}', "version 99, this scission reads version 1; plan again with `scission.plan`"),
        ('{"version": true}', "version true, this scission reads version 1"),
        ('{"version": 1}', "the plan: '.*' is missing"),
        *((f'{{"schema": {old}}}', f"the older schema {old}, .* plan again with") for old in range(1, 7)),
        (json.dumps({**json.loads(PLAN.dumps()), "batch": 5}), "'batch' is 5, which is no list"),
        (json.dumps({**json.loads(PLAN.dumps()), "batch": ["x"]}), "'batch' is .* no list of sizes"),
        (json.dumps({**json.loads(PLAN.dumps()), "steps": None}), "'steps' is null, which is no list"),
        (json.dumps({**json.loads(PLAN.dumps()), "inline": [["a", "b"]]}), "'inline' is no list of functions"),
        (json.dumps({**json.loads(PLAN.dumps()), "skipped": [{"node": "n"}]}), r"skipped\[0\]: 'cause' is missing"),
        (json.dumps({**json.loads(PLAN.dumps()), "skipped": ["n"]}), r"skipped\[0\] is \"n\", which is no object"),
    ],
)
def test_text_that_is_no_plan_is_refused(text, message):
    with pytest.raises(PlanError, match=message):
        Plan.loads(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(sorted(json.loads(PLAN.dumps()))),
    st.sampled_from(["", *sorted(json.loads(PLAN.dumps())["steps"][0])]),
    json_values,
)
def test_any_value_anywhere_is_a_plan_or_a_plan_error(field, inner, value):
    data = json.loads(PLAN.dumps())
    if inner:
        data["steps"][0][inner] = value
    else:
        data[field] = value
    with contextlib.suppress(PlanError):
        Plan.loads(json.dumps(data))


def test_a_plan_error_is_a_scission_error_and_a_value_error():
    assert issubclass(PlanError, ScissionError) and issubclass(ScissionError, ValueError)


def joined():
    block = Decomposition((2, 2), (Block([0], [0]), Block([1], [1])))
    one = Step(
        node="a",
        op="MatMul",
        weight="w",
        dtype="float",
        shape=(2, 2),
        lowering="region",
        decomposition=block,
        components=2,
        giant=0.5,
        nonzeros=2,
        dormant_inputs=0,
        dormant_outputs=0,
        reason=WHY,
        sha256="0",
    )
    steps = (one, dataclasses.replace(one, node="b"), dataclasses.replace(one, node="c", lowering="split"))
    order = Reordering(value="h", axis=1, order=[1, 0])
    return Plan(
        model="m",
        provider="cpu",
        batch=(1,),
        parameters=12,
        steps=steps,
        skipped=(),
        regions=(RegionSplit(nodes=("a", "b"), gain=2.0),),
        reorderings=(order,),
    )


def test_regions_and_reorderings_survive_json():
    assert Plan.loads(joined().dumps()) == joined()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["steps"].append(d["steps"][0]), "a: the plan has two steps for it"),
        (lambda d: d["regions"].append(d["regions"][0]), "a: two regions name it"),
        (lambda d: d["regions"][0]["nodes"].append("nope"), "nope: a region names it, but the plan has no step for it"),
        (lambda d: d["regions"][0]["nodes"].append("c"), "c: a region names it, but the lowering of its step is not"),
        (lambda d: d.update(regions=[]), "a: its lowering is 'region', but no region names it"),
        (lambda d: d.update(regions={}), "'regions' is {}, which is no list"),
        (lambda d: d.update(reorderings=None), "'reorderings' is null, which is no list"),
        (lambda d: d["regions"][0].update(gain=float("nan")), "gain is NaN, which is no speed-up"),
        (lambda d: d["regions"][0].update(more=1), "there is no field 'more'"),
        (lambda d: d["reorderings"][0].update(more=1), "there is no field 'more'"),
        (lambda d: d["steps"][1]["blocks"].pop(), "a: the steps of its region have not all as many blocks"),
    ],
)
def test_regions_that_make_no_sense_are_refused(edit, message):
    data = json.loads(joined().dumps())
    edit(data)
    with pytest.raises(PlanError) as error:
        Plan.loads(json.dumps(data))
    assert message in str(error.value)


def test_what_was_split_together_with_a_dense_one_is_split_alone():
    plan = joined().kept_dense(["a"], Reason(Cause.SLOWER, "why"))
    assert [(step.lowering, step.reason.text) for step in plan.steps] == [
        ("dense", "why"),
        ("scatter", ""),
        ("split", ""),
    ]
    assert plan.regions == () and joined().kept_dense(["c"], WHY).regions == joined().regions


def test_the_hash_is_of_what_is_done_alone():
    """Whatever is predicted or said of a split may change, and nothing that changes the model may."""
    plan = joined()
    step = plan.steps[0]
    said = dataclasses.replace(step, gain=9.0, reason=WHY)
    same = dataclasses.replace(
        plan, model="other", batch=(7,), parameters=1, steps=(said, *plan.steps[1:]), effect="none"
    )
    assert same != plan and same.sha256 == plan.sha256 == Plan.loads(plan.dumps()).sha256
    others = (
        dataclasses.replace(plan, reorderings=()),
        dataclasses.replace(plan, provider="cuda"),
        dataclasses.replace(plan, inline=(("d", "f", ""),)),
        dataclasses.replace(
            plan, regions=tuple(dataclasses.replace(region, layout="features_first") for region in plan.regions)
        ),
        dataclasses.replace(plan, steps=(*plan.steps[:-1], dataclasses.replace(plan.steps[-1], sha256="other"))),
        plan.kept_dense([plan.steps[-1].node], WHY),
    )
    assert len({one.sha256 for one in (plan, *others)}) == len(others) + 1
