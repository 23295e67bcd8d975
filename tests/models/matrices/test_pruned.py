import numpy as np
import pytest

from scission.models.matrices.pruned import weight


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_the_largest_entries_are_left(share):
    W = weight(np.random.default_rng(0), (60, 50), share)
    dense = np.random.default_rng(0).standard_normal((60, 50), np.float32)
    left = W != 0
    assert W.dtype == np.float32 and left.sum() == round(share * dense.size)
    assert np.array_equal(W[left], dense[left])
    assert np.abs(dense[~left]).max(initial=0) < np.abs(dense[left]).min()


def test_one_entry_is_left_at_least():
    assert np.count_nonzero(weight(np.random.default_rng(0), (5, 4), 1e-9)) == 1


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match="share of entries"):
        weight(np.random.default_rng(0), (5, 4), share)
