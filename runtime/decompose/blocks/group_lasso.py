"""The penalty that trains weights between groups of units away, while a net goes on learning.

W (K, N), two groups    tile (k, g): what input k gives to the outputs of group g
    a  a  b  b
a   ●  ●  [o  o]        a tile outside of the blocks becomes shorter by the threshold at each step,
a   ●  ●  [o  o]        and is zero once it is no longer than that; entries inside are left alone
b  [o  o]  ●  ●
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....ir.plan.decomposition import Indices

__all__ = ["GroupLasso", "GroupedWeight"]


@dataclass(frozen=True, slots=True, eq=False)
class GroupedWeight:
    """A weight as it is stored, (K, N) or transposed, with the group of each input and each output."""

    stored: Tensor
    transposed: bool
    inputs: Indices
    outputs: Indices
    _of_output: Tensor = field(init=False)
    _member: Tensor = field(init=False)
    _inside: Tensor = field(init=False)

    def __post_init__(self) -> None:
        rows, columns = torch.from_numpy(self.inputs.copy()), torch.from_numpy(self.outputs.copy())
        groups = torch.arange(int(max(self.inputs.max(), self.outputs.max())) + 1)
        object.__setattr__(self, "_of_output", columns)
        object.__setattr__(self, "_member", (columns[:, None] == groups).to(self.stored.dtype))
        object.__setattr__(self, "_inside", rows[:, None] == groups)

    @property
    def weight(self) -> Tensor:
        """The canonical weight (K, N), a view of what is stored."""
        found = self.stored.detach()
        return found.T if self.transposed else found

    def lengths(self) -> Tensor:
        """(K, groups): the length of each tile, 0 of those inside of blocks."""
        found = (self.weight.square() @ self._member).sqrt()
        return found.masked_fill(self._inside, 0)

    def shrink(self, threshold: float) -> None:
        """Make tiles outside of blocks shorter, in place: the proximal operator of threshold · Σ length(tile).

        It gives the weight V for which ½ ‖V - W‖² + threshold · Σ length(tile of V) is least. Source: Yuan and Lin,
        Model selection and estimation in regression with grouped variables, 2006.
        """
        lengths = self.lengths()
        left = torch.where(lengths > threshold, 1 - threshold / lengths.clamp_min(1e-30), torch.zeros_like(lengths))
        self.weight.mul_(left.masked_fill(self._inside, 1)[:, self._of_output])

    def project(self) -> None:
        """Put zeros everywhere outside of blocks, in place."""
        self.weight.mul_(self._inside[:, self._of_output].to(self.stored.dtype))


@dataclass(slots=True, eq=False)
class GroupLasso:
    """Shrinks weights after each of so many steps, more at each one, so that what learning does not hold up goes.

    The thresholds of all steps add up to the longest tile that each weight has at the beginning.
    """

    weights: Sequence[GroupedWeight]
    steps: int
    longest: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.longest = [float(one.lengths().max()) for one in self.weights]

    def __call__(self, step: int) -> None:
        """After this step, 1 to `steps`."""
        share = 2 * step / (self.steps * (self.steps + 1))
        for one, longest in zip(self.weights, self.longest, strict=True):
            one.shrink(share * longest)

    @property
    def outside(self) -> float:
        """The share of the squares of all weights that is outside of blocks by now."""
        lengths = sum(float(one.lengths().square().sum()) for one in self.weights)
        return lengths / max(sum(float(one.weight.square().sum()) for one in self.weights), 1e-30)
