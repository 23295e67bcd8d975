"""Block-diagonal matrices and permutations, written out as matrices, make the weight together."""

from __future__ import annotations

import numpy as np
import pytest
from factored import butterfly as random_butterfly
from factored import cosine, fourier, hadamard, random_hidden
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scission.passes.factor.diagonals import butterfly
from scission.passes.factor.factorise import factorise


def written_out(found, groups):
    """(inputs, outputs): every permutation and every diagonal as a matrix, multiplied one after the other."""
    whole = None
    for one, own in zip(found.diagonals, groups, strict=True):
        rows, columns = one.shape
        diagonal = np.zeros((one.count * rows, one.count * columns))
        left = one.count // own
        for block in range(one.count):
            held = one.weight[min(block // left, len(one.weight) - 1), min(block % left, one.weight.shape[1] - 1)]
            diagonal[block * rows : (block + 1) * rows, block * columns : (block + 1) * columns] = held
        before = np.eye(one.taken.max() + 1 if whole is None else whole.shape[1])
        whole = (before if whole is None else whole) @ before[:, one.taken] @ diagonal
    return whole[:, found.picked]


def require_same(factors):
    found = butterfly(factors)
    scale = np.ones(factors.inputs) if factors.scale is None else factors.scale
    scaled = scale if factors.taken is None else scale[np.argsort(factors.taken)]
    made = scaled[:, None] * written_out(found, [at.groups for _, at in factors.places()])
    assert np.allclose(made, factors.product(), atol=1e-9 * abs(factors.product()).max())
    assert found.macs == factors.macs == sum(one.count * one.shape[0] * one.shape[1] for one in found.diagonals)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_they_make_the_weight_together(seed, hidden):
    rng = np.random.default_rng(seed)
    if hidden:
        weight, _ = random_hidden(rng, 3, 4)
        made = factorise(weight, lambda one: one.macs)
        assume(made is not None)  # of few numbers the order is not always told
        require_same(made[1])
    else:
        count = int(rng.integers(2, 5))
        require_same(random_butterfly(rng, *rng.integers(2, 5, (2, count))))


@pytest.mark.parametrize("weight", [fourier(64, window=np.hanning(64)), cosine(64), hadamard(64)])
def test_transforms_are_butterflies(weight):
    _, factors = factorise(weight, lambda one: one.macs)
    require_same(factors)
    found = butterfly(factors)
    assert len(found.diagonals) == len(factors.stages) and any(one.moves for one in found.diagonals)
