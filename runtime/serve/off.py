"""What inputs of a model hold where they are off, as they hold it: numbers are rounded to their types, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...ir.errors import option
from ...ir.parts.activation import MASKED, OffWord
from ...ir.parts.manifest import PartValue
from ..inputs.inputs import InputError
from .activation import Off

__all__ = ["off_numbers"]

NUMBERS = "biufV"  # of NumPy's kinds; V: bfloat16 and the like
WHOLE = "biu"


def off_numbers(values: Mapping[str, PartValue], off: Mapping[str, Off]) -> dict[str, Off]:
    """The numbers that inputs hold where they are off, in their types; values: the inputs by name, all of `off`.

    The word 'masked' is MASKED: such an input may hold anything where all else that a part reads is off.
    A number with digits that the type of an input has not is rounded as the data of that input are. Raises InputError
    for what no entry of an input can be, and for arrays that do not line up with its last axes.

    >>> off_numbers({"x": PartValue("x", "float32", ("n", 2))}, {"x": 0.1})["x"] == float(np.float32(0.1))
    True
    """
    return {name: _held(values[name], one) for name, one in off.items()}


def _held(value: PartValue, off: Any) -> Off:
    if value.dtype == "string":
        raise _refused(value, "is text, of which nothing is off; leave it out")
    if isinstance(off, (str, OffWord)):
        if off not in (MASKED, MASKED.value):
            raise _refused(value, f"is {off!r}, which is neither a number nor {MASKED.value!r}")
        return MASKED
    try:
        given = np.asarray(off)
    except ValueError:  # lists of different lengths
        raise _refused(value, "is no array; give a number, or one for each place of its last axes") from None
    if given.dtype.kind not in NUMBERS:
        raise _refused(value, "is told by something else than numbers; give a number, or an array of them")
    kind = np.dtype(value.dtype)
    with np.errstate(all="ignore"):
        held = given.astype(kind)
        wide, meant = held.astype(np.float64), given.astype(np.float64)
    same = wide == meant if kind.kind in WHOLE else ~np.isnan(wide) & (np.isinf(wide) == np.isinf(meant))
    if not same.all():
        raise _refused(value, f"is {meant[~same][0]}, which {kind.name} has not, or which equals nothing; give another")
    shape = value.shape
    if given.ndim and shape is not None:
        last = shape[max(0, len(shape) - given.ndim) :]
        fits = all(not isinstance(own, int) or own == size for own, size in zip(last, given.shape, strict=False))
        if given.ndim > len(shape) or not fits:
            raise _refused(value, f"has the shape {list(given.shape)}; give one for its last axes, of {list(shape)}")
    return held if given.ndim else held.item()


def _refused(value: PartValue, why: str) -> InputError:
    return InputError(option("off"), f": what the input {value.name!r} holds where it is off {why}")
