import numpy as np
from activations import observations, observed
from hypothesis import given
from hypothesis import strategies as st

from scission.models.matrix import weight as block_weight
from scission.passes.anneal.activity import recorder as module


def unions(sets, size):
    """Literal definition 2.2: sets that share a member are united until none do; the rest stay alone."""
    groups = [{feature} for feature in range(size)]
    for active in sets:
        hit = [group for group in groups if group & active]
        groups = [group for group in groups if not group & active] + ([set().union(*hit)] if hit else [])
    groups.sort(key=min)
    return [next(i for i, group in enumerate(groups) if feature in group) for feature in range(size)]


@given(observations(), st.integers(1, 40))
def test_classes_are_the_unions_of_the_active_sets(observation, links):
    x, y, step = observation
    kept = module.LINKS
    module.LINKS = links  # a few samples at a time
    try:
        seen = observed(x, y, step)
    finally:
        module.LINKS = kept
    K, _ = seen.shape
    assert seen.labels.tolist() == unions([set(np.flatnonzero(row)) for row in x], K)


def test_disjoint_supports_give_the_planted_blocks():
    rng = np.random.default_rng(0)
    W, truth = block_weight(rng, [(4, 3), (2, 5), (3, 3)], dormant=(1, 2))
    x = np.zeros((60, W.shape[0]))
    for row, block in zip(x, truth.blocks * 20, strict=True):
        row[block.inputs] = rng.standard_normal(block.inputs.size)
    seen = observed(x, x @ W)
    assert all(len(set(seen.labels[block.inputs])) == 1 for block in truth.blocks)
    assert len(set(seen.labels)) == 3 + 1, "an input that never is active stays alone"
    assert observed(x + 1e-9, x @ W).labels.max() == 0, "one dense sample makes one class"
    assert len(set(observed(x + 1e-9, x @ W, threshold=1e-6).labels)) == 4
