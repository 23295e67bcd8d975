"""What a plan is made for, and what is known while it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from ...ir.graph.sizes import Setting
from ...ir.graph.view import View
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.grain import Grain
from ...ir.plan.plan import States
from ...ir.plan.preparation import Preparation, Refused
from ...ir.plan.wanted import Wanted
from ...ir.progress import Progress
from ...ir.reason import Reason
from ..decompose.recurrent import RecurrentAnalysis
from ..lowering.target import Target
from .analysis import Analysis, Key
from .candidates import LinearCandidate

if TYPE_CHECKING:
    import torch

__all__ = ["Memo", "Observe", "PlanSettings", "Planning"]

Observe: TypeAlias = Callable[[str, Analysis | RecurrentAnalysis], None]  # told (address, what the weight is like)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What costs are predicted for, and what is not left to them."""

    provider: str = "cpu"  # or 'cuda'
    batch: Sequence[int] | None = None  # sizes of the leading open dimension, each predicted for
    sizes: Mapping[str, int] | None = None  # of other open dimensions of the inputs, by name
    fix: Mapping[str, int] = field(default_factory=dict)  # sizes of open dimensions, by name, that they get for good
    threads: int = 1  # that products will run on
    tf32: bool = True  # whether on CUDA factors of float32 products will be rounded to 10 bits
    cuda_graph: bool = True  # whether launches will be recorded as a CUDA graph
    force: bool = False  # split whatever splits, also where that is slower, and each block by itself
    device: str | torch.device = "cpu"  # that weights are analysed on; 'auto': CUDA for large models where there is one
    regions: bool = True  # whether linears are split together, and shared axes reordered, where that gains more
    grain: Grain = field(default_factory=Grain)  # how coarse blocks are to be; goes before what `force` says of that
    exact: bool = False  # whether channels are left out only where what they do is exactly nothing
    unprepared: frozenset[str] = frozenset()  # kinds of preparations, or of what is left away together, see `left_with`
    wanted: Wanted = field(default_factory=Wanted)  # lowerings to take whatever they cost
    taken_back: tuple[Refused, ...] = ()  # preparations that are not done again, each with the reason
    measured: tuple[Preparation, ...] = ()  # those that are done in a form that was measured, not the predicted one

    @property
    def target(self) -> Target:
        """What costs are predicted for."""
        return Target(provider=self.provider, threads=self.threads, cuda_graph=self.cuda_graph)

    def resolved(self) -> PlanSettings:
        """The same with what follows from other fields."""
        every = self.force and self.grain.parts is None
        grain = replace(self.grain, every=True) if every else self.grain
        return replace(self, grain=grain, regions=self.regions and self.wanted.every is None)


@dataclass(frozen=True, slots=True)
class Memo:
    """What weights are like, so that each is read once however often the graph around them is looked at.

    The tensor of an initializer is the same object in every copy of a graph, so it can be a part of the key.
    """

    analyses: dict[Key, Analysis] = field(default_factory=dict)  # of linears
    states: dict[Key, States] = field(default_factory=dict)  # of linears that map states to themselves
    choices: dict[Key, tuple[LinearCandidate | None, Reason | None]] = field(default_factory=dict)  # of linears
    recurrents: dict[Key, RecurrentAnalysis] = field(default_factory=dict)  # of directions of recurrent operators


@dataclass(frozen=True, slots=True)
class Planning:
    """A plan under way: what it is made for, what is known by now, and who is told."""

    model: str  # its name, for messages
    settings: PlanSettings
    sized: Callable[[], tuple[Setting, ...]]  # finds the sizes that activations are predicted for
    device: torch.device | None  # that weights are analysed on; None: on this processor
    memo: Memo
    look: Callable[[ir.Model], View]  # the view of a model with its functions as they are
    progress: Progress | None  # called with (done, total, node)
    observe: Observe | None
