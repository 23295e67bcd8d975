import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.anneal.edges.sequences import edge_sequences, spread


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


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.ones(4, bool)])
def test_a_decision_on_something_else_than_edges_is_refused(mask):
    with pytest.raises(ValueError, match=r"\(d, d\)"):
        spread(mask, 2)
