"""An original and a changed model on the same labelled inputs: what the task metric and the outputs say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...passes.rewrite.comparable.seeding import common_seeds, draws, seeded
from ..measure.deviation import compare_values
from ..ort.library import Choice
from ..ort.opened import written
from ..ort.session import ModelSource, Session, open_session
from ..ort.trials import Trials
from .dataset import Labelled
from .metric.metric import Metric, MetricError
from .room import kept_outputs, within_memory

__all__ = ["Batches", "Measured", "SideBySide", "side_by_side"]

Array = npt.NDArray[Any]
HELD = 1 << 30  # bytes of the original's outputs that are kept; beyond, the original runs again beside each model


class Batches(Protocol):
    """Samples, batch by batch: `Labelled` ones, or feeds of any sizes."""

    @property
    def feeds(self) -> Sequence[Mapping[str, Array]]:
        """What the model is fed."""

    @property
    def labels(self) -> Sequence[Array] | None:
        """The labels of each feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """metric: of the changed model; baseline: of the original on the same inputs; drop: how much worse, positive =
    worse; deviation: largest error relative to the largest value of its output; cosine: mean over the outputs."""

    metric: float
    baseline: float
    drop: float
    deviation: float
    cosine: float | None


def side_by_side(model: Model, data: Labelled, metric: Metric, trials: Trials) -> SideBySide:
    """A model beside changed copies, run as the trials say: within memory, as far as that can be."""
    held = kept_outputs(model, trials, HELD)
    data = within_memory(model, data, trials)
    return SideBySide(model, data, metric, trials.provider, trials.threads, trials.custom_ops, held)


@dataclass(slots=True)
class SideBySide:
    """Runs the original once over all inputs and compares changed copies with it, one after another.

    held: bytes within which the outputs of the original are kept. Raises SessionError when ONNX Runtime refuses a
    model, MetricError when the metric does not suit the outputs.
    """

    model: Model
    data: Batches
    metric: Metric
    provider: Choice = "auto"
    threads: int | None = None
    custom_ops: Sequence[Path] = ()
    held: int = HELD
    _session: Session | None = field(default=None, init=False)
    _kept: dict[int, Mapping[str, Any]] = field(default_factory=dict, init=False)
    _size: int = field(default=0, init=False)
    _baseline: float | None = field(default=None, init=False)

    @property
    def baseline(self) -> float:
        """The metric of the original itself."""
        if self._baseline is None:
            labels = self.data.labels
            scores = [
                self.metric.score(outputs, outputs, None if labels is None else labels[index])
                for index, outputs in enumerate(self._original())
            ]
            self._baseline = self.metric.aggregate(scores)
            if not math.isfinite(self._baseline):
                raise MetricError(
                    f"{self.model.name}: the metric {self.metric.name!r} of the original itself is {self._baseline}: "
                    "nothing can be judged by it; give other data, or correct the metric"
                )
        return self._baseline

    def measure(self, changed: ir.Model) -> Measured:
        """The changed copy of the model on all inputs."""
        labels = self.data.labels
        scores, worst, cosines, weights = [], 0.0, [], []
        baseline = self.baseline
        with written(self.model, self._steady(changed), "changed") as path:
            session = self._open(path)
            for index, (feed, before) in enumerate(zip(self.data.feeds, self._original(), strict=True)):
                after = session.run(feed)
                scores.append(self.metric.score(after, before, None if labels is None else labels[index]))
                for name, value in before.items():
                    for report in compare_values(name, value, after[name], math.inf, None):
                        worst = max(worst, math.inf if not math.isfinite(report.max_rel) else report.max_rel)
                        if report.cosine is not None:
                            cosines.append(report.cosine)
                            weights.append(report.elements)
            del session
        value = self.metric.aggregate(scores)
        drop = baseline - value if self.metric.higher_is_better else value - baseline
        cosine = float(np.average(cosines, weights=weights)) if cosines and sum(weights) else None
        return Measured(metric=value, baseline=baseline, drop=drop, deviation=worst, cosine=cosine)

    def _steady(self, graph: ir.Model) -> ir.Model:
        """A copy whose random operators draw the same numbers as those of the original in every session."""
        drawing = draws(graph)
        return seeded(graph, common_seeds(draws(self.model.graph), drawing)[1]) if drawing else graph.clone()

    def _open(self, path: Path) -> Session:
        source = ModelSource(path, self.model.name)
        return open_session(source, provider=self.provider, threads=self.threads, custom_ops=self.custom_ops)

    def _original(self) -> Iterator[Mapping[str, Any]]:
        """The outputs of the original, batch by batch."""
        for index, feed in enumerate(self.data.feeds):
            known = self._kept.get(index)
            if known is None:
                known = self._run(feed)
                size = sum(value.nbytes for value in known.values() if isinstance(value, np.ndarray))
                if self._size + size <= self.held:
                    self._kept[index] = known
                    self._size += size
            yield known

    def _run(self, feed: Mapping[str, Array]) -> Mapping[str, Any]:
        if self._session is None:
            if self.model.path is not None and not draws(self.model.graph):
                self._session = self._open(self.model.path)
            else:
                with written(self.model, self._steady(self.model.graph), "original") as path:
                    self._session = self._open(path)
        return self._session.run(feed)
