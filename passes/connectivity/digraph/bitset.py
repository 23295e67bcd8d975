"""The node table by depth-first search over bit sets: a set of states is one integer, a row of the adjacency another.

Dense graphs mostly have one giant SCC, which two searches find at once. In all others every step handles a whole row,
so a dense graph costs n^2 / 64 word operations, however many edges it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels, Parts
from ....ir.relation import Relation, columns_of
from ..bipartite import by_smallest_member, weak

__all__ = ["by_bitset", "giant_scc"]

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Bits: TypeAlias = "npt.NDArray[np.uint64]"
FEW = 24  # in-edges that are looked at one by one
LEVELS = 16  # of the search for a giant component; a small-world graph needs two or three


def by_bitset(relation: Relation, giant: Mask | None = None) -> Parts:
    """SCCs, condensation, layers and weak components of an adjacency (n, n), row i the in-edges of i.

    giant: from `giant_scc`, where that was computed already. Path-based search (Gabow, Path-based depth-first search
    for strong and biconnected components, 2000).
    """
    n = relation.shape[0]
    if not n:
        empty = np.empty(0, np.int64)
        return Parts(empty, empty, empty, relation)
    groups = _strong(relation, giant_scc(relation) if giant is None else giant)
    first = np.arange(n)
    for members in groups:
        if members.size > 1:
            first[members] = members[0]
    scc = by_smallest_member(first)
    emitted = scc[[int(members[0]) for members in groups]]
    condensation = _condense(relation, scc, groups, emitted)
    return Parts(scc, weak(condensation), _layers(condensation, emitted), condensation)


def _strong(relation: Relation, giant: Mask) -> list[Labels]:
    """The members of every SCC, sorted; an SCC comes after all that have an edge into it."""
    n = relation.shape[0]
    words = relation.words
    everything = (1 << n) - 1
    giant_mask = _integer(np.packbits(giant, bitorder="little"))
    giant_rows = _integer(np.bitwise_or.reduce(words[giant], axis=0)) if giant.any() else 0
    if giant_mask == everything:
        return [np.arange(n)]
    found: list[Labels] = []
    unvisited = everything
    # A segment is a set of states known to reach one another, and the sources of edges into it.
    segments: list[tuple[int, int]] = []
    on_path = 0
    while unvisited or segments:
        if not segments:
            low = unvisited & -unvisited
            mask, sources = _segment(low, words, giant_mask, giant_rows)
            unvisited &= ~mask
            on_path |= mask
            segments.append((mask, sources))
        mask, sources = segments[-1]
        if next_ := sources & unvisited:
            step = _segment(next_ & -next_, words, giant_mask, giant_rows)
            unvisited &= ~step[0]
            on_path |= step[0]
            segments.append(step)
        elif sources & on_path & ~mask:  # back to an earlier segment: everything since then is one SCC
            segments.pop()
            below = segments[-1]
            segments[-1] = (below[0] | mask, below[1] | sources)
        else:
            segments.pop()
            on_path &= ~mask
            found.append(_members(mask, n))
    return found


def _segment(bit: int, words: Bits, giant_mask: int, giant_rows: int) -> tuple[int, int]:
    if bit & giant_mask:
        return giant_mask, giant_rows
    return bit, _integer(words[bit.bit_length() - 1])


def _integer(array: npt.NDArray[Any]) -> int:
    return int.from_bytes(array.tobytes(), "little")


def _members(mask: int, n: int) -> Labels:
    if not mask & (mask - 1):
        return np.array([mask.bit_length() - 1])
    octets = np.frombuffer(mask.to_bytes(-(-n // 8), "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(octets, count=n, bitorder="little"))


def giant_scc(relation: Relation) -> Mask:
    """The SCC of the state with the most in-edges, (n,) Boolean; nothing when a search takes too many levels.

    One search against the edges, by unions of rows, then one along them, by the rows that touch what is reached.
    """
    words, n = relation.words, relation.shape[0]
    pivot = int(np.argmax(np.bitwise_count(words).sum(1, dtype=np.int64)))
    behind = np.zeros(n, bool)
    behind[pivot] = True
    frontier = np.array([pivot])
    union = np.zeros(words.shape[1], np.uint64)
    for _ in range(LEVELS):
        union |= np.bitwise_or.reduce(words[frontier], axis=0)
        reached = np.zeros(n, bool)
        reached[columns_of(union, n)] = True
        frontier = np.flatnonzero(reached & ~behind)
        behind |= reached
        if not frontier.size:
            break
    else:
        return np.zeros(n, bool)
    found = np.zeros(n, bool)
    found[pivot] = True
    fresh = found.copy()
    # Only states that reach the pivot can be in its SCC, and a path from it to one of them stays among them.
    waiting = np.flatnonzero(behind & ~found)
    for _ in range(LEVELS):
        mask = _words(fresh, words.shape[1])
        used = np.flatnonzero(mask)
        hit = (words[waiting[:, None], used] & mask[used]).any(axis=1)
        if not hit.any():
            return found
        fresh = np.zeros(n, bool)
        fresh[waiting[hit]] = True
        found |= fresh
        waiting = waiting[~hit]
    return np.zeros(n, bool)


def _words(states: Mask, count: int) -> Bits:
    octets = np.zeros(count * 8, np.uint8)
    packed = np.packbits(states, bitorder="little")
    octets[: packed.size] = packed
    return octets.view(np.uint64)


def _condense(relation: Relation, scc: Labels, groups: list[Labels], emitted: Labels) -> Relation:
    """Edges between different SCCs; row s lists the SCCs with an edge into s."""
    r = len(groups)
    if r == 1:
        return Relation.of_rows((1, 1), [np.zeros((1, 1), bool)])
    by_scc = sorted(zip(emitted.tolist(), groups, strict=True))
    leaders = np.array([int(members[0]) for _, members in by_scc])
    large = [(s, members) for s, members in by_scc if members.size > 1]
    words = relation.words
    if large:
        words = words[leaders]
        for s, members in large:
            words[s] = np.bitwise_or.reduce(relation.words[members], axis=0)
    rows = Relation(words, (r, relation.shape[1]), 0)

    def chunks() -> Iterator[Mask]:
        for start, chunk in rows.chunks():
            part = chunk[:, leaders] if large else chunk
            for s, members in large:
                part[:, s] = chunk[:, members].any(axis=1)
            at = np.arange(len(part))
            part[at, start + at] = False
            yield part

    return Relation.of_rows((r, r), chunks())


def _layers(condensation: Relation, emitted: Labels) -> Labels:
    """The layer of every SCC, in an order in which each comes after all that have an edge into it."""
    layer = np.zeros(emitted.size, np.int64)
    known = [0] * emitted.size
    masks = [0]  # the SCCs of each layer
    for s in emitted.tolist():
        sources = _integer(row := condensation.words[s])
        if not sources:
            deepest = -1
        elif sources.bit_count() <= FEW:
            deepest = 0
            while sources:
                low = sources & -sources
                deepest = max(deepest, known[low.bit_length() - 1])
                sources ^= low
        else:  # many sources: one of them is likely to be in one of the last layers
            tried = range(len(masks) - 1, max(len(masks) - 1 - FEW // 2, -1), -1)
            deepest = next((depth for depth in tried if sources & masks[depth]), -1)
            if deepest < 0:
                deepest = int(layer[columns_of(row, emitted.size)].max())
        known[s] = layer[s] = deepest + 1
        if deepest + 2 > len(masks):
            masks.append(0)
        masks[deepest + 1] |= 1 << s
    return layer
