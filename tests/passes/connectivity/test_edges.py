import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir import relation
from scission.passes.connectivity import edges as edges_module
from scission.passes.connectivity.edges import edges, relate

FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("value", "edge"),
    [(0.0, False), (-0.0, False), (1.0, True), (-1.0, True), (np.nan, True), (np.inf, True), (-np.inf, True)],
)
def test_only_the_two_zeros_are_no_edge(dtype, value, edge):
    assert edges(np.array([[value]], dtype)).tolist() == [[edge]]


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_smallest_subnormal_is_an_edge(dtype):
    tiny = ml_dtypes.finfo(dtype).smallest_subnormal
    assert edges(np.array([[tiny, -tiny]], dtype)).all()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_half_precision_pattern(dtype):
    values = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(edges(values), values.astype(np.float32) != 0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int64, np.bool_])
def test_integers_are_edges_unless_zero(dtype):
    values = np.array([[0, 1, np.iinfo(dtype).min if dtype is not np.bool_ else True]], dtype)
    assert edges(values).tolist() == (values.astype(object) != 0).tolist()


@given(oracles.relations(largest=80), st.sampled_from(FLOATS), st.sampled_from(["C", "F", "stride", "reverse"]))
def test_a_relation_holds_the_edges_of_any_view(mask, dtype, view):
    W = np.where(mask, -2.0, -0.0).astype(dtype)
    if view == "F":
        W = np.asfortranarray(W)
    elif view == "stride":
        wide = np.full((W.shape[0] * 2, W.shape[1] * 3), np.nan, dtype)
        wide[::2, ::3] = W
        W = wide[::2, ::3]
    elif view == "reverse":
        W = np.ascontiguousarray(W[::-1, ::-1])[::-1, ::-1]
    found = relate(W)
    assert found.shape == mask.shape and found.count == mask.sum()
    assert np.array_equal(found.dense(), mask)
    assert np.array_equal(edges(W), mask)


def test_chunks_join_without_a_seam(monkeypatch):
    mask = np.random.default_rng(0).random((50, 130)) < 0.3
    for size in (1, 130, 1000):
        monkeypatch.setattr(edges_module, "CHUNK", size)
        monkeypatch.setattr(relation, "CHUNK", size)
        assert np.array_equal(relate(mask).dense(), mask)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from((*FLOATS, np.int8, np.uint8, np.bool_)),
    st.sampled_from([0.1, 0.5, 1.0, 1 / 3, 127.0, 65504.0, 1e5, 1e300]),
)
def test_a_threshold_is_compared_exactly(seed, dtype, threshold):
    rng = np.random.default_rng(seed)
    around = np.array([threshold, -threshold, threshold * (1 + 1e-9), np.nextafter(threshold, 0), 0, -0.0])
    values = np.concatenate([rng.standard_normal(20), 100 * rng.standard_normal(20), around])
    if np.dtype(dtype).kind in "iub":
        values = np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype is not np.bool_ else values > 1
    with np.errstate(over="ignore"):
        W = values.astype(dtype)
    wide = W.astype(np.float64)
    assert edges(W, threshold).tolist() == (np.abs(wide) > threshold).tolist()
    both = relate(np.asfortranarray(W[:40].reshape(8, 5)), threshold), relate(W[:40].reshape(8, 5), threshold)
    assert all((r.dense() == (np.abs(wide[:40].reshape(8, 5)) > threshold)).all() for r in both)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinity_are_above_every_threshold(dtype):
    assert edges(np.array([np.nan, np.inf, -np.inf], dtype), 1e300).all()


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ">i4"])
def test_the_other_byte_order(dtype):
    W = np.array([[-0.0, 1.0, 0.25, -3.0]]).astype(dtype)
    assert edges(W).tolist() == (W != 0).tolist() and relate(W).count == int((W != 0).sum())
    assert edges(W, 0.5).tolist() == (abs(W) > 0.5).tolist()
