"""The pattern of a weight as a small picture: where its edges are, as it is stored and group by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.plan.decomposition import Decomposition
from ....ir.relation import Relation
from ..picture import raster
from ..picture.canvas import COLOURS, PALEST
from ..picture.cover_layout import Arrangement, arrange, joined, mark, places_of, shade
from .png import Colour, png

__all__ = ["Pattern", "as_stored", "grouped", "magnitudes"]

Rgb = tuple[int, int, int]

LEVELS = 16  # of shade
THUMB = 128  # pixels of a picture of magnitudes, which compresses badly
MOST_FRAMES = 300
THINNEST = 1 / 300  # of the picture: a narrower frame would hide what is in it
BACKGROUNDS = (raster.EMPTY, raster.COUPLING_BLOCK, raster.GROUP_BLOCK)
EDGES = (raster.COUPLING, raster.INNER, raster.SHARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A picture of a weight (K, N): outputs from top to bottom, inputs from left to right.

    png: a file, transparent where there is nothing; frames: (left, top, width, height) of each run of inputs of each
    group, in features; extent: (width, height) in features that the pixels cover, of which the last may reach beyond;
    shown: what the shade means.
    """

    png: bytes
    inputs: int
    outputs: int
    frames: tuple[tuple[int, int, int, int], ...]
    extent: tuple[int, int]
    shown: str


def as_stored(by_output: Relation) -> Pattern:
    """The edges where they are stored; by_output: row n lists the inputs that output n reads.

    >>> found = as_stored(Relation.of_rows((2, 3), [np.eye(2, 3, dtype=bool)]))
    >>> found.inputs, found.outputs, found.frames
    (3, 2, ())
    """
    N, K = by_output.shape
    return _pattern(by_output, Arrangement(np.arange(N), np.arange(K), ()), ())


def grouped(by_output: Relation, decomposition: Decomposition) -> Pattern:
    """The edges with groups of outputs, or of inputs where groups are split-K, side by side, a frame around each.

    >>> found = grouped(Relation.of_rows((2, 2), [np.eye(2, dtype=bool)]), Decomposition((2, 2), ()))
    >>> found.frames
    ()
    """
    return _pattern(by_output, arrange(decomposition), decomposition.residual)


def magnitudes(weight: npt.NDArray[Any]) -> Pattern:
    """The mean |w| of each part of a weight (K, N) without any zero, whose edges would be one full square."""
    K, N = weight.shape
    down, across = -(-N // THUMB), -(-K // THUMB)
    tops, lefts = np.arange(0, N, down), np.arange(0, K, across)
    means = np.empty((tops.size, lefts.size), np.float32)
    for at, top in enumerate(tops.tolist()):  # a few outputs at a time, so that nothing of the weight's size is made
        part = np.abs(weight[:, top : top + down].astype(np.float32, copy=False)).mean(axis=1)
        means[at] = np.add.reduceat(part, lefts) / np.diff(lefts, append=K)
    means = np.nan_to_num(means, nan=0.0, posinf=0.0)
    most = float(np.quantile(means, 0.99)) or 1.0
    levels = np.clip(means / most * (LEVELS - 1), 0, LEVELS - 1).round().astype(np.uint8)
    blue = _rgb(COLOURS[raster.INNER])
    palette = [(*blue, round(255 * level / (LEVELS - 1))) for level in range(LEVELS)]
    return Pattern(
        png=png(levels, palette),
        inputs=K,
        outputs=N,
        frames=(),
        extent=(lefts.size * across, tops.size * down),
        shown="mean |w|, darker is larger",
    )


def _pattern(by_output: Relation, arranged: Arrangement, residual: tuple[tuple[int, int], ...]) -> Pattern:
    N, K = by_output.shape
    shares = raster.shares(by_output, arranged.outputs, arranged.inputs)
    blocks = shade(arranged)
    places = places_of(arranged, residual) // np.array([raster.pool(N), raster.pool(K)])
    edges = mark(shares, blocks, places)
    levels = np.where(edges == raster.COUPLING, LEVELS - 1, np.ceil(shares * (LEVELS - 1))).astype(np.uint8)
    behind = np.searchsorted(BACKGROUNDS, blocks)
    ahead = np.searchsorted(EDGES, edges)
    numbers = len(BACKGROUNDS) + (behind * len(EDGES) + ahead) * LEVELS + levels
    frames = [(left, top, right - left, bottom - top) for top, bottom, left, right in joined(arranged)]
    wide = [one for one in frames if one[2] > THINNEST * K and one[3] > THINNEST * N]
    return Pattern(
        png=png(np.where(edges == raster.EMPTY, behind, numbers).astype(np.uint8), PALETTE),
        inputs=K,
        outputs=N,
        frames=tuple(wide) if len(wide) <= MOST_FRAMES else (),
        extent=(edges.shape[1] * raster.pool(K), edges.shape[0] * raster.pool(N)),
        shown="edges, darker where there are more",
    )


def _rgb(colour: str) -> Rgb:
    """Red, green and blue of '#rrggbb'."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _palette() -> list[Colour]:
    """The backgrounds, then each kind of edge on each of them in all shades; the page shines through what is not full,
    so that a dark page has dark pictures."""
    found: list[Colour] = [(*colour, round(255 * tint)) for colour, tint in TINTS]
    for colour, tint in TINTS:
        for kind in EDGES:
            for level in range(LEVELS):
                strength = PALEST + (1 - PALEST) * level / (LEVELS - 1)
                found.append(_over(_rgb(COLOURS[kind]), strength, colour, tint))
    return found


def _over(above: Rgb, strength: float, below: Rgb, tint: float) -> Colour:
    """One colour over another, both with an opacity from 0 to 1 (Porter and Duff, Compositing Digital Images, 1984)."""
    rest = tint * (1 - strength)
    opacity = strength + rest
    red, green, blue = (round((strength * a + rest * b) / opacity) for a, b in zip(above, below, strict=True))
    return red, green, blue, round(255 * opacity)


_INK = _rgb(COLOURS[raster.INNER])
TINTS = ((_INK, 0.0), (_rgb(COLOURS[raster.COUPLING]), 0.17), (_INK, 0.17))  # on white the colours of the panels
PALETTE = _palette()
