"""Random inputs that mean something: what each input stands for, where its readers or the user tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ort.tensor_spec import TensorSpec, numpy_dtype
from .inputs import draw, shape_of
from .likes import Seen, liked
from .meaning import Meaning
from .wishes import Wishes, filled

__all__ = ["STYLES", "draw_feed"]

Array = npt.NDArray[Any]
Feed = dict[str, Array]

TURNS = 12  # combinations of choices that trials go through one by one
GOLDEN = 0.618
CHANNELS = (1, 3, 4)
ENDS = 2  # of a range, that come in the first trials
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
            feed[one.name] = _ranged(one, shape, rng, wishes.ranges[one.name], trial)
        elif one.name in wishes.likes:
            seen = Seen(
                trial=trial,
                top=meaning.top(sizes) if meaning else max([1, *shape, *sizes.values()]),
                bound=(bounds or {}).get(one.name),
                picture=_picture(spec, sizes),
            )
            feed[one.name] = liked(feed[one.name], wishes.likes[one.name], rng, seen)
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
        return liked(drawn, "lengths", rng, Seen(trial=trial, top=meaning.top(sizes))), turn
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
    mask = liked(drawn, "mask", rng, Seen(trial=trial))
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


def _styled(drawn: Array, style: str) -> Array:
    return np.asarray(STYLED[style](drawn), drawn.dtype)


def _picture(spec: Sequence[TensorSpec], sizes: Mapping[str, int]) -> tuple[int, int] | None:
    """Height and width of the first picture among the inputs, whose channels are first or last."""
    for one in spec:
        if len(one.shape) == 4:
            shape = shape_of(one, sizes)
            return (shape[1], shape[2]) if one.shape[-1] in CHANNELS else (shape[2], shape[3])
    return None


def _ranged(
    spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, bounds: tuple[float, float], trial: int
) -> Array:
    """Numbers of a range, both ends included: the last of it comes first, and the first of it in the next trial."""
    low, high = bounds
    dtype = numpy_dtype(spec.dtype)
    whole = dtype is not None and dtype.kind in "iu"
    if whole:
        low, high = math.ceil(low), math.floor(high)
        made = np.asarray(rng.integers(low, high, shape, dtype=dtype, endpoint=True))
    else:
        made = np.asarray(rng.uniform(low, high, shape)).astype(dtype)
    if trial < ENDS and made.size:
        made.reshape(-1)[-trial] = (high, low)[trial]
    return made
