"""What enters and leaves a linear as rows, features last, however its operator lays them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError
from ...ir.graph.linear import Linear

__all__ = ["CalibrationError", "rows_in", "rows_out", "window"]

Array = npt.NDArray[Any]


class CalibrationError(ScissionError):
    """No inputs to calibrate on, or an activation that is not what its linear takes."""


def rows_in(linear: Linear, x: Array, name: str) -> Array:
    """What enters a linear, x as its operator takes it, as rows (M, K).

    name: what an error calls the model. Raises CalibrationError when x does not have K features.
    """
    if linear.layout.kind == "conv":
        x = np.moveaxis(_strided(linear, x), 1, -1)
    elif linear.layout.kind == "axes":
        x = np.moveaxis(_transposed(x, linear.layout.enter), 0, -1)
    return _flat(x, linear.shape[0], f"{name}: {linear.address}: {linear.activation.name!r}")


def rows_out(linear: Linear, y: Array, samples: int, name: str) -> Array:
    """What a linear hands on, y as its operator makes it, as rows (M, N).

    samples: M; name: what an error calls the model. Raises CalibrationError when y does not have that shape.
    """
    if linear.layout.kind == "conv":
        y = np.moveaxis(y, 1, -1)
    elif linear.layout.kind == "axes":
        perm = linear.layout.exit
        y = np.moveaxis(_transposed(y, None if perm is None else np.argsort(perm)), 0, -1)
    where = f"{name}: {linear.address}: its output"
    rows = _flat(y, linear.shape[1], where)
    if len(rows) != samples:
        raise CalibrationError(f"{where} has {len(rows)} rows, its activation {samples}; export the model again")
    return rows


def window(linear: Linear) -> Iterator[tuple[int, int, int]]:
    """(padding before, padding after, stride) of each axis over which a Conv with a kernel of one pixel runs."""
    attributes = linear.node.attributes
    spatial = (linear.layout.rank or 2) - 2
    none = [0] * (2 * spatial)  # what automatic padding comes to for one pixel, too
    pads = list(attributes["pads"].as_ints()) if "pads" in attributes else none
    strides = list(attributes["strides"].as_ints()) if "strides" in attributes else [1] * spatial
    return zip(pads[:spatial], pads[spatial:], strides, strict=True)


def _flat(array: Array, features: int, where: str) -> Array:
    if not array.ndim or array.shape[-1] != features:
        raise CalibrationError(f"{where} has shape {array.shape}, not {features} features; export the model again")
    return array.reshape(-1, features)


def _transposed(array: Array, perm: Sequence[int] | Array | None) -> Array:
    return array if perm is None else np.transpose(array, perm)


def _strided(linear: Linear, x: Array) -> Array:
    """The pixels that a Conv with a kernel of one pixel multiplies: all of them, but for padding and strides."""
    windows = list(window(linear))
    padded = np.pad(x, [(0, 0), (0, 0), *((first, last) for first, last, _ in windows)])
    return padded[(slice(None), slice(None), *(slice(None, None, step) for _, _, step in windows))]
