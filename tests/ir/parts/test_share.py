import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.parts.share import ManifestError, Share, share_of, whole


@st.composite
def shares(draw):
    size = draw(st.integers(1, 12))
    mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any)))
    return share_of("x", {draw(st.integers(0, 2)): mask})


@settings(max_examples=30)
@given(shares(), st.integers(0, 9))
def test_a_share_is_what_indices_take(share, seed):
    shape = [share.size.get(axis, 3) for axis in range(3)]
    array = np.random.default_rng(seed).standard_normal(shape)
    expected = array
    for axis, places in share.places.items():
        expected = np.take(array, places, axis=axis)
    assert np.array_equal(share.of(array), expected)
    assert np.array_equal(array[share.where(3)], expected)
    put = np.zeros_like(array)
    put[share.where(3)] = share.of(array)
    assert np.array_equal(share.of(put), expected) and (put != 0).sum() == (expected != 0).sum()


@settings(max_examples=30)
@given(shares())
def test_json_and_back_is_the_same(share):
    assert Share.from_dict(share.to_dict(), "here") == share and hash(Share.from_dict(share.to_dict(), "")) == hash(
        share
    )


def test_all_of_a_value_is_the_array_itself():
    array = np.arange(6).reshape(2, 3)
    assert whole("x").is_whole and whole("x").of(array) is array
    assert share_of("x", {1: np.ones(3, bool)}).is_whole


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"value": "x"},
        {"value": 3, "cut": []},
        {"value": "x", "cut": [], "more": 1},
        *(
            {"value": "x", "cut": [one]}
            for one in (
                3,
                {"axis": 1, "size": 4},
                {"axis": -1, "size": 4, "places": "0"},
                {"axis": 64, "size": 4, "places": "0"},
                {"axis": 1, "size": 0, "places": "0"},
                {"axis": 1, "size": 1 << 40, "places": "0"},
                {"axis": 1, "size": 4, "places": ""},
                {"axis": 1, "size": 4, "places": "3-4"},
                {"axis": 1, "size": 4, "places": "2,1"},
                {"axis": 1, "size": 4, "places": "1,1"},
                {"axis": 1, "size": 4, "places": "9" * 5000},
                {"axis": 1, "size": 4, "places": "x"},
            )
        ),
        {"value": "x", "cut": [{"axis": 1, "size": 4, "places": "0"}] * 2},
    ],
)
def test_nonsense_is_refused_with_where_it_is(data):
    with pytest.raises(ManifestError, match=r"^reads\[3\]"):
        Share.from_dict(data, "reads[3]")
