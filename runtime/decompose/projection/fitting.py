"""Weights of one model, what samples show of the forms that they may have, and models in some of these forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.view import View
from ....ir.onnx_ir import onnx_ir as ir
from ....passes.lowering.target import Target, threads_of
from ....passes.projection.choices import Choice, choices
from ....passes.projection.forms import Form, Projected, fitted
from ....passes.projection.moments import Moments, moments_of
from ....passes.rewrite.pruning.put_products import put_products
from ....passes.rewrite.pruning.put_weights import put_weights
from ...ort.library import resolved
from ..removal.output_error import OutputError
from ..removal.sampled import Sampled, sampled
from ..removal.spending import Curve, spend
from ..removal.stages import Stages
from ..task.method import DecomposeTask, ModelCandidate, ProjectedWeight
from .damping import chosen_damping

__all__ = ["ProjectionFitting"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

PROBE = 0.1  # of the variance of the results: what a loss comes to in the outputs is measured nearest to it


@dataclass(slots=True, eq=False)
class ProjectionFitting:
    """Linears of a model that may become products of smaller weights, and what each form of them costs.

    linears: as they are computed one after another.
    """

    task: DecomposeTask
    seen: View
    linears: Sequence[Linear]
    target: Target = field(init=False)
    choices: list[tuple[Choice, ...]] = field(default_factory=list, init=False)
    curves: list[Curve] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        task = self.task
        places = {node: place for place, node in enumerate(self.seen.model.graph)}
        self.linears = sorted(self.linears, key=lambda linear: places[linear.node])
        provider = resolved(task.trials.provider, task.model.name)
        self.target = Target(provider=provider, threads=threads_of(task.trials.threads))
        error = OutputError(task)
        stages = self._stages()
        for linears in self._groups():
            shown = self._sampled(stages, task.model.graph, linears)
            gram = shown[0].gram  # of all: they read the same
            for linear in linears:
                moments = moments_of(gram, self._weight(linear))
                found = choices(linear, moments, shown[0].per_feed, self.target)
                self.choices.append(found)
                self.curves.append(self._curve(linear, moments, found, error))

    @property
    def nothing_pays(self) -> bool:
        """Whether no form of any weight is predicted to be faster."""
        return not any(self.choices)

    def places(self, share: float) -> list[int]:
        """Which form each linear gets, counted from 1, 0 for none, so that this share of what could be saved is."""
        return spend(self.curves, share * sum(float(curve.saved[-1]) for curve in self.curves))

    def loss(self, share: float) -> float:
        """The error of the outputs that is predicted for this share, of all linears added up."""
        places = self.places(share)
        return sum(float(curve.losses[place]) for curve, place in zip(self.curves, places, strict=True))

    def candidate(self, places: Sequence[int], share: float) -> ModelCandidate:
        """The model with these forms; behind the first linear that has one all others are fitted as well."""
        graph, other = self.task.model.graph, False
        original, changed = self._stages(), self._stages()
        products: dict[str, tuple[Form, Projected]] = {}
        numbers = iter(zip(places, self.choices, strict=True))
        for linears in self._groups():
            forms = [found[place - 1].form if place else None for place, found in (next(numbers) for _ in linears)]
            if not other and not any(forms):
                continue
            before = self._sampled(original, self.task.model.graph, linears)
            now = self._sampled(changed, graph, linears) if other else before
            put: dict[str, tuple[Array, Array]] = {}
            for linear, form, one, after in zip(linears, forms, before, now, strict=True):
                if form is None and not other:
                    continue
                moments = self._moments(linear, one, after)
                if form is not None:
                    products[linear.address] = form, fitted(form, moments)
                weight = moments.best if form is None else products[linear.address][1].product
                put[linear.address] = weight, moments.bias(weight)
            graph = put_weights(graph, put)
            other = True
        return ModelCandidate(
            method="projection",
            model=put_products(graph, products, self.target),
            settings={"share": share},
            projected=tuple(self._told(linear, products) for linear in self.linears if linear.address in products),
        )

    def _moments(self, linear: Linear, before: Sampled, now: Sampled) -> Moments:
        """Of what enters a linear by now, and the results that it has in the original."""
        weight = self._weight(linear)
        if now is before:
            return moments_of(now.gram, weight)
        results = before.results(np.concatenate([weight, np.zeros((1, weight.shape[1]))]))
        return moments_of(now.gram, weight, now.target(results), chosen_damping(now, results, weight))

    def _told(self, linear: Linear, products: Mapping[str, tuple[Form, Projected]]) -> ProjectedWeight:
        form = products[linear.address][0]
        K, N = linear.shape
        return ProjectedWeight(node=linear.address, form=form.name, rank=form.rank, share=form.macs(linear) / (K * N))

    def _groups(self) -> list[list[Linear]]:
        """Neighbours that read the same value."""
        groups: list[list[Linear]] = []
        for linear in self.linears:
            if groups and groups[-1][0].activation is linear.activation:
                groups[-1].append(linear)
            else:
                groups.append([linear])
        return groups

    def _stages(self) -> Stages:
        return Stages(self.task.model, self.task.calibration.feeds, self.task.trials)

    def _sampled(self, stages: Stages, graph: ir.Model, linears: Sequence[Linear]) -> list[Sampled]:
        return sampled(stages, graph, linears, self.task.model.name)

    def _weight(self, linear: Linear) -> Float64:
        return linear.canonical(self.seen.found.constants).astype(np.float64)

    def _curve(self, linear: Linear, moments: Moments, found: Sequence[Choice], error: OutputError) -> Curve:
        """What forms save and lose, as errors of the outputs: what a loss comes to there is measured for one of them,
        and is in proportion for others."""
        energy = max(moments.energy, np.finfo(np.float64).tiny)
        losses = np.array([0.0, *(one.loss / energy for one in found)])
        curve = Curve(
            counts=np.arange(losses.size), saved=np.array([0.0, *(one.saved for one in found)]), losses=losses
        )
        if not losses[1:].any():
            return curve
        place = 1 + int(np.argmin(np.abs(losses[1:] - PROBE)))
        weight = fitted(found[place - 1].form, moments).product
        away = error(put_weights(self.task.model.graph, {linear.address: (weight, moments.bias(weight))}))
        return replace(curve, losses=losses * (away / losses[place])) if losses[place] else curve
