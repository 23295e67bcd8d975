"""The machine that a figure was measured on."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .library import Choice, resolved, runtime_version

__all__ = ["gpu_name", "machine", "processor_name", "usable_cores"]


def machine(provider: Choice = "auto") -> dict[str, Any]:
    """What a result depends on besides the code: processor, usable cores, versions, provider and GPU, for result files.

    'provider' is the one that this choice comes down to here. Raises SessionError when it is CUDA and that cannot run.
    """
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": runtime_version(),
        "provider": resolved(provider, "this machine"),
        "gpu": gpu_name(),
    }


def usable_cores() -> int | None:
    """How many cores this process may use; None where nothing tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor_name() -> str:
    """The processor as the system calls it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.split() == ["model", "name"]:
                return value.strip()
    return platform.processor() or platform.machine()


@functools.cache
def gpu_name() -> str | None:
    """The first GPU as its driver calls it; None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        lines = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
        return lines[0].strip() if lines else None
    return None
