"""The units of a recurrent operator: which features and states belong together, and fewer, larger blocks of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.plan.grain import Grain
from ...ir.plan.plan import Block, Decomposition, States
from ..connectivity.bipartite import components
from ..connectivity.digraph.structure import structure
from ..connectivity.edges import edges
from .blocks import decompose, halves, merge
from .fingerprint import fingerprint
from .merging import balanced, width

__all__ = [
    *("HiddenBlock", "RecurrentAnalysis"),
    *("analyse_recurrent", "edges_of_both", "group_units"),
    *("hidden_block", "recurrent_hash", "states_of", "unit_groups"),
]

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
SMALLEST = 4  # units without edges that are put together at least


@dataclass(frozen=True, slots=True, eq=False)
class HiddenBlock:
    """A block of a recurrent operator: the features of X that it reads, and its hidden units."""

    features: Labels
    hidden: Labels

    @property
    def read(self) -> Labels:
        """The features to gather: the first one where the block needs none, since no operator reads nothing."""
        return self.features if self.features.size else np.zeros(1, np.int64)


def hidden_block(block: Block, features: int) -> HiddenBlock:
    """A block of a recurrent step as features and hidden units: its inputs are features first, then states."""
    return HiddenBlock(block.inputs[block.inputs < features], block.outputs)


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentAnalysis:
    """What the weights of one direction are like.

    decomposition: of shape (I + H, H), units without any edge in blocks of their own; count: components with an edge;
    giant: share of the I + H nodes in the largest of them; nonzeros: edges; dormant_features, dormant_units: those
    without any edge; states: the structure of R alone; sha256: of both weights and the direction, where there is
    something to split.
    """

    decomposition: Decomposition
    count: int
    giant: float
    nonzeros: int
    dormant_features: int
    dormant_units: int
    states: States
    sha256: str | None


def edges_of_both(W: Array, R: Array) -> Mask:
    """Edges of any gate, inputs in rows: features and previous states (I + H) to states (H).

    W: (gates, H, I); R: (gates, H, H).
    """
    return np.concatenate([_any_gate(W).T, _any_gate(R).T])


def _any_gate(weight: Array) -> Mask:
    """Where any gate has an edge, shape (H, width); one gate at a time, for they are large."""
    found = np.zeros(weight.shape[1:], bool)
    for gate in weight:
        found |= edges(gate)
    return found


def analyse_recurrent(W: Array, R: Array, direction: str) -> RecurrentAnalysis:
    """The blocks of one direction: the weak components of the graph of its features and hidden units.

    W: (gates, H, I); R: (gates, H, H). Hidden unit j as previous state and as output is one state. A unit without any
    edge still changes with its bias, so that it is computed as well.

    >>> W, R = np.zeros((1, 3, 2)), np.zeros((1, 3, 3))
    >>> W[0, 0, 1] = R[0, 1, 1] = 1
    >>> found = analyse_recurrent(W, R, "forward")
    >>> [(b.inputs.tolist(), b.outputs.tolist()) for b in found.decomposition.blocks]
    [([1, 2], [0]), ([3], [1]), ([4], [2])]
    """
    edges = edges_of_both(W, R)
    H, I = edges.shape[1], edges.shape[0] - edges.shape[1]  # noqa: E741 - the paper's and ONNX's names
    live: Mask = np.logical_or(edges.any(axis=0), edges[I:].any(axis=1))
    nonzeros = int(np.count_nonzero(edges))
    tied = edges.copy()
    tied[I + np.arange(H), np.arange(H)] = True  # a previous state and its output are in one component
    found = components(tied)
    blocks = [block for block in decompose(found).blocks if live[block.outputs].any()]
    sizes = [block.inputs.size for block in blocks]
    idle = np.flatnonzero(~live)
    decomposition = Decomposition((I + H, H), _with_idle(blocks, idle, I) if blocks else ())
    return RecurrentAnalysis(
        decomposition=decomposition,
        count=len(blocks),
        giant=max(sizes, default=0) / (I + H),
        nonzeros=nonzeros,
        dormant_features=int(np.count_nonzero(found.inputs[:I] < 0)),
        dormant_units=int(idle.size),
        states=states_of(edges[I:].T),
        sha256=recurrent_hash(W, R, direction) if blocks and decomposition.mac_share < 1 else None,
    )


def recurrent_hash(W: Array, R: Array, direction: str) -> str:
    """SHA-256 of both weights of a direction and its name, in hexadecimal."""
    return hashlib.sha256(" ".join([fingerprint(W), fingerprint(R), direction]).encode()).hexdigest()


def states_of(adjacency: Mask) -> States:
    """The structure of a weight over its states; row h lists the in-edges of state h."""
    found = structure(adjacency)
    return States(components=found.components, sccs=found.sccs, layers=found.layers, giant=round(found.giant, 6))


def _with_idle(blocks: Sequence[Block], idle: Labels, features: int) -> tuple[Block, ...]:
    """The same and units that have no edge, in blocks of their own of the usual size."""
    if not idle.size:
        return tuple(blocks)
    usual = int(np.median([block.outputs.size for block in blocks]))
    parts = np.array_split(idle, -(-idle.size // max(usual, SMALLEST)))
    found = [*blocks, *(Block(part + features, part) for part in parts)]
    return tuple(sorted(found, key=lambda block: int(block.inputs[0])))


def group_units(decomposition: Decomposition, features: int, count: int) -> Decomposition:
    """Merge the blocks of a recurrent step into at most `count` of about equal area; exact, only larger.

    Blocks whose features and units follow one another are merged with their neighbours and stay so; others go, largest
    first, to the group that is smallest so far (Graham, Bounds on Multiprocessing Timing Anomalies, 1969).
    """
    if len(decomposition.blocks) <= count:
        return decomposition
    return merge(decomposition, count, in_order=_in_order(decomposition, features))


def unit_groups(decomposition: Decomposition, features: int, grain: Grain) -> Iterator[Decomposition]:
    """The blocks of a recurrent step merged as a grain allows, halving numbers of them where nothing is asked for.

    A block is as wide as its inputs, features and states, or its units, and is never cut.
    """
    if grain.parts is not None:
        yield balanced(decomposition, grain.parts)
        return
    if grain.every:
        yield decomposition
        return
    for count in halves(len(decomposition.blocks)):
        made = group_units(decomposition, features, count)
        if grain.granularity is None or made is decomposition or width(made) <= grain.granularity:
            yield made


def _in_order(decomposition: Decomposition, features: int) -> bool:
    """Whether features and hidden units of the blocks follow one another without gaps, each in its own order."""
    units = [hidden_block(block, features) for block in decomposition.blocks]
    read = np.concatenate([block.features for block in units])
    hidden = np.concatenate([block.hidden for block in units])
    return read.size == features and bool((np.diff(read) == 1).all() and (np.diff(hidden) == 1).all())
