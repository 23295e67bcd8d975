import numpy as np
import oracles
from activations import observations, observed
from hypothesis import given
from hypothesis import strategies as st

from scission.models.matrix import weight as block_weight
from scission.passes.anneal.activity import recorder as module
from scission.passes.anneal.activity.activity import classes, operator_classes


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
    K, N = seen.shape
    assert classes(seen).tolist() == unions([set(np.flatnonzero(row)) for row in x], K)
    both = [
        set(np.flatnonzero(a)) | {K + n for n in np.flatnonzero(b)}
        for a, b in zip(x, y, strict=True)
        if a.any() and b.any()
    ]
    touched = set().union(*both)
    labels = unions(both, K + N)
    expected = [labels[v] if v in touched else -1 for v in range(K + N)]
    numbers = {old: new for new, old in enumerate(dict.fromkeys(label for label in expected[:K] if label >= 0))}
    rows, columns = operator_classes(seen)
    assert [*rows, *columns] == [numbers.get(label, -1) for label in expected]


@given(observations(), st.integers(1, 3))
def test_classes_of_several_common_samples_come_from_the_counts(observation, least):
    seen = observed(*observation[:2])
    joint = {(i, j) for i, j in zip(*np.nonzero(seen.joint >= least), strict=True)}
    assert classes(seen, least).tolist() == unions([set(pair) for pair in joint], seen.shape[0])
    rows, columns = operator_classes(seen, least)
    assert (rows.tolist(), columns.tolist()) == oracles.components(seen.exposure >= least)[:2]


def test_disjoint_supports_give_the_planted_blocks():
    rng = np.random.default_rng(0)
    W, truth = block_weight(rng, [(4, 3), (2, 5), (3, 3)], dormant=(1, 2))
    x = np.zeros((60, W.shape[0]))
    for row, block in zip(x, truth.blocks * 20, strict=True):
        row[block.inputs] = rng.standard_normal(block.inputs.size)
    seen = observed(x, x @ W)
    rows, columns = operator_classes(seen)
    for block in truth.blocks:
        assert len(set(rows[block.inputs]) | set(columns[block.outputs])) == 1
    assert (rows[truth.dormant_inputs] == -1).all() and (columns[truth.dormant_outputs] == -1).all()
    assert rows.max() == 2 and len(set(classes(seen))) == 3 + 1
    assert observed(x + 1e-9, x @ W).labels.max() == 0, "one dense sample makes one class"
    assert len(set(classes(observed(x + 1e-9, x @ W, threshold=1e-6)))) == 4
