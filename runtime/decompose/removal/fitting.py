"""Units of one model, what samples show of them, and models without some of them, fitted layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.view import View
from ....ir.onnx_ir import onnx_ir as ir
from ....passes.lowering.prices import FLOAT_BYTES, Prices
from ....passes.lowering.seconds import dense_seconds
from ....passes.lowering.target import Target, threads_of
from ....passes.pruning.greedy import Pruned, Reading, prune
from ....passes.pruning.shrinkage import shrunken
from ....passes.pruning.units import Units
from ....passes.rewrite.pruning.put_weights import put_weights
from ....passes.rewrite.pruning.remove_unread import remove_unread
from ...ort.library import resolved
from ..task.method import DecomposeTask, ModelCandidate, Removed
from .entering_rows import EnteringRows, entering_rows
from .output_error import OutputError
from .sampled import energy_of
from .spending import Curve, spend
from .stages import Stages

__all__ = ["Fitting"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

NONE = Curve(counts=np.zeros(1, np.int64), saved=np.zeros(1), losses=np.zeros(1))
PROBE = 0.35  # of the units of a place: what their loss comes to in the outputs is measured without so many


@dataclass(slots=True, eq=False)
class Fitting:
    """Places of a model that units can be left out at, and what that costs; shapes: of its inputs, in one sample.

    sites: by the last product that reads them; those without units are products that are fitted behind smaller layers.
    """

    task: DecomposeTask
    seen: View
    sites: Sequence[Units]
    shapes: Mapping[str, Sequence[int]]
    curves: list[Curve] = field(default_factory=list, init=False)
    products: float = field(default=0.0, init=False)  # seconds predicted of all products

    def __post_init__(self) -> None:
        task = self.task
        places = {node: place for place, node in enumerate(self.seen.model.graph)}
        self.sites = sorted(self.sites, key=lambda one: max(places[linear.node] for linear in one.readers))
        provider = resolved(task.trials.provider, task.model.name)
        prices = Target(provider=provider, threads=threads_of(task.trials.threads)).prices[-1]
        error = OutputError(task)
        stages = Stages(task.model, task.calibration.feeds, task.trials)
        rows: list[int] = []
        for site in self.sites:
            if not site.count:
                self.curves.append(NONE)
                continue
            seen = self._sampled(stages, task.model.graph, site)
            readings = [
                Reading(one.gram(), self._weight(linear)) for linear, one in zip(site.readers, seen, strict=True)
            ]
            pruned = prune(readings, _with_bias(site))
            energy = sum(energy_of(one.gram, one.weight) for one in readings)
            rows.append(seen[0].per_feed)
            curve = _curve(site, pruned, energy, rows[-1], prices)
            self.curves.append(self._as_output_error(site, readings, curve, error))
        usual = int(np.median(rows))
        self.products = sum(
            dense_seconds(linear.shape, usual, FLOAT_BYTES, prices) for linear in self.seen.found.linears
        )

    def share_of(self, speedup: float) -> float:
        """The share of what could be saved without which all products together are not so many times as fast."""
        return self.products * (1 - 1 / speedup) / max(self._savings, np.finfo(np.float64).tiny)

    @property
    def _savings(self) -> float:
        """Seconds that leaving out all units would save."""
        return sum(float(curve.saved[-1]) for curve in self.curves)

    def counts(self, share: float) -> list[int]:
        """How many units go at each place, so that this share of what could be saved is."""
        return spend(self.curves, share * self._savings)

    def candidate(self, counts: Sequence[int], share: float) -> ModelCandidate:
        """The model without so many units at each place; layers behind the first that lacks any are fitted as well."""
        task, graph, smaller = self.task, self.task.model.graph, False
        before, after = (Stages(task.model, task.calibration.feeds, task.trials) for _ in range(2))
        for site, count in zip(self.sites, counts, strict=True):
            smaller = smaller or count > 0
            if smaller:
                pairs = self._sampled(before, task.model.graph, site), self._sampled(after, graph, site)
                graph = put_weights(graph, self._fitted(site, count, *pairs))
        removed = [
            Removed(node=site.address, kind=site.kind, count=count, whole=site.count)
            for site, count in zip(self.sites, counts, strict=True)
            if count
        ]
        return ModelCandidate(
            method="removal",
            model=remove_unread(graph, self.shapes),
            settings={"share": share},
            removed=tuple(removed),
        )

    def _fitted(
        self, site: Units, count: int, before: Sequence[EnteringRows], after: Sequence[EnteringRows]
    ) -> dict[str, tuple[Array, Array]]:
        """By address what each reader multiplies with without so many units, and what it adds; before, after: what the
        samples show of it in the original and in the model as it is by now."""
        weights = [self._weight(linear) for linear in site.readers]
        moments = [new.moments(old, one) for old, new, one in zip(before, after, weights, strict=True)]
        labels = _with_bias(site)
        kept = np.ones(labels.size, bool)
        if count:
            readings = [(fitted + held).reading(one) for (fitted, held), one in zip(moments, weights, strict=True)]
            kept = ~np.isin(labels, prune(readings, labels, count).order)
        found = [shrunken(one, kept, *both) for one, both in zip(weights, moments, strict=True)]
        return _split(site, found)

    def _sampled(self, stages: Stages, graph: ir.Model, site: Units) -> list[EnteringRows]:
        """What the samples show of each product that reads the units of a place."""
        return entering_rows(stages, graph, site.readers, self.task.model.name)

    def _weight(self, linear: Linear) -> Float64:
        """Its canonical weight, a row of zeros below it for what is added to each result."""
        weight = linear.canonical(self.seen.found.constants).astype(np.float64)
        return np.concatenate([weight, np.zeros((1, weight.shape[1]))])

    def _as_output_error(self, site: Units, readings: Sequence[Reading], curve: Curve, error: OutputError) -> Curve:
        """The losses as errors of the outputs, in proportion: what they come to is measured at one point."""
        place = int(np.searchsorted(curve.counts, PROBE * site.count, side="right")) - 1
        place = min(max(place, 1), curve.counts.size - 1)
        if not curve.losses[place] > 0:
            return curve
        pruned = prune(readings, _with_bias(site), int(curve.counts[place]))
        found = error(put_weights(self.task.model.graph, _split(site, pruned.weights)))
        return replace(curve, losses=curve.losses * (found / float(curve.losses[place])))


def _with_bias(site: Units) -> npt.NDArray[np.int64]:
    """The unit of each input, the column of ones behind them of none."""
    return np.append(site.labels, -1).astype(np.int64)


def _curve(site: Units, pruned: Pruned, energy: float, rows: int, prices: Prices) -> Curve:
    """Losses in shares of the variance of the results; one unit stays, at the least."""
    counts = pruned.counts[pruned.counts < site.count]
    saved = np.array([site.saved(int(count), rows, prices) for count in counts])
    losses = pruned.losses[: counts.size] / max(energy, np.finfo(np.float64).tiny)
    return Curve(counts=counts, saved=saved, losses=losses)


def _split(site: Units, weights: Sequence[Float64]) -> dict[str, tuple[Array, Array]]:
    """By address what each reader multiplies with, and what it adds."""
    return {linear.address: (weight[:-1], weight[-1]) for linear, weight in zip(site.readers, weights, strict=True)}
