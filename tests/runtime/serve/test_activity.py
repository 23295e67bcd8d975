"""Which parts are on is told for all of them at once as it is of each by itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.parts.manifest import Manifest, PartFile, PartValue
from scission.ir.parts.share import share_of, whole
from scission.runtime.serve.activation import is_off
from scission.runtime.serve.activity import activity_of

SHAPES = {"x": (3, 6), "z": (3, 2, 4), "t": ()}


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


def is_on(share, array, off, rowed, row):
    own = share.of(array)
    own = own[row : row + 1] if rowed and 0 not in share.places else own
    return not is_off(own, off)


@settings(max_examples=80, deadline=None)
@given(
    reads=st.lists(st.lists(shares(), max_size=3, unique_by=lambda one: one.value).map(tuple), min_size=1, max_size=5),
    rowed=st.sets(st.sampled_from("xz")),
    seed=st.integers(0, 999),
    offs=st.sampled_from([0.0, 1.0, "places"]),
    data=st.data(),
)
def test_a_part_is_on_in_a_row_where_anything_that_it_reads_is_not_off(reads, rowed, seed, offs, data):
    rng = np.random.default_rng(seed)
    off = {"x": rng.choice([0.0, 1.0], 6) if offs == "places" else offs}
    there = {name: rng.choice([0.0, 0.0, 0.0, -0.0, 1.0], shape).astype(np.float32) for name, shape in SHAPES.items()}
    for name in sorted(data.draw(st.sets(st.sampled_from([*SHAPES])))):
        there[name] = np.broadcast_to(np.float32(off.get(name, 0.0)), SHAPES[name]).copy()
    for name in rowed:
        dull = rng.random(3) < 0.5
        there[name][dull] = off.get(name, 0.0)
    found = activity_of(manifest(reads)).of(there, off, rowed)
    expected = [
        [
            any(is_on(share, there[share.value], off.get(share.value, 0.0), share.value in rowed, row) for share in own)
            for row in range(3 if rowed else 1)
        ]
        for own in reads
    ]
    assert found.tolist() == expected


def test_what_is_missing_or_has_another_size_counts_as_on():
    cut = share_of("x", {1: np.arange(6) < 2})
    both = share_of("x", {0: np.arange(3) < 2, 1: np.arange(6) < 2})
    activity = activity_of(manifest([(cut,), (both,), (whole("z"),)]))
    there = {"x": np.zeros((3, 6), np.float32), "z": np.zeros((3, 2, 4), np.float32)}
    assert activity.of(there, {}).tolist() == [[False], [False], [False]]
    assert activity.of({**there, "x": np.zeros((3, 5), np.float32)}, {}).tolist() == [[True], [True], [False]]
    assert activity.of({**there, "x": np.zeros(3, np.float32)}, {}).tolist() == [[True], [True], [False]]
    assert activity.of({"x": there["x"]}, {}).tolist() == [[False], [False], [True]]


def test_what_reads_what_a_part_makes_is_on_where_that_part_is():
    first = share_of("x", {1: np.arange(6) < 2})
    other = share_of("x", {1: np.arange(6) > 3})
    activity = activity_of(manifest([(first,), (whole("made"),), (whole("made"), other)], ["made"]))
    x = np.zeros((4, 6), np.float32)
    x[1, 0] = x[2, 5] = 1
    on = activity.of({"x": x}, {}, {"x"})
    assert on.astype(int).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]
