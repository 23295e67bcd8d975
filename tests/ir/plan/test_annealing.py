import base64
import contextlib
import json
import tracemalloc
import zlib

import numpy as np
import pytest
from decomposition_examples import decompositions
from evidence_examples import evidences
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.ir.evidence.evidence import Evidence
from scission.ir.plan.annealing import Annealing, AnnealingError, pack_mask
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.plan.plan import Plan, PlanError

texts = st.text(max_size=8)
EVIDENCE = Evidence(test="neyman", level=0.05, correction="none", confirmed=0.5)


@st.composite
def annealings(draw):
    blocks = mask = None
    if draw(st.booleans()):
        blocks = draw(decompositions())
        shape = blocks.shape
    else:
        shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
        mask = pack_mask(np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.5)
    entry = st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1))
    return Annealing(
        node=draw(texts),
        weight=draw(texts),
        shape=shape,
        sha256=draw(texts),
        evidence=draw(evidences),
        removed=draw(st.integers(0, 10**9)),
        blocks=blocks,
        mask=mask,
        residual=tuple(draw(st.lists(entry, max_size=3))),
        refitted=draw(st.booleans()),
    )


@given(annealings())
def test_an_annealing_survives_json(one):
    text = json.dumps(one.to_dict(), allow_nan=False)
    back = Annealing.from_dict(json.loads(text))
    assert back == one and json.dumps(back.to_dict()) == text
    assert (back.kept() == one.kept()).all() and back.kept().shape == one.shape


@given(annealings())
def test_a_plan_keeps_its_annealings(one):
    plan = Plan(
        model="m", provider="cpu", batch=(1,), parameters=1, steps=(), skipped=(), annealing=(one, one), effect="half"
    )
    assert Plan.loads(plan.dumps()) == plan


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**16), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_mask_survives_packing(K, N, seed, density):
    mask = np.random.default_rng(seed).random((K, N)) < density
    assert (example(shape=(K, N), blocks=None, mask=pack_mask(mask)).kept() == mask).all()


def test_blocks_are_kept_whole():
    blocks = Decomposition((4, 3), (Block([0, 2], [1]), Block([1], [0, 2])))
    found = example(shape=(4, 3), blocks=blocks).kept()
    assert found.astype(int).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]]


def example(**fields):
    default = {
        "node": "/mlp/up",
        "weight": "W",
        "shape": (2, 2),
        "sha256": "abc",
        "evidence": EVIDENCE,
        "removed": 1,
        "blocks": Decomposition((2, 2), (Block([0], [0]), Block([1], [1]))),
    }
    return Annealing(**{**default, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask": pack_mask(np.ones((2, 2), bool))}, "either blocks or the entries"),
        ({"blocks": None}, "either blocks or the entries"),
        ({"shape": (2, 3)}, "blocks are for shape"),
        ({"shape": (0, 3), "blocks": None, "mask": ""}, "has no entries"),
        ({"residual": ((2, 0),)}, "residual entry lies outside"),
        ({"residual": ((0, -1),)}, "residual entry lies outside"),
        ({"removed": -1}, "is no count"),
        ({"removed": True}, "is no count"),
        ({"removed": 0.5}, "is no count"),
    ],
)
def test_an_annealing_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(AnnealingError, match="^/mlp/up: .*" + message):
        example(**fields)


