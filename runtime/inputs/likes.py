"""What an input may be like, in one word: ones, a mask, lengths, tokens, positions, a picture, sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

__all__ = ["LIKES", "Like", "Seen", "liked"]

Array: TypeAlias = "npt.NDArray[Any]"
Like: TypeAlias = Literal[
    "ones", "zeros", "mask", "lengths", "tokens", "positions", "image", "audio", "extents", "random"
]
LIKES: tuple[str, ...] = get_args(Like)

ZEROS = 0.15  # share of a mask
PADDED = 3  # every third mask hides the end of its rows instead of single entries
TOKENS = 100  # that there are where no table says how many
FAR = 64  # the first position at most, where no table says how many there are
BRIGHTEST = 255
TONES = 3  # sines of a sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a value is drawn by besides its own shape.

    trial: its number; top: the largest length; bound: the range [low, high) of what looks it up in a table, None where
    nothing does; picture: height and width of the picture among the inputs, None where there is none.
    """

    trial: int
    top: int = 1
    bound: tuple[int, int] | None = None
    picture: Sequence[int] | None = None


def liked(drawn: Array, like: str, rng: np.random.Generator, seen: Seen) -> Array:
    """A value of the shape and type of a drawn one that is like what one word says.

    A mask is all ones first, later with a few zeros or with a padded end; lengths lie between 1 and the longest, the
    first of them being that; tokens and positions stay within their table, and positions follow one another, first from
    0, then up to the last; a picture has whole bytes, or lies between 0 and 1; extents are the height and the width of
    the picture among the inputs.
    """
    if like == "random" or not drawn.size:
        return drawn
    made = np.asarray(DRAWN[like](drawn, rng, seen))
    return made.astype(drawn.dtype)


def _mask(drawn: Array, rng: np.random.Generator, seen: Seen) -> Array:
    if seen.trial and seen.trial % PADDED == 0 and drawn.ndim > 1:
        kept = rng.integers(1, drawn.shape[-1] + 1, (*drawn.shape[:-1], 1))
        return np.asarray(np.arange(drawn.shape[-1]) < kept)
    mask = np.ones(drawn.shape, bool) if seen.trial == 0 else rng.random(drawn.shape) >= ZEROS
    if seen.trial and mask.size > 3 and mask.all():
        mask.reshape(-1)[-1] = False
    if mask.ndim:
        mask[..., 0] = True  # nothing left to see would be NaN
    return mask


def _lengths(drawn: Array, rng: np.random.Generator, seen: Seen) -> Array:
    lengths = np.asarray(rng.integers(1, seen.top + 1, drawn.shape))
    lengths.reshape(-1)[:1] = seen.top
    return lengths


def _tokens(drawn: Array, rng: np.random.Generator, seen: Seen) -> Array:
    return drawn if seen.bound is not None else np.asarray(rng.integers(0, TOKENS, drawn.shape))


def _positions(drawn: Array, rng: np.random.Generator, seen: Seen) -> Array:
    """Positions that follow one another along the last axis."""
    count = drawn.shape[-1] if drawn.ndim else 1
    low, high = seen.bound or (0, count + FAR)
    last = max(high - count, low)
    first = low if seen.trial == 0 else last if seen.trial == 1 else int(rng.integers(low, last + 1))
    return np.broadcast_to(np.minimum(first + np.arange(count), max(high - 1, low)), drawn.shape or (1,)).reshape(
        drawn.shape
    )


def _image(drawn: Array, rng: np.random.Generator, _: Seen) -> Array:
    if drawn.dtype.kind in "iu":
        return np.asarray(rng.integers(0, min(BRIGHTEST, np.iinfo(drawn.dtype).max), drawn.shape, endpoint=True))
    return np.asarray(rng.random(drawn.shape, np.float32))


def _audio(drawn: Array, rng: np.random.Generator, _: Seen) -> Array:
    """A few tones that are nowhere louder than 1, and some noise."""
    count = drawn.shape[-1] if drawn.ndim else 1
    pitch = rng.uniform(0.01, 1, (*drawn.shape[:-1], TONES, 1))
    tones = np.sin(pitch * np.arange(count)).mean(axis=-2).reshape(drawn.shape)
    loud = np.clip(0.8 * tones + 0.05 * rng.standard_normal(drawn.shape), -1, 1)
    return np.asarray(loud * np.iinfo(drawn.dtype).max if drawn.dtype.kind in "iu" else loud)


def _extents(drawn: Array, _: np.random.Generator, seen: Seen) -> Array:
    sizes = list(seen.picture or (1,))
    entries = [sizes[place % len(sizes)] for place in range(drawn.shape[-1] if drawn.ndim else 1)]
    return np.broadcast_to(np.array(entries), drawn.shape or (1,)).reshape(drawn.shape)


DRAWN: dict[str, Callable[[Array, np.random.Generator, Seen], Array]] = {
    "ones": lambda drawn, *_: np.ones(drawn.shape, bool),
    "zeros": lambda drawn, *_: np.zeros(drawn.shape, bool),
    "mask": _mask,
    "lengths": _lengths,
    "tokens": _tokens,
    "positions": _positions,
    "image": _image,
    "audio": _audio,
    "extents": _extents,
}
