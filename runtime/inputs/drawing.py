"""Random inputs that mean something: what each input stands for, where its readers or the user tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ...ir.errors import option
from ..ort.tensor_spec import TensorSpec, numpy_dtype
from .inputs import InputError, draw, shape_of
from .meaning import Meaning

if TYPE_CHECKING:
    from ..ort.trials import Trials

__all__ = ["LIKES", "STYLES", "Like", "Value", "Wishes", "draw_feed", "filled", "wished_sizes", "wishes_of"]

Array = npt.NDArray[Any]
Feed = dict[str, Array]
Like = Literal["ones", "zeros", "mask", "lengths", "random"]
LIKES: tuple[str, ...] = get_args(Like)
Value: TypeAlias = "int | float | bool | str | Sequence[int | float | bool | str]"

VALUE = option("values", flag="--value")
ZEROS = 0.15  # share of a mask
TURNS = 12  # combinations of choices that trials go through one by one
GOLDEN = 0.618
COUNT = (2, 5)  # a trip count: a second step is another thing than a first
STYLED: dict[str, Callable[[Array], Array]] = {  # what floats are like, from trial to trial of a search
    "normal": np.asarray,
    "large": lambda x: x * 10,
    "zeros": np.zeros_like,
    "positive": np.abs,
    "negative": lambda x: -np.abs(x),
    "ones": np.ones_like,
    "small": lambda x: x * 0.01,
}
STYLES = tuple(STYLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of inputs by name: values that trials take in turn, inclusive ranges, what they are like."""

    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    likes: Mapping[str, str] = field(default_factory=dict)

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
        for name, like in self.likes.items():
            if like not in LIKES:
                raise InputError(f"input {name!r} cannot be like {like!r}; it can be like {', '.join(LIKES)}")
            if known[name].dtype == "string":
                raise InputError(f"input {name!r} is text; give it with ", VALUE)


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


def draw_feed(
    spec: Sequence[TensorSpec],
    rng: np.random.Generator,
    sizes: Mapping[str, int],
    *,
    trial: int = 0,
    bounds: Mapping[str, tuple[int, int]] | None = None,
    meant: Mapping[str, Meaning] | None = None,
    wishes: Wishes | None = None,
    style: str = "normal",
) -> Feed:
    """One value for each input, as `draw` makes it unless its meaning or the user's wish says otherwise.

    Choices and conditions go through their values from trial to trial, in all combinations; where these are too many,
    each goes through its own values first, and then combinations come far from one another; lengths lie between 1 and
    what they count, the first being as long as that; masks are ones with a few zeros; counts are at least 2, and in
    every other trial as many as a body tells apart; ends reach all of what they cut first, indices the last entry next;
    what is optional is left out of every other trial.
    style: how floats are, one of `STYLES`. Raises InputError as `draw` does, and for a value that its type cannot hold.
    """
    wishes, meant = wishes or Wishes(), meant or {}
    held, turn = wishes.at(trial), trial // max(wishes.ways, 1)
    choices = [len(one.values) or 2 for one in meant.values() if one.kind in ("choice", "condition")]
    first = math.prod(choices) > TURNS and turn < max(choices)  # each goes through its own values
    if math.prod(choices) > TURNS and not first:
        turn = _spread(turn - max(choices), math.prod(choices))
    absent = {one.name for one in spec if one.optional and one.name not in held and trial % 2}
    feed = draw(spec, rng, sizes, bounds)
    if trial == 1:
        for name, (_, high) in (bounds or {}).items():
            if name in feed and feed[name].size and _holds(feed[name].dtype, high - 1):
                feed[name].reshape(-1)[-1] = high - 1
    for one in spec:
        shape = shape_of(one, sizes)
        meaning = meant.get(one.name)
        if one.name in held:
            feed[one.name] = filled(one, shape, held[one.name])
        elif one.name in wishes.ranges:
            feed[one.name] = _ranged(one, shape, rng, wishes.ranges[one.name])
        elif one.name in wishes.likes:
            top = max([1, *shape, *sizes.values()]) if not meaning else meaning.top(sizes)
            feed[one.name] = _liked(feed[one.name], wishes.likes[one.name], rng, trial, top)
        elif meaning is not None and one.name not in (bounds or {}):
            feed[one.name], turn = _meant(
                one, feed[one.name], meaning, rng, sizes, trial, trial // max(wishes.ways, 1) if first else turn
            )
        elif style != "normal" and feed[one.name].dtype.kind == "f":
            feed[one.name] = _styled(feed[one.name], style)
    return {name: array for name, array in feed.items() if name not in absent}


def _spread(place: int, count: int) -> int:
    """One of `count` numbers at a place of an order that takes all of them once, each far from the one before.

    >>> [_spread(place, 8) for place in range(8)]
    [0, 5, 2, 7, 4, 1, 6, 3]
    """
    step = next(one for one in range(max(round(count * GOLDEN), 1), count + 2) if math.gcd(one, count) == 1)
    return place * step % count


