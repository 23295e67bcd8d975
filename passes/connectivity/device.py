"""Which device matrices are analysed on, found out without importing torch where there is nothing to find."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from typing import TYPE_CHECKING

from ...ir.errors import ScissionError

if TYPE_CHECKING:
    import torch

__all__ = ["DeviceError", "analysis_device", "cuda_devices", "described", "pick_device", "require_device_name"]

ACCELERATORS = {"cuda": "CUDA", "mps": "MPS", "xpu": "XPU"}
DEVICE_NAME = re.compile(r"auto|cpu|(cuda|mps|xpu)(:[0-9]{1,3})?")
KNOWN = "'cpu', 'cuda', 'cuda:1', 'mps' or 'xpu'"
# Bytes of weights from which on a device pays. Measured: the search on a CPU reads 3.5 GB/s on one core, Boolean
# products on an H200 13.1 GB/s from pageable memory, and to import torch takes 2.6 s before.
WORTH = 12 << 30


class DeviceError(ScissionError):
    """A device or an arithmetic that this machine does not have."""


def require_device_name(device: str) -> None:
    """Raise DeviceError for a text that names no device, whether or not this machine has it."""
    if not DEVICE_NAME.fullmatch(device):
        raise DeviceError(f"{device!r} is no device; use 'auto', {KNOWN}")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """A torch device: the one asked for, or CUDA where there is one. Raises DeviceError when it cannot be used."""
    if importlib.util.find_spec("torch") is None:
        raise DeviceError("Boolean matrix products need torch: pip install torch, or use the engine 'graph'")
    import torch

    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise DeviceError(f"{device!r} is no device; use {KNOWN}") from None
    if chosen.type == "cpu":
        return torch.device("cpu")
    if chosen.type not in ACCELERATORS:
        raise DeviceError(f"{device!r} is a device that scission does not use; use {KNOWN}")
    count, name = _count(chosen.type), ACCELERATORS[chosen.type]
    if not count:
        raise DeviceError(f"device {device!r}: torch {torch.__version__} sees no {name} device here; use 'cpu'")
    if (chosen.index or 0) >= count:
        raise DeviceError(f"device {device!r}: there are {count} {name} devices, counted from 0")
    return chosen


def _count(kind: str) -> int:
    """How many devices of a kind torch can use here."""
    import torch

    if kind == "mps":
        return int(torch.backends.mps.is_available())
    backend = getattr(torch, kind, None)  # older versions of torch know no XPU
    if backend is None or not backend.is_available():
        return 0
    return int(backend.device_count())


def cuda_devices() -> int:
    """How many CUDA devices the driver knows; asks the driver itself, in a millisecond."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def analysis_device(device: str | torch.device, weight_bytes: int) -> torch.device | None:
    """The torch device on which the weights of a model are analysed, None for the CPU without torch.

    device: 'cpu', a device of CUDA, MPS or XPU, the CPU of torch, or 'auto': CUDA where there is one, torch can use it,
    and the weights are large enough to be worth starting it. Raises DeviceError for a device that is not there.
    """
    if device == "cpu":
        return None
    if device == "auto":
        if weight_bytes < WORTH or not cuda_devices() or importlib.util.find_spec("torch") is None:
            return None
        chosen = pick_device()
        return None if chosen.type == "cpu" else chosen
    return pick_device(device)


def described(device: torch.device | None) -> str:
    """How components are found on a device, None for the CPU without torch.

    >>> described(None)
    'by search on the CPU'
    """
    if device is None:
        return "by search on the CPU"
    index = "" if device.type in ("cpu", "mps") else f":{device.index or 0}"
    return f"by Boolean products on {device.type}{index}"
