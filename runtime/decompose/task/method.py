"""Methods that make a model smaller, the task that all of them are given, and what they propose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from ....ir.brief import brief
from ....ir.io.load import Model
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plain import plain_dict
from ....ir.reason import Reason
from ....passes.projection.forms import FormName
from ...ort.trials import Trials
from .goal import Goal
from .samples import Samples

__all__ = [
    *("Declined", "DecomposeTask", "Learning", "Method", "MethodName", "ModelCandidate", "ProjectedWeight", "Removed"),
]


# removal: heads, hidden units and channels left out, what reads them fitted again; blocks: units in groups, weights
# between groups trained away; projection: weights as products of a low rank, or of block-diagonal factors; experts:
# hidden units in groups of which each sample runs a few.
MethodName: TypeAlias = Literal["removal", "blocks", "projection", "experts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecomposeTask:
    """What a method is given. What it proposes is judged on samples that it never sees.

    model: the original; calibration: samples to fit to; selection: samples by which candidates are compared, to choose
    settings by as well; goal: what is asked for; trials: how models are run; seed: of all that is drawn; training:
    samples to train on, where there are others than to fit to; held_back: samples that tell when training ends, to
    which nothing was fitted, where there are any.
    """

    model: Model
    calibration: Samples
    selection: Samples
    goal: Goal
    trials: Trials
    seed: int = 0
    training: Samples | None = None
    held_back: Samples | None = None

    @property
    def taught(self) -> Samples:
        """What is trained on."""
        return self.calibration if self.training is None else self.training


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a candidate lacks at one place: `count` of `whole` units of a kind, such as heads, at the address of a
    node."""

    node: str
    kind: str
    count: int
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedWeight:
    """A weight of a candidate that is a product of smaller ones: form: of which; rank: of it, or of its slices; share:
    of the multiply-adds that the dense one takes; at the address of a node."""

    node: str
    form: FormName
    rank: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How a candidate was trained: the step whose weights were kept, and the loss on what was held back, before any
    step and then."""

    step: int
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelCandidate:
    """A model that may stand for the original, with the same interface; settings: what tells how it was made, as JSON
    can hold it; learning: how it learnt from the original, None where it was not trained."""

    method: MethodName
    model: ir.Model
    settings: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[Removed, ...] = ()
    projected: tuple[ProjectedWeight, ...] = ()
    learning: Learning | None = None

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the model."""
        return plain_dict(
            {
                "method": self.method,
                "settings": dict(self.settings),
                "removed": [
                    {"node": one.node, "kind": one.kind, "count": one.count, "whole": one.whole} for one in self.removed
                ],
                "projected": [
                    {"node": one.node, "form": one.form, "rank": one.rank, "share": one.share} for one in self.projected
                ],
                "learning": None if self.learning is None else asdict(self.learning),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A method that proposes nothing, or nothing more, and why."""

    method: MethodName
    reason: Reason


class Method(Protocol):
    """A way to make models smaller."""

    @property
    def name(self) -> MethodName:
        """Which one it is."""

    def propose(self, task: DecomposeTask) -> Iterator[ModelCandidate | Declined]:
        """Candidates, the one that loses least first, each faster than the one before it; a refusal is the last.

        It is asked for the next one only while that may be of use: a candidate is made when it is asked for. The same
        task gives the same candidates.
        """
