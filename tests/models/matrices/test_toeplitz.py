import numpy as np
import pytest

from scission.models.matrices.toeplitz import weight


@pytest.mark.parametrize(("size", "taps"), [(12, 5), (5, 5), (7, 1)])
def test_it_is_a_causal_filter(size, taps):
    W = weight(np.random.default_rng(0), size, taps)
    response, x = W[0, :taps], np.random.default_rng(1).standard_normal(size)
    assert W.dtype == np.float32 and response.all()
    np.testing.assert_allclose(x @ W, np.convolve(x, response)[:size], rtol=1e-6, atol=1e-12)
    assert np.count_nonzero(W) == sum(size - delay for delay in range(taps))


def test_shuffle_permutes_rows_and_columns_on_their_own():
    plain, hidden = (weight(np.random.default_rng(0), 20, 3, shuffle) for shuffle in (False, True))
    for axis in (0, 1):
        assert sorted((plain != 0).sum(axis)) == sorted((hidden != 0).sum(axis))
        np.testing.assert_allclose(np.sort(plain.sum(axis)), np.sort(hidden.sum(axis)), rtol=1e-6)
    assert not np.array_equal(plain != 0, hidden != 0)
    for offset in range(-19, 20):  # no diagonal is whole
        assert np.count_nonzero(np.diagonal(hidden, offset)) < 18


def test_the_same_seed_gives_the_same_matrix():
    first, second = (weight(np.random.default_rng(7), 30, 4, shuffle=True) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("taps", [0, 9])
def test_a_filter_of_no_taps_or_too_many_is_refused(taps):
    with pytest.raises(ValueError, match=f"1 to 8 taps, not {taps}"):
        weight(np.random.default_rng(0), 8, taps)
