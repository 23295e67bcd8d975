import dataclasses
import json
import random

import numpy as np
import pytest
from damage import damaged_json
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.parts.activation import Activation, PartActivation, activation_of
from scission.ir.parts.manifest import Manifest, PartFile, PartValue
from scission.ir.parts.share import ManifestError, share_of

SHA = "0" * 64


def manifest(count):
    """Parts that each copy one place."""
    shares = [[share_of(value, {1: np.arange(count) == at}) for value in "xy"] for at in range(count)]
    return Manifest(
        name="m",
        original=SHA,
        inputs=(PartValue("x", "float32", ("n", count)),),
        outputs=(PartValue("y", "float32", ("n", count)),),
        between=(),
        parts=tuple(
            PartFile(name=f"p{at}", files={f"p{at}.onnx": SHA}, reads=(x,), writes=(y,), macs=10**at, bytes_=1)
            for at, (x, y) in enumerate(shares)
        ),
    )


@settings(max_examples=50, deadline=None)
@given(parts=st.integers(2, 6), rows=st.integers(1, 9), seed=st.integers(0, 999))
def test_rows_are_counted_one_after_another(parts, rows, seed):
    on = np.random.default_rng(seed).random((parts, rows)) < 0.4
    found = activation_of(manifest(parts), on, {"x": 0.5})
    assert [one.rows for one in found.parts] == [sum(map(int, row)) for row in on]
    for one in range(parts):
        for other in range(one + 1, parts):
            both = sum(bool(on[one, row] and on[other, row]) for row in range(rows))
            assert found.together.get((one, other), 0) == both
    assert found.load == tuple(sum(map(int, row)) / rows * 10**at for at, row in enumerate(on))
    assert found.frequency == tuple(sum(map(int, row)) / rows for row in on)
    assert Activation.loads(found.dumps()) == found
    found.require_of(manifest(parts))


FOUND = activation_of(manifest(3), np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool), {"x": -1.0})


def test_what_was_counted_for_other_parts_is_refused():
    with pytest.raises(ManifestError, match="count it again"):
        FOUND.require_of(manifest(2))


def test_what_is_off_of_no_input_is_refused():
    with pytest.raises(ManifestError, match="'z', which is no input"):
        dataclasses.replace(FOUND, off={"z": 0.0}).require_of(manifest(3))


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"rows": 1},
        {"plan": "x"},
        {"parts": ()},
        {"parts": FOUND.parts[:1] * 2},
        {"parts": (dataclasses.replace(FOUND.parts[0], rows=-1), *FOUND.parts[1:])},
        {"parts": (dataclasses.replace(FOUND.parts[0], macs=1 << 63), *FOUND.parts[1:])},
        {"together": {(1, 0): 1}},
        {"together": {(0, 3): 1}},
        {"together": {(0, 1): 3}},
        {"together": {(0, 1): 0}},
        {"together": {(0, 2): 1}},
    ],
)
def test_numbers_that_contradict_one_another_are_refused(change):
    with pytest.raises(ManifestError):
        dataclasses.replace(FOUND, **change)


def test_two_parts_that_most_rows_activate_share_some():
    parts = tuple(PartActivation(name=name, rows=3, macs=1) for name in "ab")
    with pytest.raises(ManifestError, match="cannot activate both"):
        Activation(plan=SHA, rows=4, off={}, parts=parts, together={(0, 1): 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", 2),
        ("off", [{"input": "x", "value": 10**400}]),
        ("off", [{"input": "x"}]),
        ("off", [{"input": "x", "value": 1}] * 2),
        ("off", [{"input": "x", "value": float("inf")}]),
        ("together", [[0, 1]]),
        ("together", [[0, 1, 1], [0, 1, 1]]),
        ("together", [[0, 1, True]]),
        ("parts", [{"name": "a"}]),
        ("parts", [{}] * 5000),
        ("surprise", 1),
    ],
)
def test_fields_that_are_nonsense_are_refused(name, value):
    with pytest.raises(ManifestError):
        Activation.loads(json.dumps(FOUND.to_dict() | {name: value}))


def test_whatever_is_damaged_is_read_or_refused():
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        try:
            Activation.loads(damaged_json(rng, FOUND.dumps()))
        except ManifestError as error:
            refused += bool(str(error))
    assert refused > 100


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "[" * 100000, "\0"])
def test_what_is_no_activation_is_refused_in_one_line(text):
    with pytest.raises(ManifestError) as error:
        Activation.loads(text)
    assert str(error.value) and "\n" not in str(error.value)
