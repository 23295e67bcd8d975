"""Columns of slices put into classes, against comparing all columns with one another."""

from __future__ import annotations

import numpy as np
from factored import alike_columns, fourier, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.classes import classes


def sliced(weight, stride):
    return weight.astype(np.float64).reshape(-1, stride, weight.shape[1]).transpose(1, 0, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_lines_are_those_that_all_pairs_show(seed, strided):
    rng = np.random.default_rng(seed)
    radix, places, groups, outputs = rng.integers([4, 3, 2, 3], [7, 6, 5, 7])
    weight = planted(rng, radix, places, groups, outputs, strided=strided)[:, rng.permutation(groups * outputs)]
    found = classes(sliced(weight, places), 1)
    assert sorted(map(min, alike_columns(sliced(weight, places)))) == [int(one.columns[0]) for one in found]
    assert [set(one.columns.tolist()) for one in found] == alike_columns(sliced(weight, places))


def test_real_and_imaginary_parts_of_frequencies_of_one_residue_are_one_class():
    found = classes(sliced(fourier(64), 8), 8)
    bins = 33
    residues = [{min(column % bins % 8, -(column % bins) % 8) for column in one.columns} for one in found]
    assert all(one.rank == 2 for one in found) and sum(one.columns.size for one in found) == 2 * bins
    assert sorted(map(sorted, residues)) == [[0, 4], [1], [2], [3]]


def test_columns_without_any_class_are_none():
    slices = np.random.default_rng(0).standard_normal((4, 8, 64))
    assert classes(slices, 1) == () and classes(np.zeros((2, 4, 8)), 1) == ()
