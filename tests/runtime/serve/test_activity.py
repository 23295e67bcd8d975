"""Which parts are on is told for all of them at once as it is of each by itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.parts.manifest import Manifest, PartFile, PartValue
from scission.ir.parts.share import share_of, whole
from scission.runtime.serve.activation import is_off
from scission.runtime.serve.activity import activity_of

SHAPES = {"x": (3, 6), "z": (2, 3, 4), "t": ()}


def masks(size):
    return st.lists(st.booleans(), min_size=size, max_size=size).filter(any).map(np.array)


@st.composite
def shares(draw):
    value = draw(st.sampled_from([*SHAPES]))
    axes = draw(st.sets(st.integers(0, len(SHAPES[value]) - 1), max_size=2)) if SHAPES[value] else ()
    return share_of(value, {axis: draw(masks(SHAPES[value][axis])) for axis in axes}) if axes else whole(value)


def manifest(reads, between=()):
    """Parts that read these; the first of them makes the values between."""
    made = tuple(map(whole, between))
    parts = tuple(
        PartFile(
            name=f"p{index}",
            files={f"p{index}.onnx": "0" * 64},
            reads=own,
            writes=() if index else made,
            macs=1,
            bytes_=1,
        )
        for index, own in enumerate(reads)
    )
    inputs = tuple(PartValue(name, "float32", shape) for name, shape in SHAPES.items())
    return Manifest(
        name="m",
        original="0" * 64,
        inputs=inputs,
        outputs=(),
        between=tuple(PartValue(one, "float32", None) for one in between),
        parts=parts,
    )


@settings(max_examples=60, deadline=None)
@given(
    reads=st.lists(st.lists(shares(), max_size=3, unique_by=lambda one: one.value).map(tuple), min_size=1, max_size=5),
    data=st.data(),
)
def test_a_part_is_on_where_anything_that_it_reads_is_not_off(reads, data):
    numbers = st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.0])
    off = {"x": data.draw(st.sampled_from([0.0, 1.0]))}
    there = {
        name: np.array([data.draw(numbers) for _ in range(int(np.prod(shape)))], np.float32).reshape(shape)
        for name, shape in SHAPES.items()
    }
    dull = data.draw(st.sets(st.sampled_from([*SHAPES])))
    there.update({name: np.full_like(there[name], off.get(name, 0.0)) for name in dull})
    found = activity_of(manifest(reads)).of(there, off)
    expected = [
        any(not is_off(share.of(there[share.value]), off.get(share.value, 0.0)) for share in own) for own in reads
    ]
    assert found.tolist() == expected


def test_what_is_missing_or_has_another_size_or_is_made_inside_counts_as_on():
    cut = share_of("x", {1: np.arange(6) < 2})
    both = share_of("x", {0: np.arange(3) < 2, 1: np.arange(6) < 2})
    activity = activity_of(manifest([(cut,), (both,), (whole("z"),), (whole("made"),)], ["made"]))
    there = {"x": np.zeros((3, 6), np.float32), "z": np.zeros((2, 3, 4), np.float32)}
    assert activity.of(there, {}).tolist() == [False, False, False, True]
    assert activity.of({**there, "x": np.zeros((3, 5), np.float32)}, {}).tolist() == [True, True, False, True]
    assert activity.of({**there, "x": np.zeros(3, np.float32)}, {}).tolist() == [True, True, False, True]
    assert activity.of({"x": there["x"]}, {}).tolist() == [False, False, True, True]
