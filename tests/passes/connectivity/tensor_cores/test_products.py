import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from triton_here import DEVICE

from scission.ir.reason import Cause, Reason
from scission.passes.connectivity import boolean
from scission.passes.connectivity.device import DeviceError
from scission.passes.connectivity.tensor_cores import products
from scission.passes.connectivity.tensor_cores.products import product, suits, why_not
from scission.passes.connectivity.tensor_cores.tiles import TILES, Tile

SMALL = (Tile(16, 32, 16, 4, 2), Tile(32, 16, 32, 4, 3), Tile(64, 64, 32, 4, 2))
OPERANDS = ("int8", "fp8")
SIDES = st.sampled_from([0, 1, 15, 16, 17, 33, 63, 70])


def random(seed, *shape, density=0.1):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < density).to(DEVICE)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(SIDES, SIDES, SIDES),
    st.sampled_from([0, 0.02, 0.1, 0.5, 1]),
    st.sampled_from(SMALL),
    st.sampled_from(OPERANDS),
)
def test_products_of_odd_sizes_are_or_of_ands(seed, sides, density, tile, operand):
    m, k, n = sides
    left, right = random(seed, m, k, density=density), random(seed + 1, k, n, density=density)
    found = product(left, right.t(), tile, operand)
    assert found.dtype == torch.bool and found.is_contiguous()
    assert torch.equal(found, (left[:, :, None] & right[None, :, :]).any(1))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("operand", OPERANDS)
def test_every_tile_multiplies(tile, operand):
    left, right = random(0, 300, 270, density=0.05), random(1, 270, 290, density=0.05)
    assert torch.equal(product(left, right.t(), tile, operand), left.float() @ right.float() > 0)


@pytest.mark.parametrize("operand", OPERANDS)
def test_one_way_among_very_many_is_seen_and_many_do_not_overflow(operand):
    ones = torch.ones(20, 70_000, dtype=torch.bool, device=DEVICE)  # more than eight bits and fp16 hold
    lone = torch.zeros_like(ones)
    lone[3, 69_999] = True
    tile = Tile(32, 32, 512, 4, 2)
    assert product(ones, ones, tile, operand).all()
    assert product(lone, ones, tile, operand).sum() == 20


def test_the_engine_takes_it_when_asked():
    left, right = random(0, 37, 50), random(1, 50, 41)
    want = boolean.multiply(left, right, "float32")
    assert torch.equal(boolean.multiply(left, right, "fused"), want)
    assert torch.equal(boolean.multiplier(right, "fused")(left), want)
    assert boolean.chosen(right, "fused") == "fused"


def test_it_is_used_unasked_for_large_products_on_cuda_only(monkeypatch):
    monkeypatch.setattr(products, "_why_not_here", lambda index: None)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert suits(cuda, 4096, 4096) and not suits(cuda, 4095, 9999) and not suits(cpu, 9999)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert boolean.pick_arithmetic(cuda, False, 8192, 8192) == "fused"
    assert boolean.pick_arithmetic(cuda, False, 100, 8192) == "fp8"
    assert boolean.pick_arithmetic(cuda, True, 8192, 8192) == "bf16"
    assert boolean.pick_arithmetic(cpu, False, 8192, 8192) == "float32"
    monkeypatch.setattr(products, "_why_not_here", lambda index: Reason(Cause.REFUSED, "here"))
    assert boolean.pick_arithmetic(cuda, False, 8192, 8192) == "fp8"


@pytest.mark.parametrize("reason", [None, Reason(Cause.DIFFERENT, "here")])
def test_a_device_is_trusted_after_a_product_that_is_known(monkeypatch, reason):
    asked = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(products, "why_not_tile", lambda *what, **more: asked.append(what) or reason)
    assert products._why_not_here.__wrapped__(0) == reason
    assert asked == [(torch.device("cuda", 0), min(TILES, key=lambda tile: tile.shared), "fp8")]


def test_an_old_device_and_a_missing_package_are_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert products._why_not_here.__wrapped__(0).cause is Cause.UNSUPPORTED
    monkeypatch.setattr(products.importlib.util, "find_spec", lambda name: None)
    assert why_not(torch.device("cuda")).cause is Cause.NO_PROVIDER
    with pytest.raises(DeviceError, match="pip install triton"):
        boolean.multiply(random(0, 4, 4), random(0, 4, 4), "fused")
