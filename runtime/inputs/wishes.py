"""What the user says of inputs by name: values, ranges, what they are like."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.errors import option
from ..ort.tensor_spec import TensorSpec, numpy_dtype
from .inputs import InputError
from .likes import LIKES

if TYPE_CHECKING:
    from ..ort.trials import Trials

__all__ = ["Value", "Wishes", "filled", "wished_sizes", "wishes_of"]

Array: TypeAlias = "npt.NDArray[Any]"
Value: TypeAlias = "int | float | bool | str | Sequence[int | float | bool | str]"

VALUE = option("values", flag="--value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of inputs by name: values that trials take in turn, inclusive ranges, what they are like."""

    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    likes: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> frozenset[str]:
        """The inputs that something is said of."""
        return frozenset((*self.values, *self.ranges, *self.likes))

    def over(self, other: Wishes) -> Wishes:
        """The same, and what another says of inputs that nothing is said of here."""
        left = [{name: one for name, one in said.items() if name not in self.named} for said in other._each]
        values, ranges, likes = ({**one, **own} for one, own in zip(left, self._each, strict=True))
        return Wishes(values=values, ranges=ranges, likes=likes)

    def without(self, names: Collection[str]) -> Wishes:
        """The same that says nothing of some inputs."""
        values, ranges, likes = ({name: one for name, one in said.items() if name not in names} for said in self._each)
        return Wishes(values=values, ranges=ranges, likes=likes)

    def only(self, name: str) -> Wishes:
        """What is said of one input."""
        return self.without(self.named - {name})

    @property
    def _each(self) -> tuple[Mapping[str, Any], ...]:
        return self.values, self.ranges, self.likes

    @property
    def ways(self) -> int:
        """How many combinations of values there are."""
        return math.prod(len(options) for options in self.values.values())

    def at(self, turn: int) -> dict[str, Value]:
        """What inputs hold in one of the turns, which go through all combinations and begin again."""
        chosen = {}
        for name, options in self.values.items():
            turn, place = divmod(turn, len(options))
            chosen[name] = options[place]
        return chosen

    def require(self, spec: Sequence[TensorSpec]) -> None:
        """Raise InputError for a wish that no input can fulfil."""
        known = {one.name: one for one in spec}
        for name in (*self.values, *self.ranges, *self.likes):
            if name not in known:
                raise InputError(f"no input is called {name!r}; the inputs are {list(known)}")
        for name, value in ((name, value) for name, options in self.values.items() for value in options):
            if numpy_dtype(known[name].dtype) is not None:
                for entry in value if isinstance(value, list | tuple) else [value]:
                    filled(known[name], (), entry)
        for name, (low, high) in self.ranges.items():
            if known[name].dtype in ("string", "bool"):
                raise InputError(f"input {name!r} is {known[name].dtype}, which has no range; give it with ", VALUE)
            if not low <= high:
                raise InputError(f"input {name!r}: the range {low:g}:{high:g} is empty")
            _refuse_beyond(known[name], low, high)
        for name, like in self.likes.items():
            if like not in LIKES:
                raise InputError(f"input {name!r} cannot be like {like!r}; it can be like {', '.join(LIKES)}")
            if known[name].dtype == "string":
                raise InputError(f"input {name!r} is text; give it with ", VALUE)


def _refuse_beyond(spec: TensorSpec, low: float, high: float) -> None:
    """Raise InputError for a range of which a type holds no number, or not those at its ends."""
    dtype = numpy_dtype(spec.dtype)
    if dtype is None:
        return
    whole = dtype.kind in "iu"
    least, most = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else _widest(dtype)
    if (
        not (least <= low and high <= most)
        or not math.isfinite(high - low)
        or (whole and math.ceil(low) > math.floor(high))
    ):
        raise InputError(f"input {spec.name!r}: no {spec.dtype} lies in {low:g}:{high:g}")


def _widest(dtype: np.dtype[Any]) -> tuple[float, float]:
    most = float(np.finfo(dtype).max) if dtype.kind == "f" else math.inf
    return -most, most


def wishes_of(trials: Trials) -> Wishes:
    """What the user says of inputs; a value that is no tuple is the only one of its input.

    Raises InputError for an input without one.
    """
    values = {name: one if isinstance(one, tuple) else (one,) for name, one in (trials.values or {}).items()}
    for name in (name for name, options in values.items() if not options):
        raise InputError(f"input {name!r}: no value is given")
    return Wishes(values=values, ranges=trials.ranges or {}, likes=trials.likes or {})


def wished_sizes(spec: Sequence[TensorSpec], wishes: Wishes) -> dict[str, int]:
    """The symbols whose size follows from a list of values that the user gives for an input of one dimension."""
    found = {}
    for one in spec:
        lists = [value for value in wishes.values.get(one.name, ()) if _is_list(value)]
        if lists and len(one.shape) == 1 and isinstance(one.shape[0], str):
            found[one.shape[0]] = len(lists[0])  # type: ignore[arg-type]
    return found


def filled(spec: TensorSpec, shape: tuple[int, ...], value: Value) -> Array:
    """An input that holds one value everywhere, or a list of them along its only or last dimension."""
    dtype = numpy_dtype(spec.dtype)
    try:
        given = np.asarray(value, object if spec.dtype == "string" else None)
        if spec.dtype == "bool" and given.dtype.kind in "US":
            given = np.vectorize(_truth)(given)
        array = given.astype(dtype)
        if dtype is None or dtype.kind not in "iu" or bool((array == given).all()):
            return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"input {spec.name!r}: {value!r} is no {spec.dtype}{f' of shape {list(shape)}' if shape else ''}")


def _truth(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    return words[str(text).lower()]


def _is_list(value: Value) -> bool:
    return not isinstance(value, str) and isinstance(value, Sequence)
