"""Triton as this machine has it: on the GPU where there is one, else by its interpreter on the CPU.

`pip install -e '.[triton]'` brings it; tests of kernels are skipped without. Import this before any kernel.
"""

import os

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton and kernels are imported
pytest.importorskip("triton", reason="triton is not installed")
