"""What is made smaller: the loss of labels, and how far outputs are from those of a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Objective", "hits"]

LEAST = 1e-12  # of a probability, and of the mean square of a teacher's output


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """loss: 'cross-entropy' or 'mse' of the output at `about`, None without labels; probabilities: whether that output
    is of a softmax already; taught: places of outputs that a teacher has too, each with the mean square of what it
    says there, by which differences are measured; regions: the same of values inside, which stand behind the outputs.
    """

    loss: str | None
    about: int
    probabilities: bool
    taught: tuple[tuple[int, float], ...]
    regions: tuple[tuple[int, float], ...] = ()

    def __call__(self, made: Sequence[Tensor], labels: Tensor | None, told: Sequence[Tensor]) -> Tensor:
        """The mean over samples, one number. labels: a row a sample; told: what the teacher says, as in `taught`, and
        behind that as in `regions`."""
        total = self.of_outputs(made, labels, told)
        return total + _off(made, self.regions, told[len(self.taught) :]).to(total.dtype)

    def of_outputs(self, made: Sequence[Tensor], labels: Tensor | None, told: Sequence[Tensor]) -> Tensor:
        """The same without the values inside: what a model is there for, and is judged by."""
        total = made[self.about].new_zeros(())
        if self.loss is not None and labels is not None:
            total = total + self._of_labels(made[self.about], labels)
        return total + _off(made, self.taught, told[: len(self.taught)]).to(total.dtype)

    def _of_labels(self, made: Tensor, labels: Tensor) -> Tensor:
        if self.loss == "mse":
            return functional.mse_loss(made, labels.to(made.dtype).reshape(made.shape))
        rows, wanted = made.reshape(-1, made.shape[-1]), labels.reshape(-1).to(torch.int64)
        if self.probabilities:
            return functional.nll_loss(rows.clamp_min(LEAST).log(), wanted)
        return functional.cross_entropy(rows, wanted)


def _off(made: Sequence[Tensor], places: Sequence[tuple[int, float]], told: Sequence[Tensor]) -> Tensor:
    """The mean over places of how far they are from what is told, relative to its mean square."""
    total = made[0].new_zeros(())
    for (place, size), wanted in zip(places, told, strict=True):
        off = (made[place] - wanted.to(made[place].dtype)).square().mean() / max(size, LEAST)
        total = total + off.to(total.dtype) / len(places)
    return total


def hits(made: Tensor, labels: Tensor) -> int:
    """How many of the labels are the largest entry of their row."""
    return int((made.argmax(-1).reshape(-1) == labels.reshape(-1)).sum())
