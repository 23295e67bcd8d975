"""How a model goes on learning, as a value; the command line is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ir.errors import ScissionError
from ..fields import setting
from ..validation import check_fields

__all__ = ["LOSSES", "RetrainError", "RetrainOptions"]

LOSSES = ("auto", "cross-entropy", "mse")
OPTIMISERS = ("adam", "sgd")
RISING = 0.05  # of the steps of a linear schedule, in which the rate goes up
SCHEDULES = ("constant", "linear")


class RetrainError(ScissionError):
    """Training that cannot begin, or go on from where it was; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainOptions:
    """How a model is trained. Raises RetrainError, which names the option, for a value that it cannot have.

    labels: an array, or a source of them, where the data hold none; loss: of labels, 'auto' cross-entropy where they
    are whole numbers and else mean squares; about: the output that labels are about, by default the first output of
    floating-point numbers; regions: whether a teacher is learnt inside as well, at the values between layers that both
    models have; steps: of the optimiser at most; schedule: of the rate, 'linear' rises to it over the first twentieth
    of the steps and falls to nothing over the others; every: steps between looks at what was held back, at each of
    which a checkpoint is written; patience: looks without a smaller loss until training stops; held_back: share of
    the samples that judge and are not trained on; checkpoint: the file, by default that of the output with
    `.checkpoint` behind it, which is gone when all is written.
    """

    labels: Any = setting(None, "their labels, in the same forms", metavar="FILE")
    loss: str = setting("auto", "of labels: cross-entropy, mse, or auto, by what they are", choices=LOSSES)
    about: str | None = setting(None, "the output that labels are about (default: the first one)", metavar="NAME")
    regions: bool = setting(True, "learn a teacher also between its layers, where both models have the same values")
    steps: int = setting(1000, "steps of the optimiser at most", least=1)
    batch: int = setting(32, "samples of a step", least=1)
    rate: float = setting(1e-3, "learning rate", least=1e-12, most=1e3)
    schedule: str = setting("constant", "of the rate: constant, or linear, up and then down to 0", choices=SCHEDULES)
    optimiser: str = setting("adam", "adam, or sgd with momentum", choices=OPTIMISERS)
    every: int = setting(50, "steps between looks at what is held back, and checkpoints", least=1)
    patience: int = setting(5, "looks without a smaller loss until it stops", least=1)
    held_back: float = setting(0.2, "share of the samples that judge and are not trained on", least=0.001, most=0.9)
    seed: int = setting(0, "of what is held back and of the order of samples", flags=("--order",), least=0)
    checkpoint: Path | None = setting(None, "where training can go on from (default: beside OUT)", metavar="FILE")
    check: bool = setting(True, "prove the split model equal to the whole one")
    bench: bool = setting(True, "measure the split model beside the whole one")
    overwrite: bool = setting(False, "replace the output if it exists")

    def __post_init__(self) -> None:
        check_fields(self, RetrainError)

    def of_training(self) -> dict[str, Any]:
        """What a run depends on, for a checkpoint to be known by: where it stops may be another."""
        names = ["loss", "about", "regions", "batch", "rate", "schedule", "optimiser", "every", "held_back", "seed"]
        names += ["steps"] * (self.schedule != "constant")
        return {name: getattr(self, name) for name in names}

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, the first being 0.

        >>> options = RetrainOptions(steps=100, rate=1.0, schedule="linear")
        >>> [round(options.rate_at(step), 3) for step in (0, 4, 5, 50, 99)]
        [0.2, 1.0, 1.0, 0.526, 0.011]
        """
        if self.schedule == "constant":
            return self.rate
        rising = max(1, round(RISING * self.steps))
        return self.rate * min((step + 1) / rising, (self.steps - step) / max(self.steps - rising, 1), 1.0)
