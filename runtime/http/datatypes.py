"""What the Open Inference Protocol calls types of numbers, and what NumPy calls them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["BYTES", "dtype_of", "name_of"]

BYTES = "BYTES"  # text, or any bytes
NUMBERS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(bool),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
NAMES = {dtype.name: name for name, dtype in NUMBERS.items()} | {"string": BYTES}


def name_of(dtype: str) -> str | None:
    """The protocol's name of a `TensorSpec.dtype`; None where it has none, as for int4 and for sequences.

    >>> name_of("float32"), name_of("string"), name_of("bfloat16"), name_of("seq(tensor(float))")
    ('FP32', 'BYTES', 'BF16', None)
    """
    return NAMES.get(dtype)


def dtype_of(name: str) -> np.dtype[Any] | None:
    """NumPy's type of the protocol's numbers, of which the lowest byte comes first; None for BYTES and what is none.

    >>> dtype_of("FP16"), dtype_of("BYTES")
    (dtype('float16'), None)
    """
    return NUMBERS.get(name)
