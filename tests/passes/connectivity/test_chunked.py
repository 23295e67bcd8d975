import math

import ml_dtypes
import numpy as np
import pytest
import torch
from digraphs import on_cuda
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scission.passes.connectivity.chunked import HOST_ENTRIES, as_real, empty_mask, histogram, row_chunks, to_host

# Sixteenths: exact in every type, and so are the borders of the cells below.
odd = st.sampled_from([math.nan, math.inf, -math.inf])
borders = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
sixteenths = st.one_of(st.integers(-40, 40).map(lambda n: n / 16), odd, borders)


@given(st.integers(0, 50), st.sampled_from([1, 7, 20_000, HOST_ENTRIES, HOST_ENTRIES + 1]), st.booleans())
def test_chunks_follow_one_another_and_are_the_whole(rows, width, on_torch):
    shape = np.broadcast_to(np.float32(0), (rows, width))
    weight = torch.zeros(1).expand(rows, width) if on_torch else shape
    chunks = list(row_chunks(weight))
    assert [row for chunk in chunks for row in range(chunk.start, chunk.stop)] == list(range(rows))
    assert all(chunk.start < chunk.stop for chunk in chunks)
    if not on_torch:
        assert all((c.stop - c.start) * width <= max(HOST_ENTRIES, width) for c in chunks)


TYPES = [
    (np.float16, np.float32),
    (ml_dtypes.bfloat16, np.float32),
    (np.float32, np.float32),
    (">f4", np.float32),
    (">f8", np.float64),
    (np.float64, np.float64),
    (np.int8, np.float32),
    (bool, np.float32),
]


@pytest.mark.parametrize(("stored", "real"), TYPES)
def test_a_chunk_is_calculated_with_in_a_type_that_can_add_up(stored, real):
    chunk = np.array([0, 1, 0, 1]).astype(stored)
    found = as_real(chunk)
    assert found.dtype == real and found.dtype.isnative
    assert found.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_native_floats_are_not_copied():
    chunk = np.ones(3, np.float32)
    assert as_real(chunk) is chunk


@pytest.mark.parametrize(
    ("stored", "real"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int32, torch.float32),
    ],
)
def test_the_same_on_torch(stored, real):
    found = as_real(torch.tensor([0, 1], dtype=stored))
    assert found.dtype == real and found.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("like", [np.zeros((3, 4)), torch.zeros((3, 4), dtype=torch.float16)])
def test_a_mask_begins_empty_and_has_one_byte_an_entry(like):
    mask = empty_mask(like)
    assert type(mask) is type(like) and tuple(mask.shape) == (3, 4)
    assert not mask.any() and to_host(mask).dtype == bool and to_host(mask).itemsize == 1
    assert tuple(empty_mask(like, (2, 5)).shape) == (2, 5)


def counted(values, low, high, bins):
    """Each value into its cell, one at a time."""
    counts = [0] * bins
    for value in values:
        if low <= value < high:
            counts[math.floor((value - low) / (high - low) * bins)] += 1
    return counts


@given(
    st.lists(sixteenths, max_size=40),
    st.sampled_from([(-1.0, 1.0, 8), (0.0, 2.0, 16), (0.0, 0.5, 1), (-2.0, 2.0, 4)]),
    st.sampled_from([np.float32, np.float64]),
)
def test_a_histogram_is_what_a_loop_counts(values, cells, dtype):
    array = np.array(values, dtype)
    expected = counted(values, *cells)
    assert histogram(array, *cells).tolist() == expected
    assert histogram(torch.from_numpy(array), *cells).tolist() == expected


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(0, 1, width=32)))
def test_a_histogram_of_a_matrix_is_that_of_its_entries(values):
    assert histogram(values, 0, 2, 4).tolist() == histogram(values.ravel(), 0, 2, 4).tolist()
    assert histogram(values, 0, 2, 4).sum() == values.size


def test_masks_come_back_to_the_host():
    mask = np.eye(2, dtype=bool)
    assert to_host(mask) is mask
    assert to_host(torch.from_numpy(mask)).tolist() == mask.tolist()


@on_cuda
def test_the_same_on_cuda():
    values = np.random.default_rng(0).normal(size=(700, 900)).astype(np.float32)
    weight = torch.from_numpy(values).cuda()
    assert [s for c in row_chunks(weight) for s in range(c.start, c.stop)] == list(range(700))
    assert empty_mask(weight).device == weight.device
    assert histogram(weight, -1, 1, 64).tolist() == histogram(values, -1, 1, 64).tolist()
