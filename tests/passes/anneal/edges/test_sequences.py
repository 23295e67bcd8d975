import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scission.passes.anneal.edges.sequences import chain_components, edge_sequences, spread
from scission.passes.connectivity.bipartite import weak
from scission.passes.connectivity.edges import relate


@st.composite
def networks(draw, square=False, gated=False):
    """Lists of sparse ups and downs, and of gates where asked for."""
    d = draw(st.integers(1, 5))
    out = d if square else draw(st.integers(1, 5))
    widths = draw(st.lists(st.integers(1, 3 if square else 7), min_size=1, max_size=3))
    density = draw(st.sampled_from([0.0, 0.1, 0.25, 0.6, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = [d * H if square else H for H in widths]

    def sparse(*shape):
        return rng.standard_normal(shape) * (rng.random(shape) < density)

    gates = [sparse(d, H) for H in widths] if gated else []
    return [sparse(d, H) for H in widths], [sparse(H, out) for H in widths], gates


def related(weights):
    return [relate(weight) for weight in weights]


def chain_of(ups, downs, gates=()):
    return chain_components(related(ups), related(downs), related(gates))


@given(networks(square=True, gated=True), st.booleans())
def test_a_sequence_holds_one_weight_of_each_matrix_of_each_channel(weights, gated):
    """The sum over channels of the paper's column-vector products, U_c[n, k] and V_c[n, k] read off the sequences."""
    ups, downs, gates = weights
    gates = gates if gated else []
    d = len(ups[0])
    channels = sum(U.shape[1] for U in ups) // d
    theta = np.stack(edge_sequences(ups, downs, channels, gates))
    assert theta.shape == ((3 if gated else 2) * channels, d, d)
    x = np.random.default_rng(0).standard_normal(d)
    y = sum(np.tanh(x @ U) @ V for U, V in zip(ups, downs, strict=True))
    of_up, of_down = theta[:channels], theta[-channels:]
    paper = sum(V_c.T @ np.tanh(U_c.T @ x) for U_c, V_c in zip(of_up, of_down, strict=True))
    np.testing.assert_allclose(paper, y, atol=1e-12)
    if gated:
        hidden = np.concatenate([x @ U_c for U_c in theta[channels:-channels]])
        np.testing.assert_allclose(hidden, np.concatenate([x @ G for G in gates]), atol=1e-12)


@given(networks(square=True))
def test_no_weight_is_copied(weights):
    ups, downs, _ = weights
    d = len(ups[0])
    found = edge_sequences(ups, downs, sum(U.shape[1] for U in ups) // d)
    assert all(any(np.shares_memory(part, W) for W in (*ups, *downs)) for part in found)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32))
def test_a_decision_spread_over_the_weights_is_read_back_in_every_place(d, channels, seed):
    mask = np.random.default_rng(seed).random((d, d)) < 0.5
    up, down = spread(mask, channels)
    assert (up.shape, down.shape) == ((d, channels * d), (channels * d, d))
    found = edge_sequences([up], [down], channels)
    assert len(found) == 2 * channels and all((part == mask).all() for part in found)


@given(networks(square=True), st.integers(0, 2**32))
def test_what_a_decision_keeps_is_what_its_sequences_keep(weights, seed):
    """Masking the weights is masking every component, also where the channels lie in several matrices."""
    ups, downs, _ = weights
    d, widths = len(ups[0]), [U.shape[1] for U in ups]
    channels = sum(widths) // d
    mask = np.random.default_rng(seed).random((d, d)) < 0.5
    up, down = spread(mask, channels)
    ends = np.cumsum(widths)[:-1]
    kept_ups = [U * part for U, part in zip(ups, np.split(up, ends, axis=1), strict=True)]
    kept_downs = [V * part for V, part in zip(downs, np.split(down, ends), strict=True)]
    kept = np.stack(edge_sequences(kept_ups, kept_downs, channels))
    assert (kept == np.stack(edge_sequences(ups, downs, channels)) * mask).all()


def chain_oracle(ups, downs, gates):
    """Components from networkx, one edge at a time, in the documented order; -1 for nodes without any edge."""
    graph = nx.Graph()
    for branch, V in enumerate(downs):
        for U in [ups[branch], *gates[branch : branch + 1]]:
            graph.add_edges_from((("in", k), ("hidden", branch, h)) for k, h in np.argwhere(U))
        graph.add_edges_from((("hidden", branch, h), ("out", n)) for h, n in np.argwhere(V))
    ends = [("in", k) for k in range(ups[0].shape[0])], [("out", n) for n in range(downs[0].shape[1])]
    rank = {node: position for position, node in enumerate([*ends[0], *ends[1]])}
    parts = sorted(nx.connected_components(graph), key=lambda part: min(rank.get(node, len(rank)) for node in part))
    label = {node: number for number, part in enumerate(parts) for node in part}
    hidden = [("hidden", branch, h) for branch, V in enumerate(downs) for h in range(len(V))]
    return [[label.get(node, -1) for node in side] for side in (ends[0], hidden, ends[1])], len(parts)


@given(st.booleans().flatmap(lambda gated: networks(gated=gated)))
def test_the_components_of_a_chain_are_those_of_its_graph(weights):
    found = chain_of(*weights)
    sides, count = chain_oracle(*weights)
    assert [found.inputs.tolist(), found.hidden.tolist(), found.outputs.tolist()] == sides
    assert found.count == count


@given(networks(), st.randoms(use_true_random=False))
def test_the_order_of_hidden_units_is_free(weights, random):
    (U, *_), (V, *_), _ = weights
    order = list(range(len(V)))
    random.shuffle(order)
    before, after = chain_of([U], [V]), chain_of([U[:, order]], [V[order]])
    assert (after.inputs == before.inputs).all() and (after.outputs == before.outputs).all()
    assert (after.hidden == before.hidden[order]).all() and after.count == before.count


@given(networks())
def test_branches_are_one_network_with_their_hidden_units_side_by_side(weights):
    ups, downs, _ = weights
    apart, together = chain_of(ups, downs), chain_of([np.hstack(ups)], [np.vstack(downs)])
    for side in ("inputs", "hidden", "outputs"):
        assert (getattr(apart, side) == getattr(together, side)).all()
    assert apart.count == together.count


def sequence_components(U, V, channels):
    """Weak components of the states, where an edge is any sequence that is not zero."""
    return weak(relate(np.any(edge_sequences([U], [V], channels), axis=0)))


@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**32))
def test_shuffled_hidden_units_glue_sequences_but_not_chains(size, channels, seed):
    """Two dense blocks of states: whole sequences tell them apart only while hidden units lie beside their states."""
    rng = np.random.default_rng(seed)
    d = 2 * size
    blocks = np.kron(np.eye(2), np.ones((size, size))).astype(bool)
    up, down = spread(blocks, channels)
    U, V = (rng.uniform(1, 2, mask.shape) * mask for mask in (up, down))
    order = rng.permutation(channels * d)
    moved = (order % d // size) != (np.arange(channels * d) % d // size)
    assume(moved.any())
    assert sequence_components(U, V, channels).tolist() == [0] * size + [1] * size
    assert sequence_components(U[:, order], V[order], channels).tolist() == [0] * d
    for chain in (chain_of([U], [V]), chain_of([U[:, order]], [V[order]])):
        assert chain.inputs.tolist() == chain.outputs.tolist() == [0] * size + [1] * size and chain.count == 2


SQUARE, WIDE, TALL = np.ones((3, 3)), np.ones((3, 6)), np.ones((6, 3))


@pytest.mark.parametrize(
    ("ups", "downs", "channels", "gates"),
    [
        ([], [], 0, []),
        ([WIDE], [TALL], 1, []),
        ([WIDE], [SQUARE], 2, []),
        ([WIDE], [TALL], 2, [SQUARE]),
        ([WIDE], [TALL], 2, [WIDE, WIDE]),
        ([WIDE, SQUARE], [TALL], 3, []),
        ([np.ones((3, 4)), np.ones((3, 2))], [np.ones((4, 3)), np.ones((2, 3))], 2, []),
        ([np.ones((3, 6))], [np.ones((6, 2))], 2, []),
        ([np.ones((3, 0))], [np.ones((0, 3))], 0, []),
        ([np.ones((0, 0))], [np.ones((0, 0))], 0, []),
        ([np.ones(3)], [np.ones(3)], 1, []),
    ],
)
def test_weights_of_other_shapes_are_refused(ups, downs, channels, gates):
    with pytest.raises(ValueError, match=r"are no"):
        edge_sequences(ups, downs, channels, gates)


@pytest.mark.parametrize(
    ("ups", "downs", "gates"),
    [
        ([], [], []),
        ([WIDE], [SQUARE], []),
        ([WIDE], [TALL], [SQUARE]),
        ([WIDE, SQUARE], [TALL], []),
        ([WIDE, np.ones((2, 6))], [TALL, TALL], []),
    ],
)
def test_relations_that_are_no_chain_are_refused(ups, downs, gates):
    with pytest.raises(ValueError, match="are no network"):
        chain_of(ups, downs, gates)


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.ones(4, bool)])
def test_a_decision_on_something_else_than_edges_is_refused(mask):
    with pytest.raises(ValueError, match=r"\(d, d\)"):
        spread(mask, 2)
