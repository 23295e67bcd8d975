"""The method `blocks`: hidden units in groups, weights between groups trained away, what is left fitted and trained."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....ir.graph.view import view
from ....ir.reason import Cause, Reason
from ....passes.pruning.units import find_units
from ....passes.rewrite.pruning.remove_unread import at_shapes
from ..removal.method import shapes_of
from ..task.method import Declined, DecomposeTask, MethodName, ModelCandidate
from .memory import require_training_memory
from .places import Places, find_places

__all__ = ["Blocks"]

COUNTS = (2, 4, 8, 16)
FINER = 0.9  # of the multiply-adds of the candidate before, at the most


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Blocks by training, for which torch is needed.

    counts: of groups, each tried with the weights between hidden axes alone, then with those at whose ends the order of
    features has to be changed; steps: of the optimiser while weights between groups become shorter, and as many at most
    for what is left; rate: of learning; patience: looks at what is held back without a smaller loss, ten in a phase.
    Units are put into groups where their weights, times what enters them on the calibration samples, are largest. The
    net learns what it says of these samples itself, and their labels where the metric has any (`argmax`, `top5`,
    `perplexity`, `mse`), while tiles of weights between groups become shorter step by step; what is left of them is
    dropped, blocks are fitted by least squares, and then trained, entries outside staying zero. A fifth of the samples
    is held back from training and tells when it ends.
    Source: group lasso (Yuan and Lin, 2006), learning of masked weights (paper, eq. 4.7).
    """

    counts: Sequence[int] = COUNTS
    steps: int = 1000
    rate: float = 1e-3
    patience: int = 3

    @property
    def name(self) -> MethodName:
        """Which one it is."""
        return "blocks"

    def propose(self, task: DecomposeTask) -> Iterator[ModelCandidate | Declined]:
        """Candidates, each of fewer multiply-adds than the one before it."""
        if importlib.util.find_spec("torch") is None:
            why = "training needs torch; install scission[torch]"
            yield Declined(method="blocks", reason=Reason(Cause.UNSUPPORTED, why))
            return
        shapes = shapes_of(task)
        seen = view(at_shapes(task.model.graph, shapes))
        places = find_places(task, seen, find_units(seen))
        settings = _settings(places, self.counts, task.goal.target)
        if not settings:
            yield Declined(method="blocks", reason=_nothing(places, task.goal.target))
            return
        require_training_memory(task, places)
        from .fitting import BlockFitting

        fitting = BlockFitting.of(task, seen, places, self)
        if isinstance(fitting, Reason):
            yield Declined(method="blocks", reason=fitting)
            return
        refused: list[Reason] = []
        for count, ends in settings:
            made = fitting.candidate(count, ends)
            if isinstance(made, ModelCandidate):
                yield made
            else:
                refused.append(made)
        if len(refused) == len(settings):
            yield Declined(method="blocks", reason=refused[-1])


def _settings(places: Places, counts: Sequence[int], target: float | None) -> list[tuple[int, bool]]:
    """(Groups, whether ends are in them too) of each candidate, the one that keeps most first: those that leave enough
    fewer multiply-adds than the one before, and could be as fast as the target."""
    ways = {(count, ends): places.mac_share(count, ends) for count in counts for ends in (False, True)}
    found, before = [], 1.0
    for way, share in sorted(ways.items(), key=lambda item: (-item[1], item[0])):
        if share <= FINER * before and (target is None or share * target <= 1):
            found.append(way)
            before = share
    return found


def _nothing(places: Places, target: float | None) -> Reason:
    if places.refused:
        return places.refused[0]
    if not places.places:
        return Reason(Cause.NO_PRODUCT, "no hidden units are written and read by constant weights alone")
    if target is not None:
        why = f"blocks of its weights save too few multiply-adds for {target:g}x"
        return Reason(Cause.BELOW_TARGET, why)
    return Reason(Cause.NO_GAIN, "its hidden axes are too short for groups of units")
