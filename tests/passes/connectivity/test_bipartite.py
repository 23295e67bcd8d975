import ml_dtypes
import networkx
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir import relation
from scission.models.matrix import weight
from scission.passes.connectivity import bipartite as module
from scission.passes.connectivity.bipartite import components

ENGINES = ("frontier", "graph", "auto")
EDGES = (1.0, -1.0, np.nan, np.inf, -np.inf)  # what an entry that is an edge may hold


def labels(found):
    return found.inputs.tolist(), found.outputs.tolist(), found.count


@pytest.mark.parametrize("engine", ENGINES)
@given(mask=oracles.relations(), seed=st.integers(0, 99))
def test_labels_are_those_of_union_find(engine, mask, seed):
    W = np.where(mask, np.random.default_rng(seed).choice(EDGES, mask.shape), -0.0)
    found = components(W, engine)
    assert labels(found) == oracles.components(W)
    assert found.nonzeros == mask.sum()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("density", [0.0, 0.0005, 0.002, 0.004, 0.01, 0.05, 1.0])
@pytest.mark.parametrize("shape", [(300, 210), (1, 400), (400, 1), (65, 64), (127, 129)])
def test_larger_ones_are_those_of_networkx(engine, density, shape):
    K, N = shape
    mask = np.random.default_rng(1).random(shape) < density
    graph = networkx.Graph((i, K + j) for i, j in zip(*np.nonzero(mask), strict=True))
    found = components(mask.astype(np.float32), engine)
    theirs = sorted((sorted(part) for part in networkx.connected_components(graph)), key=lambda part: part[0])
    whole = np.concatenate([found.inputs, found.outputs])
    assert [np.flatnonzero(whole == label).tolist() for label in range(found.count)] == theirs
    assert np.flatnonzero(whole == -1).size == K + N - graph.number_of_nodes()
    largest = max(map(len, theirs), default=0)
    assert found.giant == largest / (K + N)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int8])
@pytest.mark.parametrize("view", ["C", "transposed", "stride", "reverse"])
def test_type_and_memory_order_do_not_matter(engine, dtype, view):
    mask = np.random.default_rng(2).random((40, 70)) < 0.02
    W = mask.astype(dtype)
    if view == "transposed":
        W = np.ascontiguousarray(W.T).T
    elif view == "stride":
        W = np.repeat(W, 2, axis=1)[:, ::2]
    elif view == "reverse":
        W = np.ascontiguousarray(W[::-1])[::-1]
    assert labels(components(W, engine)) == oracles.components(mask)


@pytest.mark.parametrize("engine", ["frontier", "graph"])
def test_chunks_join_without_a_seam(engine, monkeypatch):
    mask = np.random.default_rng(3).random((90, 400)) < 0.004
    for owner, name in ((module, "WORDS"), (relation, "CHUNK")):
        monkeypatch.setattr(owner, name, 1)
    assert labels(components(mask, engine)) == oracles.components(mask)


@pytest.mark.parametrize("engine", ENGINES)
@given(sizes=oracles.block_sizes(), dormant=st.tuples(st.integers(0, 3), st.integers(0, 3)), seed=st.integers(0, 99))
def test_planted_blocks_are_found(engine, sizes, dormant, seed):
    W, truth = weight(np.random.default_rng(seed), sizes, dormant)
    found = components(W, engine)
    parts = {(tuple(b.inputs), tuple(b.outputs)) for b in truth.blocks}
    numbers = range(found.count)
    assert parts == {
        (tuple(np.flatnonzero(found.inputs == n)), tuple(np.flatnonzero(found.outputs == n))) for n in numbers
    }
    assert ((found.inputs == -1).sum(), (found.outputs == -1).sum()) == dormant


def test_auto_takes_the_graph_for_sparse_weights_only(monkeypatch):
    taken = []
    for name in ("_graph", "_frontier"):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda r, name=name, real=real: taken.append(name) or real(r))
    components(np.eye(1000, dtype=np.int8))
    components(np.ones((10, 10)))
    assert taken == ["_graph", "_frontier"]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
def test_only_matrices_have_components(shape):
    with pytest.raises(ValueError, match=f"two dimensions, not {len(shape)}"):
        components(np.ones(shape))
