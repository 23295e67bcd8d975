import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.findings.formation import (
    BlockSigns,
    EdgeStructure,
    Formation,
    Look,
    RunError,
    WeightLook,
    from_runs,
    to_runs,
)

counts = st.integers(0, 10**6)
optional = st.none() | counts
shares = st.floats(0, 1)
signs = st.builds(
    BlockSigns, step=counts, blocks=counts, existence=shares, accepted=st.booleans(), reason=st.text(max_size=20)
)
edges = st.builds(
    EdgeStructure,
    edges=counts,
    components=counts,
    giant=shares,
    dormant=counts,
    sccs=optional,
    layers=optional,
    signs=st.none() | signs,
)


@st.composite
def weights(draw):
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    labels = [to_runs(np.array(draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)))) for n in shape]
    labels = labels if draw(st.booleans()) else [None, None]
    change = draw(st.none() | edges)
    return WeightLook(
        name=draw(st.text(max_size=9)),
        shape=shape,
        weight=draw(edges),
        change=change,
        inputs=labels[0],
        outputs=labels[1],
    )


looks = st.builds(
    Look,
    step=counts,
    seconds=st.floats(0, 1e9),
    took=st.floats(0, 10),
    weights=st.lists(weights(), max_size=3, unique_by=lambda one: one.name).map(tuple),
)


@given(looks)
def test_a_look_comes_back_from_its_line_which_is_one_line(look):
    line = look.to_line()
    assert Look.from_line(line, "run") == look and len(line.splitlines()) == 1 and line.isascii()


@given(st.lists(st.integers(-1, 4), max_size=30))
def test_labels_come_back_from_their_runs(labels):
    assert from_runs(to_runs(np.array(labels, np.int64)), len(labels)).tolist() == labels


@pytest.mark.parametrize("text", ["x", "0x", "1x999999999", "0x3,,-2", "0x2", "٣", "0x3x2"])
def test_runs_that_are_none_are_refused(text):
    with pytest.raises(RunError):
        from_runs(text, 3)


LINE = Look(
    step=3,
    seconds=1.0,
    took=0.1,
    weights=(
        WeightLook(
            name="w",
            shape=(2, 3),
            weight=EdgeStructure(edges=6, components=1, giant=1.0, dormant=0),
            inputs="0x2",
            outputs="0x3",
        ),
    ),
).to_line()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("seconds",), 10**400, "'seconds' is 1000"),
        (("took",), float("inf"), "'took' is infinite"),
        (("step",), 1 << 60, "'step' is larger than"),
        (("weights", 0, "weight", "components"), 1 << 60, "'components' is larger than"),
        (("weights", 0, "weight", "giant"), -(10**400), "'giant' is -1000"),
        (("weights", 0, "shape"), [1 << 26, 1 << 26], "components are kept of 16384 features at most"),
        (("version",), 2, "version 2, this scission reads version 1"),
        (("step",), -1, "'step' is -1"),
        (("extra",), 1, "no field 'extra'"),
        (("weights", 0, "shape"), [2], "'shape' is no pair"),
        (("weights", 0, "shape"), [2, 0], "'shape' is no pair"),
        (("weights", 0, "weight"), None, "weight is null"),
        (("weights", 0, "weight", "giant"), "much", "'giant' is \"much\""),
        (("weights", 0, "inputs"), "0x5", "5 labels for 2 features"),
        (("weights", 0, "weight", "signs"), {"step": 1}, "'blocks' is missing"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_where_it_is(path, value, said):
    data = json.loads(LINE)
    at = data
    for each in path[:-1]:
        at = at[each]
    at[path[-1]] = value
    with pytest.raises(RunError, match=r"run\.jsonl:1|labels") as error:
        Formation.from_lines([json.dumps(data)], "run.jsonl")
    assert said in str(error.value)


@pytest.mark.parametrize("line", ["", "{", "[" * 100_000, "3", "nul"])
def test_what_is_no_line_is_refused(line):
    with pytest.raises(RunError, match=r"^run:1"):
        Formation.from_lines([line], "run")


def test_steps_of_one_run_do_not_go_back():
    with pytest.raises(RunError, match="run:2: step 3 follows 3"):
        Formation.from_lines([LINE, LINE], "run")


def test_a_weight_keeps_its_shape_and_its_name():
    data = json.loads(LINE)
    later = json.loads(LINE) | {"step": 4}
    later["weights"][0] |= {"shape": [2, 4], "outputs": "0x4"}
    with pytest.raises(RunError, match="run:2: w has another shape"):
        Formation.from_lines([LINE, json.dumps(later)], "run")
    data["weights"] *= 2
    with pytest.raises(RunError, match="run:1: two weights have one name"):
        Formation.from_lines([json.dumps(data)], "run")


def test_components_of_some_looks():
    lines = []
    for step, inputs in enumerate([None, "0x2", None, "0,-1", None], 1):
        data = json.loads(LINE) | {"step": step}
        data["weights"][0] |= {"inputs": inputs, "outputs": inputs and "0x3"}
        lines.append(json.dumps(data))
    run = Formation.from_lines(lines, "run")
    told = [None if one is None else one[0].tolist() for one in run.labels("w")]
    assert told == [None, [0, 0], [0, 0], [0, -1], [0, -1]]
    for at in ([], [0], [2, 4], [0, 1, 2, 3, 4]):
        assert [None if one is None else one[0].tolist() for one in run.labels("w", at)] == [told[i] for i in at]


def test_components_are_as_before_where_a_look_does_not_say():
    later = json.loads(LINE) | {"step": 4}
    later["weights"][0] |= {"inputs": None, "outputs": None}
    run = Formation.from_lines([LINE, json.dumps(later)], "run")
    first, second = run.labels("w")
    assert first is second and run.names == ("w",) and [look.step for look, _ in run.of("w")] == [3, 4]
