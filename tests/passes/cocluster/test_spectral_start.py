import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.cocluster.energies import Sample
from scission.passes.cocluster.spectral_start import MARGIN, kmeans, standing_out


def sample_of(energy, known=None):
    energy = energy.astype(np.float32)
    entries = energy.size if known is None else float(known.sum())
    return Sample(energy, known, entries, float(energy.sum(dtype=np.float64)))


@pytest.mark.parametrize("seed", range(10))
def test_nothing_stands_out_of_noise(seed):
    rng = np.random.default_rng(seed)
    _, values, _, edge = standing_out(sample_of(rng.chisquare(1, (300, 200))), np.random.default_rng(0))
    assert values[0] < 1.06 * edge  # heavy tails of single energies; a certificate judges what passes


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(0, 99))
def test_as_many_values_stand_out_as_there_are_blocks(blocks, seed):
    rng = np.random.default_rng(seed)
    inside = np.kron(np.eye(blocks), np.ones((40, 50)))
    energy = rng.chisquare(1, inside.shape).clip(max=12) + 8 * inside
    left, values, right, edge = standing_out(sample_of(energy), np.random.default_rng(0))
    assert int((values > MARGIN * edge).sum()) == blocks
    assert np.allclose(left.T @ left, np.eye(left.shape[1]), atol=1e-3)
    points = np.concatenate([left[:, :blocks], right[:, :blocks]])
    for part in (points[: 40 * blocks], points[40 * blocks :]):  # rows of one block lie together
        labels = kmeans(part, blocks, np.random.default_rng(0)).reshape(blocks, -1)
        assert sum(np.bincount(line).max() for line in labels) >= 0.95 * labels.size


def test_singular_values_are_those_of_scipy_and_unknown_entries_do_not_count():
    rng = np.random.default_rng(0)
    known = (rng.random((80, 60)) < 0.8).astype(np.float32)
    energy = rng.chisquare(1, known.shape) * (1 + 6 * np.kron(np.eye(2), np.ones((40, 30)))) * known
    sample = sample_of(energy, known)
    _, values, _, _ = standing_out(sample, np.random.default_rng(0))
    raised = energy - known * min(sample.mean, 0.999)
    assert values[:2] == pytest.approx(np.linalg.svd(raised, compute_uv=False)[:2], rel=1e-2)


def test_more_vectors_are_looked_at_while_all_of_them_stand_out():
    inside = np.kron(np.eye(40), np.ones((10, 10)))
    energy = np.random.default_rng(0).chisquare(1, inside.shape).clip(max=12) + 60 * inside
    _, values, _, edge = standing_out(sample_of(energy), np.random.default_rng(0))
    assert values.size >= 40 and int((values > MARGIN * edge).sum()) == 40
