import contextlib
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import spread, truth_mask

from scission.ir.errors import ScissionError
from scission.ir.plan import (
    DERIVED,
    SCHEMA,
    Block,
    Decomposition,
    Plan,
    PlanError,
    States,
    Step,
    from_ranges,
    indices,
    to_ranges,
)
from scission.ir.skipped import Skipped

texts = st.text(max_size=8)
finite = st.floats(allow_nan=False)
index_sets = st.sets(st.integers(0, 60))


@st.composite
def decompositions(draw):
    K, N = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    outputs = draw(st.lists(st.integers(-1, 3), min_size=N, max_size=N))  # the block of each output, -1 for none
    blocks = []
    for label in sorted({label for label in outputs if label >= 0}):
        inputs = draw(st.sets(st.integers(0, K - 1), min_size=1))
        blocks.append(Block(sorted(inputs), [n for n, owner in enumerate(outputs) if owner == label]))
    return Decomposition((K, N), tuple(blocks))


counts = st.integers(0, 99)
states = st.builds(States, components=counts, sccs=counts, layers=counts, giant=finite)


@st.composite
def steps(draw):
    decomposition = draw(decompositions())
    lowering = draw(st.sampled_from(["dense", "scatter", "split", "parallel"]))
    return Step(
        **{name: draw(texts) for name in ("node", "op", "weight", "dtype", "reason")},
        **{name: draw(st.integers(0, 99)) for name in ("components", "nonzeros", "dormant_inputs", "dormant_outputs")},
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
    rows=st.lists(st.integers(1), max_size=3).map(tuple),
    parameters=st.integers(0),
    steps=st.lists(steps(), max_size=4).map(tuple),
    skipped=st.lists(st.builds(Skipped, texts, texts, texts, st.integers(0)), max_size=2).map(tuple),
    inline=st.lists(st.tuples(texts, texts, texts), max_size=2).map(tuple),
)


@given(plans)
def test_a_plan_survives_json(plan):
    text = plan.dumps()
    assert Plan.loads(text) == plan
    assert Plan.loads(text).dumps() == text
    assert json.loads(text)["schema"] == SCHEMA


@given(plans)
def test_what_is_not_dense_is_a_rewrite(plan):
    assert [step for step in plan.steps if step not in plan.rewrites] == [
        s for s in plan.steps if s.lowering == "dense"
    ]


@given(index_sets)
def test_ranges_survive_text(members):
    text = to_ranges(indices(sorted(members)))
    assert from_ranges(text, 61).tolist() == sorted(members) == spread(text)
    assert all(
        int(b.split("-")[0]) - int(a.split("-")[-1]) > 1
        for a, b in zip(text.split(","), text.split(",")[1:], strict=False)
    )


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "-",
        "1-",
        "-3",
        "1--2",
        "1-2-3",
        "5-3",
        "3,1",
        "1,1",
        "0-2,2",
        "²",
        "٣",
        "1.5",
        "0x1",
        "9",
        "0-9",
        "9" * 6000,
        f"0-{'9' * 30}",
        "nan",
        None,
        3,
        [0, 1],
        {"0": 1},
        b"1",
    ],
)
def test_text_that_is_no_list_of_ranges_is_refused(text):
    with pytest.raises(PlanError):
        from_ranges(text, 9)


@given(decompositions())
def test_blocks_and_dormant_features_cover_everything_once(decomposition):
    K, N = decomposition.shape
    outputs = [n for block in decomposition.blocks for n in block.outputs.tolist()]
    assert sorted(outputs + decomposition.dormant_outputs.tolist()) == list(range(N))
    inputs = {k for block in decomposition.blocks for k in block.inputs.tolist()}
    assert sorted(inputs) + decomposition.dormant_inputs.tolist() == sorted(inputs) + sorted(set(range(K)) - inputs)
    assert decomposition.mac_share == truth_mask(decomposition).sum() / (K * N)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Block([], [0]), "at least one input"),
        (lambda: Block([0], []), "at least one input"),
        (lambda: Block([1, 0], [0]), "sorted and distinct"),
        (lambda: Block([0], [1, 1]), "sorted and distinct"),
        (lambda: Block([-1], [0]), "non-negative"),
        (lambda: Decomposition((2, 2), (Block([2], [0]),)), "outside the weight"),
        (lambda: Decomposition((2, 2), (Block([0], [2]),)), "outside the weight"),
        (lambda: Decomposition((2, 2), (Block([0], [1]), Block([1], [0, 1]))), "output 1 belongs to two blocks"),
    ],
)
def test_blocks_that_contradict_themselves_are_refused(make, message):
    with pytest.raises(PlanError, match=message):
        make()


def test_blocks_may_share_inputs_and_are_values():
    shared = Decomposition((1, 2), (Block([0], [0]), Block([0], [1])))
    assert shared == Decomposition((1, 2), (Block(np.array([0]), [0]), Block([0], [1])))
    assert hash(shared.blocks[0]) == hash(Block([0], [0])) and shared.blocks[0] != shared.blocks[1]
    with pytest.raises(ValueError, match="read-only"):
        shared.blocks[0].inputs[0] = 3
    with pytest.raises(ValueError, match="read-only"):
        shared.dormant_inputs[:] = 3


def test_a_block_keeps_its_own_copy_of_the_indices():
    mine = np.array([0, 2])
    block = Block(mine, [1])
    mine[0] = 1
    assert block.inputs.tolist() == [0, 2]


STEP = Step(
    node="/mlp/up", op="MatMul", weight="W", dtype="float32", shape=(4, 3), lowering="scatter",
    decomposition=Decomposition((4, 3), (Block([0, 2], [1]), Block([1], [0, 2]))),
    components=2, giant=0.5, nonzeros=4, dormant_inputs=1, dormant_outputs=0, reason="", sha256="abc",
)  # fmt: skip
PLAN = Plan(model="m", provider="cpu", rows=(1,), parameters=12, steps=(STEP, STEP), skipped=())


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
    with pytest.raises(PlanError, match=r"^steps\[1\] is not an object"):
        Plan.loads(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no 'schema'"),
        ("null", "no 'schema'"),
        ("{}", "no 'schema'"),
        ('{"schema": 99}', "schema 99, this version reads"),
        ('{"schema": 1}', "malformed.*model"),
        (json.dumps({**json.loads(PLAN.dumps()), "rows": 5}), "malformed"),
        (json.dumps({**json.loads(PLAN.dumps()), "rows": ["x"]}), "malformed"),
        (json.dumps({**json.loads(PLAN.dumps()), "steps": None}), "malformed"),
        (json.dumps({**json.loads(PLAN.dumps()), "inline": [["a", "b"]]}), "malformed"),
        (json.dumps({**json.loads(PLAN.dumps()), "skipped": [{"node": "n"}]}), "malformed"),
        (json.dumps({**json.loads(PLAN.dumps()), "skipped": ["n"]}), "malformed"),
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
