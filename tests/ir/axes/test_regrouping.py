"""Reshape, as it moves labels: held against the elements themselves."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.axes.regrouping import realign, regroup


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_elements_keep_their_labels_in_another_shape(seed):
    """The labels of a Reshape are those that its elements had, wherever they are said to tell features apart."""
    rng = np.random.default_rng(seed)
    before = [int(n) for n in rng.choice([1, 2, 3, 4], int(rng.integers(1, 4)))]
    total = int(np.prod(before))
    after = []
    while total > 1 and len(after) < 3:
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        after.append(int(rng.choice(divisors)))
        total //= after[-1]
    after.append(total)
    labels = np.arange(int(np.prod(own := [n if rng.random() < 0.6 else 1 for n in before]))).reshape(own)
    unknown = [None if n != m and rng.random() < 0.3 else n for n, m in zip(before, own, strict=True)]
    found = realign(labels, regroup(tuple(unknown), tuple(after)))
    if found is None:
        assert None in unknown
        return
    moved = np.broadcast_to(labels, before).reshape(after)
    assert np.array_equal(np.broadcast_to(found, after), moved)


def test_symbols_that_are_equal_are_passed_over():
    labels = np.arange(6).reshape(1, 1, 6)
    assert realign(labels, regroup(("n", "s", 6), ("n", "s", 2, 3))).shape == (1, 1, 2, 3)
    assert realign(labels, regroup(("n", "s", 6), ("n", 6, "s"))) is None
    assert realign(labels, regroup((None, None, 6), (None, 3, 2))).shape == (1, 3, 2)