DATA = json.loads(json.dumps(example(residual=((0, 1),)).to_dict()))
BLOCKS = [{"inputs": "0", "outputs": "0"}]
HUGE = 10**30
WRONG = [
    *({name: None} for name in DATA),
    {"node": 5},
    {"weight": 5},
    {"sha256": ["a"]},
    {"shape": [2]},
    {"shape": [2, 2, 2]},
    {"shape": [2, 0]},
    {"shape": [2.0, 2]},
    {"shape": [True, 2]},
    {"shape": [HUGE, HUGE]},
    {"shape": [2, 10**15]},
    {"removed": "3"},
    {"removed": -1},
    {"refitted": "no"},
    {"refitted": 0},
    {"residual": [[0]]},
    {"residual": [[0, 1, 1]]},
    {"residual": [[0, 5]]},
    {"residual": [[0.5, 1]]},
    {"residual": [[float("inf"), 1]]},
    {"residual": 5},
    {"residual": ["01"]},
    {"blocks": 5},
    {"blocks": [5]},
    {"blocks": ["0"]},
    {"blocks": [{"inputs": "0"}]},
    {"blocks": [{"inputs": "", "outputs": "0"}]},
    {"blocks": [{"inputs": "0-9", "outputs": "0"}]},
    {"blocks": BLOCKS * 2},
    {"mask": pack_mask(np.ones((2, 2), bool))},
    {"evidence": 5},
    {"evidence": {"test": "neyman"}},
    {"evidence": {**EVIDENCE.to_dict(), "null": {"family": "cauchy", "scale": 1, "source": ""}}},
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: json.dumps(change)[:40])
def test_a_damaged_annealing_is_refused_with_its_node(change):
    data = {**DATA, **change}
    with pytest.raises(AnnealingError, match=str(data["node"] or "null")):
        Annealing.from_dict(data)
    with pytest.raises(PlanError, match=str(data["node"] or "null")):
        Plan.loads(plan_text(data))


@pytest.mark.parametrize("name", sorted(DATA.keys() - {"residual"}))  # there may be none
def test_a_missing_field_is_named(name):
    data = {key: value for key, value in DATA.items() if key != name}
    message = "either blocks or the entries" if name == "blocks" else name
    with pytest.raises(AnnealingError, match=message):
        Annealing.from_dict(data)


@pytest.mark.parametrize("data", [None, 5, "text", [], [1, 2]])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(AnnealingError):
        Annealing.from_dict(data)


def plan_text(*annealing):
    empty = Plan(model="m", provider="cpu", batch=(1,), parameters=1, steps=(), skipped=())
    return json.dumps({**json.loads(empty.dumps()), "annealing": list(annealing)})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(DATA)), st.sampled_from(["", *sorted(DATA["evidence"])]), json_values)
def test_any_value_anywhere_is_an_annealing_or_an_error(name, inner, value):
    data = json.loads(json.dumps(DATA))
    if inner:
        data["evidence"][inner] = value
    else:
        data[name] = value
    with contextlib.suppress(AnnealingError):
        one = Annealing.from_dict(data)
        json.dumps(one.to_dict())
    with contextlib.suppress(PlanError):
        Plan.loads(plan_text(data))


def packed(octets):
    return base64.b64encode(zlib.compress(octets, 9)).decode()


MASK = pack_mask(np.ones((4, 4), bool))
DAMAGED = {
    "no base 64": "???",
    "not ASCII": "é",
    "not compressed": base64.b64encode(b"hello").decode(),
    "cut off": base64.b64encode(base64.b64decode(MASK)[:-2]).decode(),
    "a wrong checksum": base64.b64encode(base64.b64decode(MASK)[:-1] + b"?").decode(),
    "empty": "",
    "too short": packed(b"a"),
    "too long": packed(b"abc"),
    "another shape": pack_mask(np.ones((40, 40), bool)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_mask_is_refused(name):
    with pytest.raises(AnnealingError, match=r"^/mlp/up: its mask"):
        example(shape=(4, 4), blocks=None, mask=DAMAGED[name]).kept()


@pytest.mark.parametrize("shape", [(4, 4), (10**15, 10**15)])
def test_a_bomb_is_not_unpacked(shape):
    bomb = example(shape=shape, blocks=None, mask=packed(bytes(1 << 26)))
    tracemalloc.start()
    with pytest.raises(AnnealingError, match=r"^/mlp/up: its mask"):
        bomb.kept()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_it_is_a_scission_error():
    assert issubclass(AnnealingError, ScissionError)
