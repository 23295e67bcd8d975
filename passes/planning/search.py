"""What a search for preparations is made with: what the plan is for, and what is known of the model by now."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ...ir.errors import ModelError
from ...ir.graph.linear import Linear
from ...ir.graph.sizes import Setting
from ...ir.graph.survey import Survey
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ..connectivity.device import analysis_device
from ..factor.entries import Entries
from .linear import blocks_gain, remember
from .settings import Memo, PlanSettings

__all__ = ["Looks", "Search", "weight_bytes"]


@dataclass(frozen=True, slots=True)
class Looks:
    """The view of the model that was looked at last: whoever looks at it again sees the same one."""

    seen: list[tuple[ir.Model, View]] = field(default_factory=list)

    def known(self, model: ir.Model) -> View | None:
        """The view of a model where that was made already."""
        return next((seen for one, seen in self.seen if one is model), None)

    def __call__(self, model: ir.Model) -> View:
        """The view of a model; nobody may change it, nor the model."""
        seen = self.known(model)
        if seen is None:
            seen = view(model)
            self.seen[:] = [(model, seen)]
        return seen


@dataclass(frozen=True, slots=True)
class Search:
    """sized: finds the sizes that activations are predicted for; look: the view of a model; memo: what is known of
    weights; entries: what a few entries tell of them."""

    settings: PlanSettings
    sized: Callable[[], tuple[Setting, ...]]
    look: Looks = field(default_factory=Looks)
    memo: Memo = field(default_factory=Memo)
    entries: Entries = field(default_factory=Entries)

    def blocks(self, seen: View) -> Callable[[Linear, tuple[int, ...]], float]:
        """What tells how many times as fast the blocks of a linear are predicted to be by themselves, or however all
        are asked to be written, at such rows; what is learnt of its weight is kept."""

        def gain(linear: Linear, rows: tuple[int, ...]) -> float:
            with suppress(ModelError, MemoryError):  # said where its step is made
                remember(linear, seen.found, self.memo)
                return blocks_gain(linear, self.settings, self.memo, rows)
            return math.inf

        return gain

    def visitor(self, seen: View) -> Callable[[ir.Node], None] | None:
        """What analyses the weight of a node while that is at hand; None where a device is to do it, many at once."""
        if analysis_device(self.settings.device, weight_bytes(seen.found)) is not None:
            return None
        linears = {linear.node: linear for linear in seen.found.linears}

        def visit(node: ir.Node) -> None:
            if node in linears:
                with suppress(ModelError, MemoryError):  # said where its step is made
                    remember(linears[node], seen.found, self.memo)

        return visit


def weight_bytes(found: Survey) -> int:
    """How large the weights of all linears are together."""
    return int(sum(math.prod(linear.shape) * linear.dtype.itemsize for linear in found.linears))
