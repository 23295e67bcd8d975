"""Inputs that others mask: whether what a part makes is the same whatever they hold, tried with what they could.

Token ids beside a mask of zeros may be any, if the part multiplies by the mask or selects with it. A softmax over
nothing but masked places, though, gives all of them the same weight: there the ids count after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import option
from ..ort.library import SessionError

__all__ = ["require_masked"]

Array = npt.NDArray[Any]
FILLS: tuple[Callable[[Array], Array], ...] = (
    lambda array: np.zeros_like(array),
    lambda array: np.ones_like(array),
    lambda array: _drawn(array, 1.0),
    lambda array: _drawn(array, 1e3),
)


def require_masked(
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    part: str,
    fed: Mapping[str, Array],
    masked: Sequence[str],
) -> None:
    """Raise SessionError unless a part makes the same of what it is fed whatever the masked inputs hold, where all else
    is off: what they hold now, zeros, ones, and two kinds of random numbers if they are no whole ones.

    run: the part; fed: by the names of its inputs. What ONNX Runtime refuses, as ids beyond an embedding, is passed
    over; where there is nothing in them there is nothing to be tried.
    """
    if not any(np.size(fed[name]) for name in masked):
        return
    expected = run(fed)
    tried = 0
    for fill in FILLS:
        other = {name: fill(np.asarray(fed[name])) for name in masked}
        try:
            made = run({**fed, **other})
        except SessionError:
            continue
        tried += any(not np.array_equal(array, fed[name]) for name, array in other.items())
        for name, array in made.items():
            if not np.array_equal(array, expected[name], equal_nan=array.dtype.kind == "f"):  # -0 equals 0
                raise _counts(part, masked, f"{name!r} changes with")
    if not tried:
        raise _counts(part, masked, "ONNX Runtime refuses other numbers in")


def _drawn(array: Array, scale: float) -> Array:
    if array.dtype.kind != "f":
        return array.ravel()[::-1].reshape(array.shape)
    return (scale * np.random.default_rng(0).standard_normal(array.shape)).astype(array.dtype)


def _counts(part: str, masked: Sequence[str], why: str) -> SessionError:
    names = " and ".join(map(repr, masked))
    return SessionError(
        f"{part}: {why} {names} where all else that it reads is off, so that this masks nothing; "
        f"tell what {names} holds where it is off by ",
        option("off"),
    )
