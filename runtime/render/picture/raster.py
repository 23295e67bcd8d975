"""An adjacency as pixels, in any order of its states: what is in each, pooled so that no edge is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels, Structure
from ....ir.relation import CHUNK, Relation

__all__ = [
    "COUPLING",
    "COUPLING_BLOCK",
    "EMPTY",
    "GROUP_BLOCK",
    "INNER",
    "PIXELS",
    "SHARED",
    "Raster",
    "RasterAxes",
    "blocks",
    "edges",
    "frame",
    "pool",
    "shares",
    "spans",
]

Raster = npt.NDArray[np.uint8]

# What a pixel shows, the greater one winning where there is more than one of them.
EMPTY, COUPLING_BLOCK, GROUP_BLOCK, COUPLING, INNER, SHARED = range(6)  # the last: an edge of a feature of many groups
PIXELS = 512
MOST_SHADED = 20_000  # coupling blocks that are shaded one by one; more of them fill the picture anyway
MOST_LISTED = 1 << 24  # couplings that are listed to find them


@dataclass(frozen=True, slots=True, eq=False)
class RasterAxes:
    """Which states are shown from top to bottom and from left to right, and the group that each state belongs to."""

    rows: Labels
    columns: Labels
    groups: Labels


def frame(structure: Structure, inputs: int | None = None, permuted: bool = True) -> RasterAxes:
    """All states against all in the new order or in their own, grouped into SCCs.

    inputs: of a bipartite graph, whose outputs are then shown against its inputs, grouped into components.
    """
    order = structure.order if permuted else np.arange(structure.size)
    if inputs is None:
        return RasterAxes(order, order, structure.scc)
    return RasterAxes(order[order >= inputs], order[order < inputs], structure.component)


def pool(size: int) -> int:
    """How many states share a row of pixels.

    >>> pool(18), pool(512), pool(513), pool(16384)
    (1, 1, 2, 32)
    """
    return max(1, -(-size // PIXELS))


def edges(adjacency: Relation, frame: RasterAxes) -> Raster:
    """INNER where there is an edge inside a group, else COUPLING where there is one, else EMPTY.

    Rows are unpacked from their bits a few at a time, so that nothing of the size of the matrix is made.
    """
    n = adjacency.shape[1]
    down, across = pool(frame.rows.size), pool(frame.columns.size)
    groups = frame.groups.astype(np.int32)
    above = groups[frame.columns]
    natural = bool(np.array_equal(frame.columns, np.arange(n)))
    raster = np.zeros((-(-frame.rows.size // down), -(-frame.columns.size // across)), np.uint8)
    step = max(1, CHUNK // max(n * down, 1))  # rows of pixels at a time
    for start in range(0, raster.shape[0], step):
        rows = frame.rows[start * down : (start + step) * down]
        octets = adjacency.words[rows].view(np.uint8)
        found = np.unpackbits(octets, axis=1, count=n, bitorder="little").view(bool)
        found = found if natural else found[:, frame.columns]
        inner = found & (groups[rows][:, None] == above)
        values = _pooled(found, down, across) * np.uint8(COUPLING)
        raster[start : start + step] = np.where(_pooled(inner, down, across), np.uint8(INNER), values)
    return raster


def shares(relation: Relation, rows: Labels, columns: Labels) -> npt.NDArray[np.float32]:
    """Which share of each pixel are edges, 0 to 1; rows, columns: in the order shown; unpacked as by `edges`."""
    n = relation.shape[1]
    down, across = pool(rows.size), pool(columns.size)
    natural = bool(np.array_equal(columns, np.arange(n)))
    tops, lefts = np.arange(0, rows.size, down), np.arange(0, columns.size, across)
    found = np.zeros((tops.size, lefts.size), np.float32)
    for at, top in enumerate(tops.tolist()):
        octets = relation.words[rows[top : top + down]].view(np.uint8)
        counts = np.unpackbits(octets, axis=1, count=n, bitorder="little").sum(axis=0, dtype=np.uint16)
        found[at] = np.add.reduceat(counts if natural else counts[columns], lefts, dtype=np.float32)
    heights, widths = np.diff(tops, append=rows.size), np.diff(lefts, append=columns.size)
    found /= heights[:, None] * widths
    return found


def _pooled(found: npt.NDArray[np.bool_], down: int, across: int) -> npt.NDArray[np.bool_]:
    """Whether there is any edge in each field of `down` rows and `across` columns."""
    if down > 1:
        found = np.logical_or.reduceat(found, np.arange(0, found.shape[0], down), axis=0)
    if across > 1 and found.shape[1]:
        found = np.logical_or.reduceat(found, np.arange(0, found.shape[1], across), axis=1)
    return found


def spans(labels: Labels) -> list[tuple[int, int, int]]:
    """(label, start, end) of each run of equal labels.

    >>> spans(np.array([4, 4, 7]))
    [(4, 0, 2), (7, 2, 3)]
    """
    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    ends = np.append(starts[1:], labels.size)
    return list(zip(labels[starts].tolist(), starts.tolist(), ends.tolist(), strict=True))


def blocks(structure: Structure, frame: RasterAxes) -> Raster:
    """GROUP_BLOCK where the rows and columns of a group meet, COUPLING_BLOCK where those of two coupled SCCs do.

    frame: of a permuted structure, in which groups lie together. Couplings between single states are left out: those
    blocks are the edges themselves.
    """
    down, across = pool(frame.rows.size), pool(frame.columns.size)
    raster = np.zeros((-(-frame.rows.size // down), -(-frame.columns.size // across)), np.uint8)
    rows = _reach(frame.groups[frame.rows], down)
    columns = _reach(frame.groups[frame.columns], across)
    if frame.groups is structure.scc:
        for target, source in _wide_couplings(structure):
            raster[slice(*rows[target]), slice(*columns[source])] = COUPLING_BLOCK
    for group in rows.keys() & columns.keys():
        raster[slice(*rows[group]), slice(*columns[group])] = GROUP_BLOCK
    return raster


def _reach(labels: Labels, share: int) -> dict[int, tuple[int, int]]:
    """The pixels that each group touches."""
    return {label: (start // share, (end - 1) // share + 1) for label, start, end in spans(labels)}


def _wide_couplings(structure: Structure) -> Any:
    """(target, source) of the couplings whose blocks are more than the edge itself."""
    if structure.condensation.count > MOST_LISTED:
        return []
    wide = np.bincount(structure.scc, minlength=structure.sccs) > 1
    couplings = structure.couplings()
    couplings = couplings[wide[couplings].any(axis=1)]
    return couplings.tolist() if len(couplings) <= MOST_SHADED else []
