"""Blocks and decompositions: which features of one linear belong together, and how that is written down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..brief import brief, brief_line
from ..errors import ScissionError
from ..record import shown

__all__ = [
    *("Block", "Decomposition", "Indices", "PlanError"),
    *("LARGEST", "LONGEST_RANGE", "RANGE", "from_ranges", "in_order", "indices", "runs_of", "to_ranges"),
]

Indices = npt.NDArray[np.int64]
RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", re.ASCII)
LARGEST = 1 << 26  # features of a weight; more than any has, and few enough to count
LONGEST_RANGE = 64  # characters; Python refuses to read a number of thousands of digits


class PlanError(ScissionError):
    """A plan that is malformed, contradicts itself, or was made for another model."""


def indices(values: Iterable[int] | npt.NDArray[Any]) -> Indices:
    """Sorted feature indices as a read-only int64 vector; raises PlanError on duplicates or negatives."""
    array = np.array(values if isinstance(values, np.ndarray) else list(values), dtype=np.int64).reshape(-1)
    if array.size and (array[0] < 0 or (np.diff(array) <= 0).any()):
        raise PlanError("feature indices must be non-negative, sorted and distinct")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One independent sub-operator: the sorted input and output features that it owns.

    Raises PlanError when indices are negative, unsorted or repeated, or when a block has no output.

    >>> Block([0, 2], [1]).shape
    (2, 1)
    """

    inputs: Indices
    outputs: Indices

    __repr__ = brief_line

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", indices(self.inputs))
        object.__setattr__(self, "outputs", indices(self.outputs))
        if not self.outputs.size or not self.inputs.size:
            raise PlanError("a block needs at least one input and one output")

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""
        return self.inputs.size, self.outputs.size

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Block)
            and np.array_equal(self.inputs, other.inputs)
            and np.array_equal(self.outputs, other.outputs)
        )

    def __hash__(self) -> int:
        return hash((self.inputs.tobytes(), self.outputs.tobytes()))


@dataclass(frozen=True)
class Decomposition:
    """All blocks of one linear of shape (K, N); what no block owns is dormant.

    Blocks are rectangles, one a sub-operator (paper 4.4), and no entry lies in two. Outputs belong to one block; blocks
    that are connected components share no input either, while those of a cover read whatever their outputs need. Where
    blocks are `split_k` it is the other way round: inputs belong to one block, outputs may belong to several, whose
    results are added. residual: single entries (k, n) outside every block, computed apart, also of outputs
    that no block owns. layers: where the groups are
    those of a block-triangular form, the first and the last layer of each. Raises PlanError when an output, or an input
    of split-K blocks, belongs to two blocks, an index is out of range, a residual entry lies inside a block or comes
    twice, or there are not as many layers as blocks.

    >>> d = Decomposition((3, 2), (Block([0, 2], [1]),))
    >>> d.dormant_inputs.tolist(), d.dormant_outputs.tolist(), d.mac_share
    ([1], [0], 0.3333333333333333)
    """

    shape: tuple[int, int]
    blocks: tuple[Block, ...]
    layers: tuple[tuple[int, int], ...] = ()
    split_k: bool = False
    residual: tuple[tuple[int, int], ...] = ()

    __repr__ = brief

    def __post_init__(self) -> None:
        K, N = self.shape
        if self.layers and len(self.layers) != len(self.blocks):
            raise PlanError(f"{len(self.layers)} ranges of layers for {len(self.blocks)} blocks")
        if any(not 0 <= first <= last for first, last in self.layers):
            raise PlanError("a block's layers run backwards")
        if any(block.inputs[-1] >= K or block.outputs[-1] >= N for block in self.blocks):
            raise PlanError(f"a block reaches outside the weight of shape {K}x{N}")
        own, size = ("input", K) if self.split_k else ("output", N)
        uses = _counted(size, [b.inputs if self.split_k else b.outputs for b in self.blocks])
        if (uses > 1).any():
            raise PlanError(f"{own} {int(np.argmax(uses > 1))} belongs to two blocks")
        if self.residual:
            self._check_residual()

    def _check_residual(self) -> None:
        K, N = self.shape
        if len(set(self.residual)) < len(self.residual):
            raise PlanError("a residual entry is there twice")
        for k, n in self.residual:
            if not (0 <= k < K and 0 <= n < N):
                raise PlanError(f"the residual entry [{k}, {n}] lies outside the weight of shape {K}x{N}")
        at, owned = (0, "inputs") if self.split_k else (1, "outputs")
        owner = np.full(self.shape[at], -1)
        for index, block in enumerate(self.blocks):
            owner[getattr(block, owned)] = index
        for entry in self.residual:
            own = int(owner[entry[at]])
            parts = self.blocks[own : own + 1] if own >= 0 else ()
            if any(entry[1 - at] in (block.outputs if self.split_k else block.inputs) for block in parts):
                raise PlanError(f"the residual entry {shown(entry)} lies inside a block and would count twice")

    @cached_property
    def dormant_inputs(self) -> Indices:
        """Inputs that no block reads."""
        return indices(np.flatnonzero(_counted(self.shape[0], [b.inputs for b in self.blocks]) == 0))

    @cached_property
    def dormant_outputs(self) -> Indices:
        """Outputs that no block writes: the zero channel."""
        return indices(np.flatnonzero(_counted(self.shape[1], [b.outputs for b in self.blocks]) == 0))

    @cached_property
    def shared(self) -> Indices:
        """Inputs that several blocks read, or where blocks are `split_k` outputs that several write."""
        size = self.shape[self.split_k]
        parts = [b.outputs if self.split_k else b.inputs for b in self.blocks]
        return indices(np.flatnonzero(_counted(size, parts) > 1))

    def inside(self) -> npt.NDArray[np.bool_]:
        """The Boolean matrix (K, N) of the entries inside the blocks, and of the residual entries."""
        mask = np.zeros(self.shape, bool)
        for block in self.blocks:
            mask[np.ix_(block.inputs, block.outputs)] = True
        if self.residual:
            mask[tuple(np.array(self.residual).T)] = True
        return mask

    @property
    def mac_share(self) -> float:
        """Multiply-adds of the blocks and residual entries over those of the dense product, 0 to 1."""
        K, N = self.shape
        return (sum(i * o for i, o in (b.shape for b in self.blocks)) + len(self.residual)) / max(K * N, 1)


