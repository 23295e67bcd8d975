import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan import Block, Decomposition
from scission.models.matrix import weight as block_weight
from scission.passes import activity as module
from scission.passes.activity import (
    ActivityError,
    InputRecorder,
    Recorder,
    classes,
    importance,
    operator_classes,
    relative_error,
    removed_error,
    veto,
)


@st.composite
def samples(draw, features: int, rows: int | None = None):
    """Sparse activations, some features never active."""
    M = rows if rows is not None else draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.08, 0.2, 0.5, 1.0]))
    return rng.standard_normal((M, features)) * (rng.random((M, features)) < density)


@st.composite
def observations(draw):
    K, N, M = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 12))
    return draw(samples(K, M)), draw(samples(N, M)), draw(st.integers(1, 12))


def observed(x, y=None, step=None, shape=None, **options):
    recorder = Recorder(shape or (x.shape[1], y.shape[1] if y is not None else 1), **options)
    for start in range(0, len(x), step or len(x)):
        part = slice(start, start + (step or len(x)))
        recorder.update(x[part], None if y is None else y[part])
    return recorder.activity()


def unions(sets, size):
    """Literal definition 2.2: sets that share a member are united until none do; the rest stay alone."""
    groups = [{feature} for feature in range(size)]
    for active in sets:
        hit = [group for group in groups if group & active]
        groups = [group for group in groups if not group & active] + ([set().union(*hit)] if hit else [])
    groups.sort(key=min)
    return [next(i for i, group in enumerate(groups) if feature in group) for feature in range(size)]


@given(observations())
def test_every_count_is_what_counting_one_sample_at_a_time_gives(observation):
    x, y, step = observation
    seen = observed(x, y, step)
    M, K = x.shape
    N = y.shape[1]
    assert (seen.samples, seen.paired, seen.lost, seen.shape) == (M, M, 0, (K, N))
    assert seen.inputs.tolist() == [sum(row[k] != 0 for row in x) for k in range(K)]
    assert seen.outputs.tolist() == [sum(row[n] != 0 for row in y) for n in range(N)]
    assert seen.joint.tolist() == [[sum(r[i] != 0 and r[j] != 0 for r in x) for j in range(K)] for i in range(K)]
    pairs = list(zip(x, y, strict=True))
    assert seen.exposure.tolist() == [
        [sum(a[k] != 0 and b[n] != 0 for a, b in pairs) for n in range(N)] for k in range(K)
    ]
    np.testing.assert_allclose(seen.gram, sum(np.outer(row, row) for row in x), atol=1e-12)
    np.testing.assert_allclose(seen.squares, np.diag(seen.gram), atol=1e-12)
    np.testing.assert_allclose(seen.mean, x.mean(axis=0), atol=1e-12)
    assert not seen.gram.flags.writeable and not seen.exposure.flags.writeable


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


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_every_float_type_is_summed_in_float64(dtype):
    x = (np.random.default_rng(1).standard_normal((50, 4)) * 200).astype(dtype)
    seen = observed(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(seen.gram, wide.T @ wide, rtol=1e-13)
    assert (seen.paired, seen.outputs, seen.exposure, seen.links) == (0, None, None, None)


def test_rows_that_are_not_finite_are_counted_and_left_out():
    x = np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, np.inf], [0.0, 5.0]])
    y = np.array([[1.0], [1.0], [1.0], [np.nan]])
    seen = observed(x, y)
    assert (seen.samples, seen.lost, seen.paired) == (2, 2, 1)
    assert seen.gram.tolist() == [[1.0, 2.0], [2.0, 29.0]] and seen.exposure.tolist() == [[1], [1]]
    with pytest.raises(ActivityError, match="all 1 rows hold a NaN"):
        observed(x[1:2])


def test_large_matrices_are_not_kept_and_the_classes_still_are():
    x = np.eye(4)[[0, 1, 1]] + np.eye(4)[[2, 1, 3]]
    seen = observed(x, x[:, :2], limit=7)
    assert (seen.gram, seen.joint, seen.exposure) == (None, None, None)
    assert classes(seen).tolist() == [0, 1, 0, 1] and operator_classes(seen)[1].tolist() == [0, 1]
    for search in (classes, operator_classes):
        with pytest.raises(ActivityError, match="recorded"):
            search(seen, 2)
    narrow = observed(x, x[:, :1], gram=False, limit=15)
    assert narrow.gram is None and narrow.joint is None and narrow.exposure is not None
    with pytest.raises(ActivityError, match="outputs were not recorded"):
        operator_classes(observed(x))


