import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.graph.recurrent import GATES
from scission.ir.plan.plan import Decomposition
from scission.models.planted.recurrent import recurrent_weights
from scission.passes.decompose.recurrent import (
    analyse_recurrent,
    edges_of_both,
    group_units,
    hidden_block,
    recurrent_hash,
)


@st.composite
def weights(draw, largest=6):
    """Sparse W (gates, H, I) and R (gates, H, H), some of it NaN, infinite or negative zero."""
    gates, I, H = draw(st.sampled_from([1, 3, 4])), draw(st.integers(1, largest)), draw(st.integers(1, largest))  # noqa: E741
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.03, 0.1, 0.3, 1.0]))
    values = np.array([1.0, -0.5, np.nan, np.inf, -np.inf, 1e-45], np.float32)

    def some(shape):
        kept = rng.random(shape) < density
        return np.where(kept, rng.choice(values, shape), np.where(rng.random(shape) < 0.5, 0.0, -0.0)).astype(
            np.float32
        )

    return some((gates, H, I)), some((gates, H, H))


def slow(W, R):
    """Union-find over features and units, one edge at a time; returns the groups that have an edge, and idle units."""
    H, I = W.shape[1:]  # noqa: E741
    parent = list(range(I + H))

    def root(v):
        while parent[v] != v:
            v = parent[v]
        return v

    touched = set()
    for weight, offset in ((W, 0), (R, I)):
        for _, unit, source in np.argwhere(weight != 0):
            a, b = root(int(source) + offset), root(I + int(unit))
            parent[a] = b
            touched |= {int(source) + offset, I + int(unit)}
    groups: dict[int, set[int]] = {}
    for v in sorted(touched):
        groups.setdefault(root(v), set()).add(v)
    return list(groups.values()), [h for h in range(H) if I + h not in touched]


@given(weights())
def test_blocks_are_the_components_of_features_and_units_together(pair):
    W, R = pair
    H, I = W.shape[1:]  # noqa: E741
    found = analyse_recurrent(W, R, "forward")
    groups, idle = slow(W, R)
    assert found.count == len(groups) and found.dormant_units == len(idle)
    assert found.dormant_features == I - sum(v < I for group in groups for v in group)
    assert found.giant == max(map(len, groups), default=0) / (I + H)
    assert found.nonzeros == np.count_nonzero((W != 0).any(0)) + np.count_nonzero((R != 0).any(0))
    if not groups:
        assert found.decomposition.blocks == ()
        return
    assert not found.decomposition.dormant_outputs.size
    homes, lone = [], []
    for block in found.decomposition.blocks:
        units = hidden_block(block, I)
        assert block.inputs.tolist() == [*units.features, *(units.hidden + I)]
        (lone if set(units.hidden.tolist()) & set(idle) else homes).append(block)
    homes = [{*b.inputs.tolist()} for b in homes]
    assert sorted(h for b in lone for h in b.outputs.tolist()) == idle
    assert all(np.array_equal(b.inputs, b.outputs + I) for b in lone)
    assert sorted(map(sorted, homes)) == sorted(map(sorted, groups))


@given(weights())
def test_states_are_numbered_by_the_recurrent_weight_alone(pair):
    from scipy.sparse.csgraph import connected_components

    W, R = pair
    adjacency = (R != 0).any(0)  # row h lists the in-edges of h
    states = analyse_recurrent(W, R, "forward").states
    assert states.components == connected_components(adjacency, directed=False)[0]
    assert states.sccs == connected_components(adjacency, directed=True, connection="strong")[0]
    assert 1 <= states.layers <= states.sccs


@given(weights(), weights())
def test_the_hash_covers_both_weights_and_the_direction(pair, other):
    W, R = pair
    own = recurrent_hash(W, R, "forward")
    assert own == recurrent_hash(W.copy(order="F"), R.copy(), "forward") and own != recurrent_hash(W, R, "reverse")
    same = all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(pair, other, strict=True))
    assert (own == recurrent_hash(*other, "forward")) == same


SIZES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=9)


@given(st.sampled_from(sorted(GATES)), SIZES, st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_groups_are_unions_of_blocks(op, sizes, count, contiguous, seed):
    W, _, truth = recurrent_weights(np.random.default_rng(seed), op, sizes, (1, 0), contiguous=contiguous)
    I = W.shape[1]  # noqa: E741
    grouped = group_units(truth, I, count)
    assert len(grouped.blocks) <= max(count, 1) and isinstance(grouped, Decomposition)
    assert len(grouped.blocks) == min(count, len(truth.blocks)) or contiguous
    for block in truth.blocks:
        (home,) = [g for g in grouped.blocks if np.isin(block.outputs, g.outputs).any()]
        assert np.isin(block.inputs, home.inputs).all()
    assert sum(b.outputs.size for b in grouped.blocks) == truth.shape[1]
    for block in grouped.blocks:
        assert (block.inputs[block.inputs >= I] - I).tolist() == block.outputs.tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_neighbours_are_merged_with_one_another(count):
    _, _, truth = recurrent_weights(np.random.default_rng(0), "GRU", [(2, 3)] * 8, contiguous=True)
    grouped = group_units(truth, 16, count)
    for side in (0, 1):
        joined = np.concatenate(
            [(units.features, units.hidden)[side] for units in (hidden_block(b, 16) for b in grouped.blocks)]
        )
        assert (np.diff(joined) == 1).all()
    assert len({block.shape for block in grouped.blocks}) == 1 or count == 3


@pytest.mark.parametrize("op", GATES)
def test_planted_weights_have_the_planted_blocks(op):
    gates = GATES[op]
    W, R, truth = recurrent_weights(np.random.default_rng(0), op, [(2, 3), (0, 2), (1, 1)], (2, 1))
    H, I = R.shape[1], W.shape[1]  # noqa: E741
    assert W.shape == (gates * H, 5) and R.shape == (gates * H, 7) and truth.shape == (5 + 7, 7)
    edges = edges_of_both(W.reshape(gates, H, I), R.reshape(gates, H, H))
    for block in truth.blocks:
        assert edges[np.ix_(block.inputs, block.outputs)].all()
        edges[np.ix_(block.inputs, block.outputs)] = False
    assert not edges.any()
    assert truth.dormant_outputs.size == 1 and truth.dormant_inputs.size == 3
