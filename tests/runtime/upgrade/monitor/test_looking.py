"""What a look sees of a weight, against pairs of entries compared one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")


from scission.passes.connectivity.bipartite import components  # noqa: E402
from scission.runtime.upgrade.monitor.looking import look_at  # noqa: E402


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["float32", "float64", "float16", "bfloat16"]),
    st.integers(0, 99),
)
def test_a_look_sees_what_entries_changed_and_what_they_tie(N, K, kind, seed):
    rng = np.random.default_rng(seed)
    then = torch.from_numpy(rng.normal(size=(N, K)) * (rng.random((N, K)) < 0.7)).to(getattr(torch, kind))
    moved = rng.random((N, K)) < rng.choice([0.05, 0.3, 0.9])
    now = torch.where(torch.from_numpy(moved), then * 2 + 1, then)
    if moved.any() and seed % 3 == 0:
        now[tuple(np.argwhere(moved)[0])] = float("nan")
    differs = np.array(
        [[bool(a != b) for a, b in zip(*rows, strict=True)] for rows in zip(now.double(), then.double(), strict=True)]
    )
    seen = look_at("w", now, then)
    found = components(differs.T)
    assert seen.shape == (K, N) and seen.change.edges == differs.sum()
    assert (seen.change.components, seen.change.dormant) == (found.count, found.dormant)
    assert seen.weight.edges == int((now != 0).sum())
    if N == K:
        import networkx as nx

        graph = nx.DiGraph([(int(j), int(i)) for i, j in np.argwhere(differs)])
        graph.add_nodes_from(range(N))
        assert seen.change.sccs == (None if not differs.any() else nx.number_strongly_connected_components(graph))
    else:
        assert seen.change.sccs is None and seen.change.layers is None
