import numpy as np
import pytest

from scission.passes.cocluster import low_rank as module
from scission.passes.cocluster.low_rank import COUNTS, low_rank, ranks_within


def planted(rng, size=160, blocks=4, rank=3, level=0.5, noise=0.0):
    """Blocks and a dense product of low rank, shuffled."""
    mask = np.kron(np.eye(blocks), np.ones((size // blocks,) * 2))
    W = rng.standard_normal((size, size)) * mask
    W += level * rng.standard_normal((size, rank)) @ rng.standard_normal((rank, size))
    W += noise * rng.standard_normal((size, size))
    return W[rng.permutation(size)][:, rng.permutation(size)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("blocks", "rank"), [(2, 5), (4, 3), (8, 1)])
def test_blocks_and_low_rank_are_found_again(blocks, rank, dtype):
    found = {
        len(one.blocks.blocks): one
        for one in low_rank(planted(np.random.default_rng(0), 256, blocks, rank).astype(dtype))
    }
    for count in COUNTS:
        if count > blocks:
            continue
        one = found[count]
        assert (one.exact, one.close) == (rank, rank)
        assert one.blocks.mac_share == pytest.approx(1 / count)
        assert one.exact_share == one.close_share == pytest.approx(1 / count + rank * 512 / 256**2)


def test_noise_is_left_out_where_a_thousandth_may_be_lost():
    one = next(one for one in low_rank(planted(np.random.default_rng(1), noise=1e-4)) if len(one.blocks.blocks) == 4)
    assert (one.exact, one.close) == (None, 3) and one.exact_share is None and one.close_share < 0.4


@pytest.mark.parametrize("shape", [(200, 200), (60, 300), (4, 9)])
def test_a_dense_weight_takes_more_than_dense(shape):
    found = low_rank(np.random.default_rng(2).standard_normal(shape).astype(np.float32))
    assert found and all((one.exact, one.close, one.exact_share, one.close_share) == (None,) * 4 for one in found)


def test_blocks_alone_need_no_rank():
    W = np.kron(np.eye(4), np.random.default_rng(3).standard_normal((20, 30)))
    assert [(len(one.blocks.blocks), one.exact) for one in low_rank(W)[:2]] == [(2, 0), (4, 0)]


def test_what_has_no_meaning_is_left_out(monkeypatch):
    W = np.ones((40, 40))
    assert not low_rank(np.zeros((40, 40))) and not low_rank(np.full((40, 40), np.nan)) and not low_rank(W[:3])
    assert len(low_rank(W[:8])) == 2  # eight blocks need sixteen inputs
    monkeypatch.setattr(module, "LARGEST", 100)
    assert not low_rank(W)


@pytest.mark.parametrize("dtype", ["int8", "bool", "float16"])
def test_numbers_of_any_type(dtype):
    W = np.kron(np.eye(2), np.ones((16, 16))) + np.outer(np.arange(32) % 3 == 0, np.arange(32) % 5 == 0)
    assert all(one.exact is not None for one in low_rank(W.astype(dtype))[:1])


def test_the_same_seed_gives_the_same():
    W = planted(np.random.default_rng(4), 64, 2, 2)
    assert low_rank(W, 7) == low_rank(W, 7)


@pytest.mark.parametrize("shape", [(50, 50), (20, 90)])
def test_ranks_are_those_of_the_singular_values(shape):
    rng = np.random.default_rng(5)
    left, right = (np.linalg.qr(rng.standard_normal((side, 12)))[0] for side in shape)
    sizes = 2.0 ** -np.arange(12)
    W = (left * sizes) @ right.T
    for kept in (0, 1, 5, 11):
        error = np.linalg.norm(sizes[kept:]) * (1 + 1e-6)
        assert ranks_within(W.copy(), [error, 1e-9], 20, rng) == [kept, 12]
    assert ranks_within(W.copy(), [1e-9], 11, rng) == [None]
    assert ranks_within(np.zeros(shape), [0.0], 5, rng) == [0]