def _holds(dtype: np.dtype[Any], number: int) -> bool:
    """Whether a type holds a whole number as it is: an index may come as a float."""
    return number <= np.iinfo(dtype).max if dtype.kind in "iu" else int(np.asarray(number).astype(dtype)) == number


def _meant(
    spec: TensorSpec,
    drawn: Array,
    meaning: Meaning,
    rng: np.random.Generator,
    sizes: Mapping[str, int],
    trial: int,
    turn: int,
) -> tuple[Array, int]:
    """The value of an input by its meaning, and the turn of the choices that follow."""
    if meaning.kind in ("choice", "condition"):
        options = meaning.values or (True, False)
        if drawn.size == 1:
            return filled(spec, drawn.shape, options[turn % len(options)]), turn // len(options)
        chosen = np.array(options, drawn.dtype)[rng.integers(0, len(options), drawn.shape)]
        if drawn.dtype.kind != "f":
            return chosen, turn
        some = rng.random(drawn.shape) < (trial % 2) / 2  # every other trial has none: a maximum would show it always
        return np.where(some, chosen, drawn).astype(drawn.dtype), turn
    if meaning.kind == "length" and drawn.size == 1 and trial % 2:
        return np.asarray(rng.integers(1, meaning.top(sizes) + 1, drawn.shape), drawn.dtype), turn
    if meaning.kind == "length":
        return _liked(drawn, "lengths", rng, trial, meaning.top(sizes)), turn
    if meaning.kind == "ratio":
        ratios = np.asarray(rng.uniform(0.1, 1, drawn.shape))
        ratios.reshape(-1)[:1] = 1
        return ratios.astype(drawn.dtype), turn
    if meaning.kind == "count":
        count = np.asarray(rng.integers(*COUNT, drawn.shape))
        most = meaning.values[0] if meaning.values and trial % 2 == 0 else 0
        return np.asarray(np.maximum(count, most), drawn.dtype), turn
    if meaning.kind in ("end", "index", "split") and drawn.dtype.kind in "iu":
        return _pointing(drawn, meaning, rng, sizes, trial), turn
    mask = _liked(drawn, "mask", rng, trial, 1)
    return (mask if meaning.kind == "mask" else (1 - mask.astype(np.int8)).astype(drawn.dtype)), turn


def _pointing(drawn: Array, meaning: Meaning, rng: np.random.Generator, sizes: Mapping[str, int], trial: int) -> Array:
    """Positions within what they point into; every third trial stays near its beginning, as some models must."""
    tops = np.asarray(meaning.tops(sizes))
    near = trial % 3 == 2
    if meaning.kind == "split":
        count = drawn.size
        parts = rng.multinomial(tops[0], [1 / max(count, 1)] * max(count, 1))
        even = np.diff(np.linspace(0, tops[0], count + 1).astype(int))
        return (even if trial % 2 == 0 else parts[:count]).astype(drawn.dtype).reshape(drawn.shape)
    if meaning.kind == "end":
        ends = np.clip(drawn, 1, tops) if near else rng.integers(1, tops + 1, drawn.shape)
        return np.array(np.broadcast_to(tops, drawn.shape) if trial == 0 else ends, drawn.dtype)
    indices = np.array(np.minimum(drawn, tops - 1) if near else rng.integers(0, tops, drawn.shape))
    if trial < 2 and indices.ndim and meaning.each:
        indices[...] = trial * (tops - 1)
    elif trial < 2 and indices.size:
        indices.reshape(-1)[0 if trial == 0 else -1] = trial * (tops[0] - 1)
    return np.asarray(indices, drawn.dtype)


def _liked(drawn: Array, like: str, rng: np.random.Generator, trial: int, top: int) -> Array:
    if like == "random":
        return drawn
    if like in ("ones", "zeros"):
        return np.full(drawn.shape, like == "ones").astype(drawn.dtype)
    if like == "lengths":
        lengths = np.asarray(rng.integers(1, top + 1, drawn.shape))
        lengths.reshape(-1)[:1] = top
        return lengths.astype(drawn.dtype)
    mask = np.ones(drawn.shape, bool) if trial == 0 else rng.random(drawn.shape) >= ZEROS
    if trial and mask.size > 3 and mask.all():
        mask.reshape(-1)[-1] = False
    if mask.ndim and mask.size:
        mask[..., 0] = True  # nothing left to see would be NaN
    return mask.astype(drawn.dtype)


def _styled(drawn: Array, style: str) -> Array:
    return np.asarray(STYLED[style](drawn), drawn.dtype)


def _ranged(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, bounds: tuple[float, float]) -> Array:
    low, high = bounds
    dtype = numpy_dtype(spec.dtype)
    if dtype is not None and dtype.kind in "iu":
        info = np.iinfo(dtype)
        first, last = math.ceil(low), math.floor(high)
        if first > last or first < info.min or last > info.max:
            raise InputError(f"input {spec.name!r}: no {spec.dtype} lies in {low:g}:{high:g}")
        return np.asarray(rng.integers(first, last, shape, dtype=dtype, endpoint=True))
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


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
