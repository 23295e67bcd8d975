import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from scission.runtime.decompose.blocks.group_lasso import GroupedWeight, GroupLasso  # noqa: E402


def weight_of(seed, transposed=False):
    rng = np.random.default_rng(seed)
    K, N, count = (int(size) for size in rng.integers(2, 7, 3))
    inputs, outputs = rng.integers(0, count, K), rng.integers(0, count, N)
    weight = rng.standard_normal((K, N))
    stored = torch.from_numpy(np.array(weight.T if transposed else weight, order="C"))
    return weight, GroupedWeight(stored, transposed, inputs, outputs)


def tiles(inputs, outputs):
    """(Input, its outputs of one other group), one by one."""
    for k, own in enumerate(inputs):
        for group in set(outputs.tolist()) - {int(own)}:
            yield k, np.flatnonzero(outputs == group)


def objective(V, W, one, threshold):
    lengths = sum(np.linalg.norm(V[k, columns]) for k, columns in tiles(one.inputs, one.outputs))
    return 0.5 * np.square(V - W).sum() + threshold * lengths


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(0, 3))
def test_shrinking_is_the_proximal_operator(seed, transposed, threshold):
    """No other weight has a smaller objective, which is convex: not one nearby, and not one with some tile at zero."""
    before, one = weight_of(seed, transposed)
    wanted = before.copy()
    for k, columns in tiles(one.inputs, one.outputs):
        length = np.linalg.norm(before[k, columns])
        wanted[k, columns] *= max(0.0, 1 - threshold / length)
    one.shrink(threshold)
    found = one.weight.numpy()
    assert np.allclose(found, wanted, atol=1e-12)
    least = objective(found, before, one, threshold)
    rng = np.random.default_rng(0)
    others = [found + size * rng.standard_normal(found.shape) for size in (1e-4, 1e-2, 1) for _ in range(4)]
    for k, columns in tiles(one.inputs, one.outputs):
        other = found.copy()
        other[k, columns] = 0
        others.append(other)
    assert all(objective(other, before, one, threshold) >= least - 1e-9 for other in others)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_projection_is_the_nearest_weight_in_blocks(seed, transposed):
    before, one = weight_of(seed, transposed)
    one.project()
    K, N = before.shape
    wanted = [[before[k, n] if one.inputs[k] == one.outputs[n] else 0.0 for n in range(N)] for k in range(K)]
    assert one.weight.tolist() == wanted
    one.project()
    assert one.weight.tolist() == wanted and not one.lengths().any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_what_nothing_holds_up_is_gone_after_the_last_step(seed, steps):
    before, one = weight_of(seed)
    lasso = GroupLasso([one], steps)
    share = lasso.outside
    for step in range(1, steps + 1):
        lasso(step)
        assert lasso.outside <= share + 1e-12
        share = lasso.outside
    inside = one.inputs[:, None] == one.outputs
    assert np.allclose(one.weight.numpy()[~inside], 0, atol=1e-12)
    assert np.array_equal(one.weight.numpy()[inside], before[inside])
