"""The method `removal`: units that cost least are left out, layer by layer, and what reads them is fitted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.view import View, view
from ....ir.onnx_ir import onnx_ir as ir
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
FINE, LARGEST = 1.08, 0.9  # where a speed alone is asked for, so many times the share before, up to this
LONGEST = 1 << 13  # inputs of a product whose gram is held: 512 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Structured removal without training: hidden units of feed-forward networks and heads of attention.

    shares: of the predicted seconds that leaving out all units would save, one candidate each; where None, 10 %, 15 %
    and so on, or, where no budget but a speed is asked for, those with which products alone come to it, in smaller
    steps.

    A greedy search on the calibration samples finds the order in which the units of each axis cost least, with all
    other weights that read them fitted again. A candidate leaves out units where they cost the least error of the
    outputs for a second. Then all products behind the first that lacks any are fitted, one after another, each to the
    results that it has in the original, and no further from the weights that it had than samples held out speak for.
    Source: ZipLM (Kurtic et al., 2023), fast post-training pruning (Kwon et al., 2022).
    """

    shares: Sequence[float] | None = None

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
        sites += _others(task, seen, sites)
        require_memory(task, sites)
        fitting = Fitting(task, seen, sites, shapes)
        before: list[int] = [0] * len(sites)
        for share in self._shares(task, fitting):
            counts = fitting.counts(share)
            if counts != before:
                yield fitting.candidate(counts, share)
            before = counts

    def _shares(self, task: DecomposeTask, fitting: Fitting) -> Sequence[float]:
        if self.shares is not None:
            return self.shares
        if task.goal.limit is not None or task.goal.target is None:
            return SHARES
        return _finer(fitting.share_of(task.goal.target))


def _others(task: DecomposeTask, seen: View, sites: Sequence[Units]) -> list[Units]:
    """Products that read no units that could go, as places without any, those that read the same together."""
    taken = {linear.node for one in sites for linear in one.readers}
    found: dict[ir.Value, list[Linear]] = {}
    for linear in observable(task.model, seen.found.linears)[0]:
        plain = linear.addend is None and not linear.fused and linear.shape[0] <= LONGEST
        if plain and linear.node not in taken and obstacle(linear) is None:
            found.setdefault(linear.activation, []).append(linear)
    return [
        Units(kind="units", labels=np.full(readers[0].shape[0], -1), readers=tuple(readers), products=())
        for readers in found.values()
    ]


def _finer(first: float) -> list[float]:
    """Shares from the first on, each a little larger than the one before it.

    >>> _finer(0.7), _finer(2)
    ([0.7, 0.756, 0.8165, 0.8818], [0.9])
    """
    found = [min(first, LARGEST)]
    while found[-1] * FINE <= LARGEST:
        found.append(found[-1] * FINE)
    return [round(share, 4) for share in found]


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