def test_linears_share_what_is_recorded_of_one_activation():
    x = np.arange(12.0).reshape(4, 3)
    shared = InputRecorder(3)
    first, second = Recorder((3, 2), shared), Recorder((3, 1), shared)
    shared.update(x)
    first.update(x, x[:, :2])
    second.update(x)
    assert first.activity().gram is second.activity().gram
    assert (second.activity().samples, first.activity().paired, second.activity().paired) == (4, 4, 0)
    with pytest.raises(ActivityError, match="cannot share"):
        Recorder((2, 2), shared)
    with pytest.raises(ActivityError, match="handed out"):
        shared.update(x)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ActivityError, match="rows of 3 features"):
        observed(np.zeros((2, 4)), shape=(3, 1))
    with pytest.raises(ActivityError, match="same samples"):
        Recorder((2, 2)).update(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ActivityError, match="no sample"):
        Recorder((2, 2)).activity()
    with pytest.raises(ActivityError, match="threshold"):
        InputRecorder(2, threshold=float("nan"))
    seen = observed(np.ones((2, 2)))
    with pytest.raises(ActivityError, match="evidence is for"):
        importance(np.ones((3, 2)), seen)
    with pytest.raises(ActivityError, match="NaN or an Inf"):
        removed_error(np.array([[np.nan], [1.0]]), Decomposition((2, 1), ()), seen.gram)


# What a decomposition would cost.


@st.composite
def removals(draw):
    """(W, decomposition, X): blocks planted in a dense weight, with correlated inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dormant = draw(st.sampled_from([(0, 0), (2, 0), (0, 2), (1, 1)]))
    W, truth = block_weight(rng, draw(oracles.block_sizes(most=3, largest=4)), dormant, np.float64)
    noise = draw(st.sampled_from([0.0, 0.1, 1.0]))
    X = rng.standard_normal((20, W.shape[0])) @ rng.standard_normal((W.shape[0], W.shape[0]))
    return W + noise * rng.standard_normal(W.shape), truth, X


@given(removals(), st.integers(1, 30))
def test_the_cost_of_a_removal_is_what_the_samples_say(removal, chunk):
    W, truth, X = removal
    seen = observed(X, shape=W.shape)
    kept = module.CHUNK
    module.CHUNK = chunk  # a few columns at a time
    try:
        share, error = veto(W, truth, seen), removed_error(W, truth, seen.gram)
        other = relative_error(W, oracles.reassembled(W, truth), seen.gram)
    finally:
        module.CHUNK = kept
    removed = W - oracles.reassembled(W, truth)
    scores = importance(W, seen)
    np.testing.assert_allclose(
        scores, [[abs(W[k, n]) * np.linalg.norm(X[:, k]) for n in range(W.shape[1])] for k in range(W.shape[0])]
    )
    assert share == pytest.approx(np.square(scores[removed != 0]).sum() / np.square(scores).sum())
    assert error == pytest.approx(np.linalg.norm(X @ removed) / np.linalg.norm(X @ W), rel=1e-6, abs=1e-7)
    assert other == pytest.approx(error, rel=1e-9)
    if not removed.any():
        assert share == error == 0.0


def test_the_two_costs_agree_where_inputs_are_uncorrelated():
    rng = np.random.default_rng(3)
    W = rng.standard_normal((6, 5))
    scale = rng.uniform(1, 9, 6)
    seen = observed(np.diag(scale), shape=(6, 5))
    split = Decomposition((6, 5), (Block([0, 2, 4], [0, 1]), Block([1, 3, 5], [2, 4])))
    assert removed_error(W, split, seen.gram) ** 2 == pytest.approx(veto(W, split, seen))
    assert veto(W, Decomposition((6, 5), ()), seen) == removed_error(W, Decomposition((6, 5), ()), seen.gram) == 1.0


def test_costs_at_their_limits():
    seen = observed(np.array([[1.0, -1.0]]), shape=(2, 1))
    W = np.array([[1.0], [1.0]])
    assert relative_error(W, np.array([[1.0], [0.0]]), seen.gram) == np.inf, (
        "what was zero by cancellation is not any more"
    )
    assert relative_error(0 * W, 0 * W, seen.gram) == 0.0 and veto(0 * W, Decomposition((2, 1), ()), seen) == 0.0
    assert importance(W.astype(np.float16), seen).dtype == np.float32
