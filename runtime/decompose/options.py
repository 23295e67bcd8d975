"""What is asked of `decompose`, as a value; the command line is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from ...ir.errors import Remedy, option
from ..fields import setting
from ..retrain.options import RetrainOptions
from ..validation import OptionError, check_fields
from .task.goal import Goal, parse_goal

__all__ = ["DecomposeKeywords", "DecomposeOptions"]

NAMES = ("removal", "projection", "experts", "blocks")  # of `METHODS`
LOOKS = 20  # at what is held back while a candidate is trained
HELD_BACK = 0.02  # share of the feeds to train on
RATE = 3e-4  # of learning


@dataclass(frozen=True, slots=True, kw_only=True)
class DecomposeOptions:
    """How much a smaller model may lose, how fast it must be, and what it is judged by.

    labels: an array, or a .npy or .npz file of them, where the metric needs any. Of budget and target one is given at
    the least. only: the one method to ask; train: steps for which what is fast enough is trained against the original,
    so that a target is needed; rate: of learning, at its highest; checkpoint: the file that training goes on from where
    it ended early. Raises OptionError, which names the option, for a value that it cannot have, MetricError for a
    metric or a budget that is none.
    """

    labels: Any = setting(None, "labels of the samples, .npy or .npz", metavar="FILE")
    metric: str | None = setting(
        None, "what outputs are worth, where no budget says it (default: cosine)", metavar="NAME"
    )
    budget: str | None = setting(None, "how much a metric may lose, such as 'argmax<=0.01'", metavar="METRIC<=X")
    target: str | float | None = setting(None, "how much faster the model must be, such as 2.0x", metavar="Nx")
    only: str | None = setting(
        None, f"one method alone: {', '.join(NAMES)}, which trains (default: all)", choices=NAMES
    )
    train: int | None = setting(None, "steps of training against the original, of what is fast enough", least=1)
    rate: float = setting(RATE, "learning rate of these, at its highest", least=1e-12, most=1e3)
    checkpoint: Path | None = setting(None, "where training goes on from if it ended early", metavar="FILE")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.train is not None and self.target is None:
            raise OptionError(option("train"), " is about what is fast enough; say how fast that is with ", _target())
        for name in ("checkpoint", "rate"):
            if self.train is None and getattr(self, name) != (RATE if name == "rate" else None):
                raise OptionError(option(name), " is about training; say for how many steps with ", option("train"))

    @property
    def goal(self) -> Goal:
        """What a model is held against."""
        return parse_goal(self.budget, self.target, self.metric)

    @property
    def training(self) -> RetrainOptions | None:
        """How candidates are trained; None where they are not."""
        if self.train is None:
            return None
        return RetrainOptions(
            steps=self.train,
            every=max(1, self.train // LOOKS),
            patience=LOOKS,
            rate=self.rate,
            schedule="linear",
            held_back=HELD_BACK,
            checkpoint=self.checkpoint,
        )


def _target() -> Remedy:
    return option("target", "2.0x")


class DecomposeKeywords(TypedDict, total=False):
    """The fields of DecomposeOptions as keywords, for type checkers."""

    labels: Any
    metric: str | None
    budget: str | None
    target: str | float | None
    only: str | None
    train: int | None
    rate: float
    checkpoint: Path | None
