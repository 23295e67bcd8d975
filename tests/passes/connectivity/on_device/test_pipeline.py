import numpy as np
import pytest
import torch
from digraphs import CUDA
from hypothesis import given, settings
from hypothesis import strategies as st
from late_link import LateLink
from ml_dtypes import bfloat16

from scission.models.matrix import weight
from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.on_device import pipeline
from scission.passes.connectivity.on_device.components import is_supported
from scission.passes.connectivity.on_device.pipeline import FLIGHT, stream_components
from scission.passes.connectivity.transfer import ring
from scission.passes.connectivity.transfer.ring import PIECE

TYPES = (np.float64, np.float32, np.float16, bfloat16)


def matrices(rng, count):
    for _ in range(count):
        sizes = [tuple(rng.integers(1, 9, 2)) for _ in range(rng.integers(1, 6))]
        W, _ = weight(rng, sizes, tuple(rng.integers(0, 4, 2)), dtype=rng.choice(TYPES))
        kind = rng.integers(4)
        if kind == 1:
            W = np.asfortranarray(W)
        elif kind == 2:  # long chains, which no single squaring closes
            n = int(rng.integers(1, 40))
            W = (np.eye(n) + np.eye(n, k=1)).astype(W.dtype)[rng.permutation(n)]
        elif kind == 3:
            W = W[::2, ::-1]
        yield W


def same(got, want):
    assert (got.count, got.nonzeros) == (want.count, want.nonzeros)
    np.testing.assert_array_equal(got.inputs, want.inputs)
    np.testing.assert_array_equal(got.outputs, want.outputs)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 2 * FLIGHT + 1))
def test_a_device_gives_the_components_of_the_cpu_in_order(device, seed, count):
    given_ = list(enumerate(matrices(np.random.default_rng(seed), count)))
    found = list(stream_components(iter(given_), torch.device(device)))
    assert [key for key, _, _ in found] == list(range(count))
    for (_, W), (_, back, got) in zip(given_, found, strict=True):
        assert back is W
        same(got, components(W))


@pytest.mark.parametrize("dtype", TYPES)
def test_special_values(dtype):
    tiny = np.nextafter(np.zeros(1, dtype), np.ones(1, dtype))[0]
    W = np.array([[0.0, -0.0, np.nan], [np.inf, 0.0, -0.0], [0.0, 0.0, 0.0]], dtype)
    W[2, 1] = tiny  # the smallest number there is, subnormal
    ((_, _, got),) = stream_components([("w", W)], torch.device("cpu"))
    assert got.nonzeros == 3 and got.count == 3
    same(got, components(W))


@pytest.mark.parametrize("W", [np.ones((2, 2), np.int8), np.ones((0, 3), np.float32), np.ones((3, 0), np.float32)])
def test_what_no_device_takes_the_cpu_does(W):
    assert not is_supported(W)
    ((_, _, got),) = stream_components([("w", W)], torch.device("cpu"))
    same(got, components(W))


def test_few_weights_are_held_at_once():
    taken = 0

    def weights():
        nonlocal taken
        for index in range(60):
            taken += 1
            yield index, np.ones((3, 3), np.float32)

    for done, _ in enumerate(stream_components(weights(), torch.device("cpu")), start=1):
        assert taken - done < FLIGHT + ring.THREADS + ring.AHEAD


@pytest.mark.parametrize("free", [0, 1 << 40])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12), piece=st.sampled_from([16, 100, PIECE]))
def test_copies_that_come_late_change_nothing(free, seed, count, piece):
    """The pipeline with a device whose copies are made when somebody waits; the real one is tested where it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "link_to", lambda device: LateLink())
        patch.setattr(pipeline, "spans", lambda size: ring.spans(size, piece))
        patch.setattr(pipeline, "_fits", lambda weight, device: weight.nbytes <= free)
        given_ = list(enumerate(matrices(np.random.default_rng(seed), count)))
        found = list(stream_components(iter(given_), torch.device("cpu")))
    assert [key for key, _, _ in found] == list(range(count))
    for (_, W), (_, _, got) in zip(given_, found, strict=True):
        same(got, components(W))


@pytest.mark.parametrize("lacking", ["room", "copy"])
def test_a_full_device_leaves_weights_to_the_cpu(lacking):
    calls = 0

    def full(*given):
        nonlocal calls
        calls += 1
        if calls % 2:
            raise RuntimeError("CUDA error: out of memory")
        return getattr(LateLink, lacking)(link, *given)

    link = LateLink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, lacking, full)
        patch.setattr(pipeline, "link_to", lambda device: link)
        given_ = list(enumerate(matrices(np.random.default_rng(3), 9)))
        found = list(stream_components(iter(given_), torch.device("cpu")))
    assert calls >= 9
    for (_, W), (_, _, got) in zip(given_, found, strict=True):
        same(got, components(W))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "room", lambda size: 1 / 0)
        patch.setattr(pipeline, "link_to", lambda device: link)
        with pytest.raises(ZeroDivisionError):
            list(stream_components(iter(given_), torch.device("cpu")))


def test_a_weight_fits_where_those_in_flight_do(monkeypatch):
    weight = np.ones((64, 64), np.float32)
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)
    for free, fits in ((1 << 30, True), (1 << 10, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert pipeline._fits(weight, torch.device("cuda")) == fits
