import ctypes
import importlib.util
from types import SimpleNamespace

import pytest
import torch

from scission.passes.connectivity import device as module
from scission.passes.connectivity.device import (
    WORTH,
    DeviceError,
    analysis_device,
    cuda_devices,
    described,
    pick_device,
)


def test_devices_that_are_not_there_are_one_clear_error(monkeypatch):
    with pytest.raises(DeviceError, match="is no device; use 'cpu', 'cuda'"):
        pick_device("nowhere")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no CUDA device here; use 'cpu'"):
        pick_device("cuda")
    assert pick_device().type == pick_device("auto").type == "cpu"
    assert pick_device("cpu:7") == torch.device("cpu")
    with pytest.raises(DeviceError, match="does not use; use 'cpu', 'cuda'"):
        pick_device("meta")
    with pytest.raises(DeviceError, match="is no device"):
        analysis_device("", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1 and pick_device().type == "cuda"
    with pytest.raises(DeviceError, match="there are 2 CUDA devices"):
        pick_device("cuda:2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="pip install torch"):
        pick_device("cpu")


def test_every_device_that_torch_has_is_taken(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "xpu", None, raising=False)
    for kind in ("mps", "xpu"):
        with pytest.raises(DeviceError, match=f"sees no {kind.upper()} device here; use 'cpu'"):
            pick_device(kind)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "xpu", SimpleNamespace(is_available=lambda: True, device_count=lambda: 2))
    assert pick_device("mps").type == "mps" and analysis_device("xpu:1", 0) == torch.device("xpu:1")
    for name, there in (("mps:1", "there are 1 MPS"), ("xpu:2", "there are 2 XPU")):
        with pytest.raises(DeviceError, match=there):
            pick_device(name)


@pytest.mark.parametrize(
    ("device", "words"),
    [(None, "search on the CPU"), ("cpu", "on cpu"), ("cuda", "on cuda:0"), ("cuda:1", "on cuda:1"), ("mps", "on mps")],
)
def test_what_was_used_is_said(device, words):
    assert described(None if device is None else torch.device(device)).endswith(words)


def test_large_models_go_where_cuda_is(monkeypatch):
    assert analysis_device("cpu", 1 << 40) is None
    assert analysis_device("auto", WORTH - 1) is None
    monkeypatch.setattr(module, "cuda_devices", lambda: 0)
    assert analysis_device("auto", WORTH) is None
    monkeypatch.setattr(module, "cuda_devices", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the CPU build of torch beside a driver
    assert analysis_device("auto", WORTH) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert analysis_device("auto", WORTH).type == "cuda"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert analysis_device("auto", WORTH) is None


def test_a_machine_without_a_driver_has_no_cuda_devices(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda_devices() == 0


def test_the_driver_is_asked(monkeypatch):
    class Driver:
        def cuInit(self, flags):  # noqa: N802
            return 0

        def cuDeviceGetCount(self, count):  # noqa: N802
            count._obj.value = 3
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert cuda_devices() == 3
    monkeypatch.setattr(Driver, "cuInit", lambda self, flags: 100)
    assert cuda_devices() == 0
