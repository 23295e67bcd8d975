"""The identity of a weight: the SHA-256 that ties a plan to the model it was made for."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fingerprint"]


def fingerprint(stored: npt.NDArray[Any]) -> str:
    """SHA-256 of a stored weight, shape included, in hexadecimal."""
    digest = hashlib.sha256(repr((stored.shape, stored.dtype.name)).encode())
    digest.update(np.ascontiguousarray(stored).view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    return digest.hexdigest()
