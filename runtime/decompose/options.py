"""What is asked of `decompose`, as a value; the command line is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from ..fields import setting
from ..validation import check_fields
from .task.goal import Goal, parse_goal

__all__ = ["DecomposeKeywords", "DecomposeOptions"]

NAMES = ("removal", "projection", "experts", "blocks")  # of `METHODS`


@dataclass(frozen=True, slots=True, kw_only=True)
class DecomposeOptions:
    """How much a smaller model may lose, how fast it must be, and what it is judged by.

    labels: an array, or a .npy or .npz file of them, where the metric needs any. Of budget and target one is given at
    the least. only: the one method to ask. Raises OptionError, which names the option, for a value that it cannot have,
    MetricError for a metric or a budget that is none.
    """

    labels: Any = setting(None, "labels of the samples, .npy or .npz", metavar="FILE")
    metric: str | None = setting(
        None, "what outputs are worth, where no budget says it (default: cosine)", metavar="NAME"
    )
    budget: str | None = setting(None, "how much a metric may lose, such as 'argmax<=0.01'", metavar="METRIC<=X")
    target: str | float | None = setting(None, "how much faster the model must be, such as 2.0x", metavar="Nx")
    only: str | None = setting(
        None, "one method alone: removal, experts, or blocks, which trains (default: all)", choices=NAMES
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def goal(self) -> Goal:
        """What a model is held against."""
        return parse_goal(self.budget, self.target, self.metric)


class DecomposeKeywords(TypedDict, total=False):
    """The fields of DecomposeOptions as keywords, for type checkers."""

    labels: Any
    metric: str | None
    budget: str | None
    target: str | float | None
    only: str | None
