import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity import boolean
from scission.passes.connectivity.boolean import as_tensor, multiplier, multiply, pack, pick_arithmetic
from scission.passes.connectivity.device import DeviceError
from scission.passes.connectivity.edges import relate

ARITHMETICS = ("fp8", "int8", "bf16", "fp16", "float32")
SIZES = st.integers(0, 70)


def random(seed, *shape, density=0.2):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < density)


@given(st.integers(0, 2**32 - 1), SIZES, st.integers(1, 70), SIZES, st.sampled_from(ARITHMETICS), st.floats(0, 1))
def test_products_are_or_of_ands(seed, m, k, n, arithmetic, density):
    left, right = random(seed, m, k, density=density), random(seed + 1, k, n, density=density)
    want = (left[:, :, None] & right[None, :, :]).any(1)
    assert torch.equal(multiply(left, right, arithmetic), want)


@pytest.mark.parametrize("arithmetic", ["bf16", "fp16", "float32", "auto"])
def test_batches_of_products(arithmetic):
    left, right = random(0, 4, 7, 9), random(1, 4, 9, 5)
    want = (left[..., None] & right[:, None]).any(2)
    assert torch.equal(multiply(left, right, arithmetic), want)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_sums_that_the_arithmetic_cannot_hold_stay_true(arithmetic):
    ones = torch.ones(32, 70_000, dtype=torch.bool)  # more than fp16 holds, than int8 and fp8 add without loss
    assert multiply(ones, ones.t(), arithmetic).all()


def test_a_product_in_panels_is_the_same(monkeypatch):
    left, right = random(0, 400, 40), random(1, 40, 60)
    want = multiply(left, right)
    assert boolean.panel_rows(400, 60) == 100  # a quarter
    monkeypatch.setattr(boolean, "PANEL", 60 * 33)
    assert boolean.panel_rows(400, 60) == 33
    assert torch.equal(multiply(left, right), want)


@given(st.integers(0, 2**32 - 1), SIZES, st.integers(0, 200))
def test_packing_on_the_device_is_packing_on_the_host(seed, rows, columns):
    dense = random(seed, rows, columns)
    packed, want = pack(dense), relate(dense.numpy())
    assert packed.shape == want.shape and packed.count == want.count
    np.testing.assert_array_equal(packed.words, want.words)
    assert torch.equal(as_tensor(want, "cpu"), dense)


def test_what_is_no_arithmetic_is_refused():
    with pytest.raises(DeviceError, match="unknown arithmetic 'fp4'; use one of auto, fp8"):
        multiplier(torch.ones(2, 2, dtype=torch.bool), "fp4")


@pytest.mark.parametrize(
    ("capability", "plain", "batched"),
    [((9, 0), "fp8", "bf16"), ((8, 9), "fp8", "bf16"), ((8, 0), "int8", "bf16"), ((7, 5), "fp16", "fp16")],
)
def test_the_fastest_arithmetic_of_a_device(monkeypatch, capability, plain, batched):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_arithmetic(torch.device("cuda")) == plain
    assert pick_arithmetic(torch.device("cuda"), batched=True) == batched
    assert pick_arithmetic(torch.device("cpu")) == "float32"