def _counted(size: int, parts: list[Indices]) -> Indices:
    """In how many of the parts each of `size` features is."""
    uses = np.zeros(size, np.int64)
    for part in parts:
        uses[part] += 1
    return uses


def to_ranges(values: Indices) -> str:
    """Sorted indices as text.

    >>> to_ranges(indices([0, 1, 2, 5, 7, 8]))
    '0-2,5,7-8'
    """
    if not values.size:
        return ""
    breaks = np.flatnonzero(np.diff(values) != 1)
    starts = values[np.concatenate([[0], breaks + 1])].tolist()
    stops = values[np.concatenate([breaks, [values.size - 1]])].tolist()
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, stops, strict=True))


def runs_of(text: str, size: int) -> Iterator[tuple[int, int]]:
    """(First, last) of each run of a text such as '4-7,0-3', in its order, at most `size` indices in all.

    Raises PlanError for anything else, before an array is made of it.

    >>> list(runs_of("4-7,0-3", size=8))
    [(4, 7), (0, 3)]
    """
    if not isinstance(text, str):
        raise PlanError(f"{shown(text)} is not a text of index ranges such as '0-2,5'")
    left = size
    for run in filter(None, text.split(",")):
        if not (match := RANGE.fullmatch(run)) or len(run) > LONGEST_RANGE:
            raise PlanError(f"{run[:40]!r} is not an index or a range of indices")
        first, last = int(match[1]), int(match[2] or match[1])
        left -= last - first + 1
        if not first <= last < size or left < 0:
            raise PlanError(f"{run[:40]!r} is not a range of indices below {size}")
        yield first, last


def in_order(text: str, size: int) -> Indices:
    """The indices of a text of runs, in its order; raises PlanError as `runs_of` does."""
    runs = list(runs_of(text, size))
    return np.concatenate([np.arange(first, last + 1) for first, last in runs]) if runs else np.empty(0, np.int64)


def from_ranges(text: str, size: int) -> Indices:
    """Inverse of `to_ranges`; raises PlanError when the text is not such a list of indices below `size`.

    >>> from_ranges("0-2,5", size=6).tolist()
    [0, 1, 2, 5]
    """
    return indices(in_order(text, size))
