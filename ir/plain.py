"""Values as JSON can hold them, which knows neither tuples nor numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["plain", "plain_dict"]


def plain(value: Any) -> Any:
    """The same with lists for tuples and None for infinite numbers and NaN, at any depth.

    >>> plain({"gain": float("inf"), "shape": (2, 3.5)})
    {'gain': None, 'shape': [2, 3.5]}
    """
    if isinstance(value, Mapping):
        return plain_dict(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an object."""
    return {key: plain(item) for key, item in values.items()}
