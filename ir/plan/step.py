"""A step of a plan: what is done with one linear, and on what evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..brief import brief_line
from ..graph.recurrent import GATES
from ..reason import Reason
from ..record import shown
from .decomposition import Decomposition, PlanError
from .wanted import LoweringName

__all__ = ["DECIDED", "States", "Step", "byte_share", "common_rows"]

FIELD_TYPES: dict[str, tuple[type, ...]] = {  # of a step; a plan may have been edited by hand
    **dict.fromkeys(("node", "op", "weight", "dtype", "lowering"), (str,)),
    "reason": (Reason,),
    **dict.fromkeys(("components", "nonzeros", "dormant_inputs", "dormant_outputs"), (int, np.integer)),
    "giant": (float, int),
    "gain": (float, int, type(None)),
    "sha256": (str, type(None)),
}


DECIDED = ("node", "op", "shape", "lowering", "gain", "reason")  # what a notebook shows of each step
KINDS: dict[type, str] = {str: "text", int: "whole number", float: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The structure of a recurrent weight over its states, which are inputs and outputs at once.

    components: weakly connected ones; sccs: strongly connected ones; layers: of the condensation; giant: share of the
    states in the largest weak component. Raises PlanError when one of them is no number.
    """

    components: int
    sccs: int
    layers: int
    giant: float

    def __post_init__(self) -> None:
        for name in ("components", "sccs", "layers", "giant"):
            value = getattr(self, name)
            if not isinstance(value, (int, float) if name == "giant" else int) or isinstance(value, bool):
                raise PlanError(f"states: {name} is {shown(value)}, which is no number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the plan does with one linear, and on what evidence.

    node: address of the node, its name where that is unique; shape: canonical (K, N); sha256: of the canonical
    weight's bytes, present whenever there is something to split; components: independent blocks before small ones are
    merged; giant: share of all K + N features in the largest component; nonzeros: edges; gain: predicted dense time
    over lowered time, at its worst over its row counts; reason: why the lowering was chosen; states: the structure over
    shared states, where the weight is recurrent; extents: what its activations are like besides their features, for
    each batch of the plan, of a recurrent operator positions and batch, empty where that is not known; slices: matrices
    that the weight is made of, one for each pixel of a window or entry of a stack; an edge is one of any of them.

    An RNN, GRU or LSTM has a step for each direction, of shape (I + H, H): its inputs are the I features of X, then
    the H previous states, and a block owns the same units as previous states and as outputs. Its edges are those of
    all gates together, and `giant` is the share of its I + H nodes.
    """

    node: str
    op: str
    weight: str
    dtype: str
    shape: tuple[int, int]
    lowering: LoweringName
    decomposition: Decomposition
    components: int
    giant: float
    nonzeros: int
    dormant_inputs: int
    dormant_outputs: int
    reason: Reason
    gain: float | None = None
    sha256: str | None = None
    states: States | None = None
    extents: tuple[tuple[int, ...], ...] = ()
    slices: int = 1

    __repr__ = brief_line

    def __post_init__(self) -> None:
        for name, kinds in FIELD_TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise PlanError(f"{self.node}: {name!r} is {shown(value)}, which is no {KINDS.get(kinds[0], 'reason')}")
        if any(type(extent) is not int or extent < 1 for extents in self.extents for extent in extents):
            raise PlanError(f"{self.node}: extents are {shown(self.extents)}, which are no positive numbers")
        if type(self.slices) is not int or self.slices < 1:
            raise PlanError(f"{self.node}: slices is {shown(self.slices)}, which is no number of matrices")
        if self.lowering not in get_args(LoweringName):
            known = ", ".join(get_args(LoweringName))
            raise PlanError(f"{self.node}: unknown lowering {self.lowering!r}; use one of {known}")
        if self.decomposition.shape != self.shape:
            told = ["x".join(map(str, shape)) for shape in (self.decomposition.shape, self.shape)]
            raise PlanError(f"{self.node}: blocks are for shape {told[0]}, its weight has {told[1]}")
        if self.lowering != "dense" and self.sha256 is None:
            raise PlanError(f"{self.node}: a step that rewrites needs the SHA-256 of its weight; make a new plan")

    @property
    def rows(self) -> tuple[int, ...]:
        """Activation rows, for each batch of the plan: the products of its extents."""
        return tuple(math.prod(extents) for extents in self.extents)

    @property
    def parameters(self) -> int:
        """Entries of the dense weight, of all gates and slices together."""
        return self.shape[0] * self.shape[1] * GATES.get(self.op, 1) * self.slices

    @property
    def byte_share(self) -> float:
        """Bytes of the blocks' weights, of residual entries, and of the indices around them over those of the dense
        weight."""
        blocks = 0 if self.lowering == "split" else sum(sum(b.shape) for b in self.decomposition.blocks) * 8
        return byte_share(self.decomposition, blocks, self.dtype, GATES.get(self.op, 1))

    @property
    def density(self) -> float:
        """Edges over entries, 0 to 1."""
        return self.nonzeros / max(self.shape[0] * self.shape[1], 1)

    @property
    def degree(self) -> float:
        """Mean edges per feature; a random weight falls apart only below about 1 (percolation)."""
        return 2 * self.nonzeros / max(sum(self.shape), 1)


def byte_share(decomposition: Decomposition, index_bytes: int, dtype: str, gates: int = 1) -> float:
    """Bytes of the blocks' weights, of residual entries, and of `index_bytes` of indices over those of the dense
    weight.

    dtype: of a `Step`; gates: weights of the decomposition's shape that are read together.

    >>> from .decomposition import Block
    >>> byte_share(Decomposition((2, 2), (Block([0], [0]), Block([1], [1]))), 0, "float")
    0.5
    """
    itemsize = {"double": 8, "float": 4}.get(dtype, 2)
    K, N = decomposition.shape
    indices_ = index_bytes + 16 * len(decomposition.residual)
    return decomposition.mac_share + indices_ / max(K * N * gates * itemsize, 1)


def common_rows(steps: Iterable[Step]) -> tuple[int, ...]:
    """The activation rows of some linears together, each number once; the largest where they differ in one setting."""
    return tuple(dict.fromkeys(map(max, zip(*(step.rows for step in steps if step.rows), strict=False))))
