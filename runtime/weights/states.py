"""The states of a weight and the edges between them, and the structure that they have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError
from ...ir.phase import phase
from ...ir.relation import CHUNK, Relation
from ...passes.connectivity.edges import relate
from .source import Weight, find_weight

if TYPE_CHECKING:
    from ...ir.findings.structure import Structure
    from ...ir.io.load import Source
    from ...passes.connectivity.digraph.structure import Engine, Order

__all__ = [
    "MOST_STATES",
    "Scope",
    "StateGraph",
    "StatesError",
    "find",
    "is_oversized",
    "shares_states",
    "states_of",
    "structure",
]

Scope = Literal["auto", "state", "operator"]
Array = npt.NDArray[Any]

MOST_STATES = 1 << 15  # the adjacency has a bit for every pair of states, and so has the condensation: 128 MiB each


class StatesError(ScissionError):
    """A weight that has no such states."""


@dataclass(frozen=True, slots=True, eq=False)
class StateGraph:
    """A digraph over the states of a weight; row i of the adjacency lists the in-edges of state i.

    inputs: None where rows and columns of the weight are the same states; else the states are those of the bipartite
    graph, first so many inputs and then the outputs.
    """

    name: str
    adjacency: Relation
    inputs: int | None = None

    @property
    def size(self) -> int:
        """Number of states."""
        return self.adjacency.shape[0]

    def label(self, state: int, first: int = 0) -> str:
        """What a state is called, counted from `first`.

        >>> StateGraph("w", Relation.of_rows((3, 3), []), inputs=2).label(2)
        'out 0'
        """
        if self.inputs is None:
            return str(state + first)
        return f"in {state + first}" if state < self.inputs else f"out {state - self.inputs + first}"


def structure(
    source: Source | Array,
    node: str | None = None,
    *,
    scope: Scope = "auto",
    paper: bool = False,
    threshold: float = 0.0,
    engine: Engine = "auto",
    device: str = "auto",
    order: Order = "isolated-last",
) -> Structure:
    """The structure of one weight: its strongly connected components, layers, weak components and permutation.

    source: a model as `scission.plan` takes it, a path as the command line takes it ('model.onnx:node', 'w.npy'), or
    a matrix with inputs in rows; node: address of a linear in the model; scope: 'state' takes rows and columns as the
    same states, 'operator' as inputs and outputs, 'auto' the first where the weight is square; paper: row i lists the
    in-edges of i instead; threshold: |w| above it is an edge, not zero by default; engine: 'auto', 'matrix', 'search',
    'graph' or 'bitset', which all find the same; device: that 'matrix' and 'search' run on; order: of states without
    edges in the permutation, 'isolated-last', or 'paper', its literal sort key. Raises WeightError when the weight
    cannot be read, AmbiguousError when it is one of several, StatesError when it has no such states or there is no such
    engine, DeviceError when there is no such device.

    >>> structure(np.array([[0.0, 1.0], [0.0, 0.0]])).layer.tolist()  # one edge, from state 0 to state 1
    [0, 1]
    """
    weight = find_weight(source, node)
    states = states_of(weight, scope=scope, paper=paper, threshold=threshold)
    return find(states, engine=engine, device=device, order=order)


def find(
    states: StateGraph, *, engine: Engine = "auto", device: str = "auto", order: Order = "isolated-last"
) -> Structure:
    """The structure of states, by the engine asked for. Raises StatesError for one that there is not."""
    from ...passes.connectivity.digraph import structure as verb

    try:
        with phase("structure"):
            return verb.structure(states.adjacency, engine=engine, device=device, order=order)
    except ScissionError:
        raise
    except ValueError as error:
        raise StatesError(f"{states.name}: {error}") from None


def states_of(weight: Weight, *, scope: Scope = "auto", paper: bool = False, threshold: float = 0.0) -> StateGraph:
    """The states of a weight; see `structure`. Raises StatesError when there are none such, or too many."""
    shared = shares_states(weight, scope)
    size = weight.matrix.shape[0] if shared else sum(weight.matrix.shape)
    if size > MOST_STATES:
        raise StatesError(
            f"{weight.name}: {size:,} states are more than the {MOST_STATES:,} that can be told one by one; "
            "count its components with the scope 'operator'"
        )
    into = weight.matrix if paper else weight.matrix.T  # row n: the edges into output n
    found = relate(into, check_threshold(threshold))
    if shared:
        return StateGraph(weight.name, found)
    return StateGraph(weight.name, Relation.of_rows((size, size), _beside(found)), into.shape[1])


def is_oversized(weight: Weight, scope: Scope) -> bool:
    """Whether a weight has more inputs and outputs than can be told one by one; their components can be counted."""
    return not shares_states(weight, scope) and sum(weight.matrix.shape) > MOST_STATES


def shares_states(weight: Weight, scope: Scope) -> bool:
    """Whether rows and columns are the same states. Raises StatesError when they are asked to be and cannot."""
    if scope not in get_args(Scope):
        raise StatesError(f"scope {scope!r} is none of {', '.join(get_args(Scope))}")
    if scope == "state" and not weight.square:
        shape = "x".join(map(str, weight.matrix.shape))
        raise StatesError(
            f"{weight.name}: a weight of {shape} has no states that are both input and output; use the scope 'operator'"
        )
    return weight.square if scope == "auto" else scope == "state"


def check_threshold(threshold: float) -> float:
    """The threshold itself. Raises StatesError unless it is a number from 0 up."""
    if not (math.isfinite(threshold) and threshold >= 0):
        raise StatesError(f"threshold {threshold} is no number from 0 up")
    return threshold


def _beside(into: Relation) -> Iterator[npt.NDArray[np.bool_]]:
    """Rows of the bipartite adjacency: no edge leads into an input, and outputs have edges from inputs only."""
    outputs, inputs = into.shape
    step = max(1, CHUNK // (inputs + outputs))
    for start in range(0, inputs, step):
        yield np.zeros((min(step, inputs - start), inputs + outputs), bool)
    for _, chunk in into.chunks():
        yield np.pad(chunk, ((0, 0), (0, outputs)))
