import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.bounds import scan
from scission.passes.channels.bounds.scan import FEW, scanned

KINDS = {
    ir.DataType.FLOAT: np.float32,
    ir.DataType.DOUBLE: np.float64,
    ir.DataType.FLOAT16: np.float16,
    ir.DataType.BFLOAT16: ml_dtypes.bfloat16,
}
ODD = (0.0, -0.0, 1.0, 1e-40, 2.0**-126, 5e-324, np.inf, -np.inf, np.nan)


def slowly(array):
    """The same, an entry at a time."""
    finite = all(np.isfinite(float(entry)) for entry in array.reshape(-1))
    largest = {}
    for axis in (0, 1) if array.ndim > 1 and array.size else ():
        rows = [[abs(float(e)) for e in row[:FEW].reshape(-1)] for row in np.moveaxis(array, axis, 0)]
        largest[axis] = [np.nan if any(map(np.isnan, row)) else max(row) for row in rows]
    return finite, largest


@given(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 40), max_size=3), st.integers(0, 2**31), st.booleans())
def test_a_scan_says_what_each_entry_says(kind, shape, seed, turned):
    rng = np.random.default_rng(seed)
    shape = tuple(shape[:1] + [min(extent, 3) for extent in shape[1:]]) if seed % 2 else tuple(shape[:2])
    array = rng.standard_normal(shape)
    with np.errstate(over="ignore"):
        odd = rng.random(shape) < rng.choice([0.0, 0.01, 0.9])
        array = np.where(odd, rng.choice(ODD, shape), array).astype(KINDS[kind])
    if turned:
        array = array.T
    found = scanned(array, kind)
    finite, largest = slowly(array)
    assert found.is_finite == finite and found.largest.keys() == largest.keys()
    for axis, sizes in largest.items():
        np.testing.assert_array_equal(found.largest[axis], sizes)


def test_what_stands_behind_the_first_does_not_fill_a_place():
    array = np.zeros((3, FEW + 1), np.float32)
    array[:, FEW] = 1
    assert not scanned(array, ir.DataType.FLOAT).largest[0].any()
    array[:, FEW - 1] = 1
    assert scanned(array, ir.DataType.FLOAT).largest[0].all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_odd_entry_is_found_wherever_it_stands(kind, monkeypatch):
    monkeypatch.setattr(scan, "PIECE", 16)
    for place in range(50):
        array = np.full(50, 6e4 if kind == ir.DataType.FLOAT16 else 3e38, KINDS[kind])
        assert scanned(array, kind).is_finite
        array[place] = np.inf if place % 2 else np.nan
        assert not scanned(array, kind).is_finite
