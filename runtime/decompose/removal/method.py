"""The method `removal`: units that cost least are left out, layer by layer, and what reads them is fitted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.view import view
from ....ir.reason import Cause, Reason
from ....passes.anneal.obstacle import obstacle
from ....passes.pruning.units import Units, find_units
from ....passes.rewrite.pruning.remove_unread import at_shapes
from ...calibrate.activations import observable
from ..task.method import Declined, DecomposeTask, MethodName, ModelCandidate
from .fitting import Fitting
from .memory import require_memory

__all__ = ["Removal", "shapes_of"]

Array = npt.NDArray[Any]

SHARES = tuple(round(0.05 * step, 2) for step in range(2, 19))  # of the seconds that could be saved
LONGEST = 1 << 13  # inputs of a product whose gram is held: 512 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Structured removal without training: hidden units of feed-forward networks and heads of attention.

    shares: of the predicted seconds that leaving out all units would save, one candidate each. A greedy search on the
    calibration samples finds the order in which the units of each axis cost least, with all other weights that read
    them fitted again. A candidate leaves out units where they cost the least error of the outputs for a second, and is
    then fitted layer by layer, each to the results that it has in the original, behind layers that are smaller already.
    Source: ZipLM (Kurtic et al., 2023), fast post-training pruning (Kwon et al., 2022).
    """

    shares: Sequence[float] = SHARES

    @property
    def name(self) -> MethodName:
        """Which one it is."""
        return "removal"

    def propose(self, task: DecomposeTask) -> Iterator[ModelCandidate | Declined]:
        """Candidates, each smaller than the one before it."""
        shapes = shapes_of(task)
        seen = view(at_shapes(task.model.graph, shapes))
        found = [(one, _obstacle(task, one)) for one in find_units(seen)]
        sites = [one for one, why in found if why is None]
        if not sites:
            why = "no hidden units or heads are read by constant weights alone, so that none could be left out"
            reasons = [why for _, why in found if why is not None]
            yield Declined(method="removal", reason=reasons[0] if reasons else Reason(Cause.NO_PRODUCT, why))
            return
        require_memory(task, sites)
        fitting = Fitting(task, seen, sites, shapes)
        before: list[int] = [0] * len(sites)
        for share in self.shares:
            counts = fitting.counts(share)
            if counts != before:
                yield fitting.candidate(counts, share)
            before = counts


def shapes_of(task: DecomposeTask) -> dict[str, tuple[int, ...]]:
    """Of the inputs, in the first feed with the fewest axes of extent 1, which say nothing of what they are."""

    def longer(feed: Mapping[str, Array]) -> int:
        return sum(extent > 1 for array in feed.values() for extent in np.shape(array))

    return {name: np.shape(array) for name, array in max(task.calibration.feeds, key=longer).items()}


def _obstacle(task: DecomposeTask, site: Units) -> Reason | None:
    """Why what is read there cannot be seen, or no other weights put in its place; None where both can be."""
    where, inputs = f"{site.count:,} {site.kind} that {site.address} reads stay", site.labels.size
    if inputs > LONGEST:
        return Reason(Cause.UNSUPPORTED, f"{where}: of {inputs:,} inputs, where at most {LONGEST:,} are looked at")
    if any(linear.shape[0] != inputs for linear in site.readers):
        return Reason(Cause.UNSUPPORTED, f"{where}: they are not all that it reads")
    reasons = [one.reason for one in observable(task.model, site.readers)[1]]
    reasons += [why for linear in site.readers if (why := obstacle(linear)) is not None]
    return reasons[0].told(f"{where}: {reasons[0]}") if reasons else None
