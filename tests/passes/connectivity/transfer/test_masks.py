import numpy as np
import pytest
import torch
from digraphs import CUDA
from hypothesis import given
from hypothesis import strategies as st
from late_link import LateLink

from scission.passes.connectivity import boolean
from scission.passes.connectivity.edges import relate
from scission.passes.connectivity.transfer import masks
from scission.passes.connectivity.transfer.masks import mask_on

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.sampled_from(["bool", "int8", "float32", "float64", "float16", ">f4"]),
    st.sampled_from([1, 60, 10**6]),
)
def test_what_is_not_zero_arrives(device, seed, shape, dtype, share):
    rng = np.random.default_rng(seed)
    A = np.where(rng.random(shape) < 0.4, rng.choice([1, -1], shape), -0.0).astype(dtype)
    if A.dtype.kind == "f" and A.size:
        A.flat[0] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "SHARE", share)
        for given_ in (A, np.asfortranarray(A), np.repeat(A, 2, 1)[:, ::2], relate(A)):
            for link in (None, LateLink()) if device == "cpu" else (None,):
                found = mask_on(torch.device(device), given_, link)
                assert found.dtype == torch.bool and found.is_contiguous()
                np.testing.assert_array_equal(found.cpu().numpy(), A != 0)


def test_an_eighth_of_the_bytes_travels_through_a_few_buffers(monkeypatch):
    monkeypatch.setattr(masks, "PIECE", 4096)
    link, A = LateLink(), np.random.default_rng(0).random((3000, 256)) < 0.5
    assert torch.equal(mask_on(CPU, A, link), torch.from_numpy(A))
    assert sum(source.numel() for source, _ in link._queue) == A.size // 8 and link.most <= 4096


def test_matrices_for_other_devices_take_this_way(monkeypatch):
    asked = []
    monkeypatch.setattr(boolean, "pick_device", lambda device: torch.device("cuda"))
    monkeypatch.setattr(boolean, "mask_on", lambda device, matrix: asked.append(device.type))
    boolean.as_tensor(np.ones((3, 3)), "cuda")
    boolean.as_tensor(relate(np.ones((3, 3))), "cuda")
    assert asked == ["cuda", "cuda"]
