"""Joint blocks beside a slow search of the graph over all axes."""

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.decompose.joint import joint_blocks


def graph(readers, writer, unit):
    """Every feature of every axis a node, every edge an edge, features of one unit joined."""
    found = nx.Graph()
    H, N = writer.shape
    for h in range(H):
        found.add_edge(("h", h), ("h", h // unit * unit))
    for i, one in enumerate(readers):
        found.add_nodes_from((i, k) for k in range(len(one)))
        found.add_edges_from(((i, int(k)), ("h", int(h))) for k, h in np.argwhere(one))
    found.add_nodes_from(("y", n) for n in range(N))
    found.add_edges_from((("h", int(h)), ("y", int(n))) for h, n in np.argwhere(writer))
    return found


@st.composite
def nets(draw):
    seed, unit = draw(st.integers(0, 10_000)), draw(st.sampled_from([1, 1, 2]))
    rng = np.random.default_rng(seed)
    H, N, K = (int(n) for n in rng.integers(2, 9, 3))
    density = draw(st.sampled_from([0.1, 0.2, 0.4]))
    readers = [rng.random((K, H * unit)) < density for _ in range(draw(st.integers(1, 2)))]
    return readers, rng.random((H * unit, N)) < density, unit


@given(nets(), st.booleans())
def test_blocks_are_the_components_of_the_graph_over_all_axes(net, whole):
    readers, writer, unit = net
    axes = [*range(len(readers)), "h", "y"]
    parts = [part for part in nx.connected_components(graph(*net)) if {axis for axis, _ in part} == set(axes)]
    found = joint_blocks(readers, writer, unit, whole=whole)
    if len(parts) < 2:
        assert found is None
        return
    assert len(found[0].blocks) == len(parts)
    for relation, one in zip([*readers, writer], found, strict=True):
        assert not (relation & ~one.inside()).any(), "nothing but zeros is left out"
        assert not one.shared.size
    for reader in found[:-1]:
        for a, b in zip(reader.blocks, found[-1].blocks, strict=True):
            assert np.array_equal(a.outputs, b.inputs)
    hidden = np.concatenate([block.inputs for block in found[-1].blocks])
    lone = [
        h
        for h in range(writer.shape[0])
        if not writer[h // unit * unit :][:unit].any()
        and not any(one[:, h // unit * unit :][:, :unit].any() for one in readers)
    ]
    assert set(hidden) == set(range(writer.shape[0])) - (set() if whole else set(lone))
    # Whole components stay whole, and what is complete by itself is not glued to another that is.
    owner = {int(h): i for i, block in enumerate(found[-1].blocks) for h in block.inputs}
    homes = [{owner[h] for axis, h in part if axis == "h"} for part in parts]
    assert all(len(home) == 1 for home in homes) and len(set.union(*homes)) == len(parts)


@given(nets(), st.booleans(), st.integers(1, 4))
def test_blocks_are_merged_until_there_are_no_more_than_asked(net, whole, most):
    readers, writer, unit = net
    every = joint_blocks(readers, writer, unit, whole=whole)
    found = joint_blocks(readers, writer, unit, whole=whole, most=most)
    if every is None or most == 1:
        assert found is None
        return
    assert len(found[0].blocks) == min(most, len(every[0].blocks))
    for relation, one in zip([*readers, writer], found, strict=True):
        assert not (relation & ~one.inside()).any()
    for reader in found[:-1]:
        for a, b in zip(reader.blocks, found[-1].blocks, strict=True):
            assert np.array_equal(a.outputs, b.inputs)
    whole_blocks = [set(block.inputs.tolist()) for block in every[-1].blocks]
    groups = [set(block.inputs.tolist()) for block in found[-1].blocks]
    if most >= len(whole_blocks):
        assert groups == whole_blocks
