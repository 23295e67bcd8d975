import ml_dtypes
import numpy as np
import pytest
from activations import observations, observed
from hypothesis import given

from scission.passes.anneal.activity.activity import ActivityError
from scission.passes.anneal.activity.recorder import InputRecorder, Recorder


@given(observations())
def test_every_count_is_what_counting_one_sample_at_a_time_gives(observation):
    x, y, step = observation
    seen = observed(x, y, step)
    M, K = x.shape
    N = y.shape[1]
    assert (seen.samples, seen.paired, seen.lost, seen.shape) == (M, M, 0, (K, N))
    assert seen.inputs.tolist() == [sum(row[k] != 0 for row in x) for k in range(K)]
    assert seen.outputs.tolist() == [sum(row[n] != 0 for row in y) for n in range(N)]
    pairs = list(zip(x, y, strict=True))
    assert seen.exposure.tolist() == [
        [sum(a[k] != 0 and b[n] != 0 for a, b in pairs) for n in range(N)] for k in range(K)
    ]
    np.testing.assert_allclose(seen.gram, sum(np.outer(row, row) for row in x), atol=1e-12)
    assert not seen.gram.flags.writeable and not seen.exposure.flags.writeable


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_every_float_type_is_summed_in_float64(dtype):
    x = (np.random.default_rng(1).standard_normal((50, 4)) * 200).astype(dtype)
    seen = observed(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(seen.gram, wide.T @ wide, rtol=1e-13)
    assert (seen.paired, seen.outputs, seen.exposure) == (0, None, None)


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
    assert (seen.gram, seen.exposure) == (None, None) and seen.labels.tolist() == [0, 1, 0, 1]
    narrow = observed(x, x[:, :1], gram=False, limit=15)
    assert narrow.gram is None and narrow.exposure is not None


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
