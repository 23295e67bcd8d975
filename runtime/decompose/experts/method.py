"""The method `experts`: hidden units behind ReLU in groups, of which a router chooses a few for each sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....ir.graph.view import view
from ....ir.reason import Cause, Reason
from ....passes.experts.find import find_places
from ....passes.rewrite.pruning.remove_unread import at_shapes
from ...calibrate.activations import observable
from ..removal.method import shapes_of
from ..task.method import Declined, DecomposeTask, MethodName, ModelCandidate
from .fitting import ExpertFitting
from .memory import require_memory

__all__ = ["Experts"]

ACTIVE = (0.5, 0.375, 0.25, 0.1875, 0.125, 0.0625, 0.03125)  # shares of the experts that run


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Feed-forward networks with ReLU, of which each sample runs the hidden units that always run and a few experts.

    active: shares of the experts that run for a sample, one candidate each. Units that are active together on the
    calibration samples are one expert, those that matter most run always; a linear function of what enters the network
    chooses, fitted to what experts add to its results or read off the weights, whichever captures more of it; what
    reads the units is fitted again to the results that the network has in the original, behind networks that run
    experts already. Networks most of whose units are not zero for a sample are left as they are.
    Source: MoEfication (Zhang et al., 2022), CMoE (Pei et al., 2025).
    """

    active: Sequence[float] = ACTIVE

    @property
    def name(self) -> MethodName:
        """Which one it is."""
        return "experts"

    def propose(self, task: DecomposeTask) -> Iterator[ModelCandidate | Declined]:
        """Candidates, each with fewer experts running than the one before it."""
        seen = view(at_shapes(task.model.graph, shapes_of(task)))
        places, skipped = find_places(seen.found)
        out_of_sight = {one.node: one.reason for one in observable(task.model, [one.up for one in places])[1]}
        kept = [one for one in places if one.up.address not in out_of_sight]
        reasons = [one.reason.told(f"{one.node} stays: {one.reason}") for one in skipped]
        reasons += [why.told(f"{address} stays: {why}") for address, why in out_of_sight.items()]
        if kept:
            require_memory(task, kept)
            fitting = ExpertFitting(task, seen.found.constants, kept)
            reasons = [*fitting.reasons, *reasons]
            if fitting.networks:
                shares = (tuple(fitting.counts(share)) for share in self.active)
                yield from (fitting.candidate(counts) for counts in dict.fromkeys(shares))
                return
        why = "no two products with a ReLU between them, whose units could be experts"
        yield Declined(method="experts", reason=reasons[0] if reasons else Reason(Cause.NO_PRODUCT, why))
