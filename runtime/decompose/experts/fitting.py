"""Networks of one model as experts: grouped once, written with fewer and fewer of them, fitted one behind another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.reason import Cause, Reason
from ....passes.decompose.fingerprint import fingerprint
from ....passes.experts.choose import ExpertSettings, NetworkSamples, choose_experts, fitted_down, why_not_sparse
from ....passes.experts.expert_split import ExpertSplit
from ....passes.experts.find import ExpertPlace
from ....passes.lowering.nodes.primitives import bias_of
from ....passes.rewrite.pruning.write_experts import write_experts
from ..removal.stages import Stages
from ..task.method import DecomposeTask, ModelCandidate, Removed
from .sampled import NetworkRows, sampled_rows

__all__ = ["ExpertFitting"]

Array = npt.NDArray[Any]

SHARED = 0.2  # of the hidden units that run for all samples
LEAST = 48  # units of an expert: smaller products take longer to call than to compute
MOST = 32  # experts of a network: there is a product for each of them
FEWEST = 4  # experts that are worth a router


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """One network, the split of its units with a quarter of its experts running, and what it is to compute, (M, d')."""

    place: ExpertPlace
    split: ExpertSplit
    target: Array


@dataclass(slots=True, eq=False)
class ExpertFitting:
    """Networks of a model that become experts; reasons: why others stay as they are."""

    task: DecomposeTask
    constants: Constants
    places: Sequence[ExpertPlace]
    networks: list[_Network] = field(default_factory=list, init=False)
    reasons: list[Reason] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        task = self.task
        stages = Stages(task.model, task.calibration.feeds, task.trials)
        for number, place in enumerate(self.places):
            rows = sampled_rows(stages, task.model.graph, place, task.model.name)
            seen = self._seen(place, rows)
            settings = _settings(place.up.shape[1])
            reason = why_not_sparse(seen.hidden)
            if settings is None or reason is not None:
                self.reasons.append(_told(place, reason))
                continue
            split = choose_experts(seen, settings, np.random.default_rng([task.seed, number]))
            self.networks.append(_Network(place, split, seen.hidden @ seen.down + rows.beside))

    def counts(self, share: float) -> list[int]:
        """How many experts of each network that share is, one at the least."""
        return [max(1, round(share * len(network.split.groups))) for network in self.networks]

    def candidate(self, counts: Sequence[int]) -> ModelCandidate:
        """The model with so many experts of each network running, each fitted behind those before it."""
        task, graph = self.task, self.task.model.graph
        stages = Stages(task.model, task.calibration.feeds, task.trials)
        removed: list[Removed] = []
        for network, count in zip(self.networks, counts, strict=True):
            place, target = network.place, network.target
            rows = sampled_rows(stages, graph, place, task.model.name)
            seen = self._seen(place, rows)
            split = replace(network.split, active=count)
            weight = fitted_down(split, seen.x, seen.hidden, seen.down, target - rows.beside)
            graph = write_experts(graph, [replace(split, weight=weight)])
            whole = place.up.shape[1]
            idle = round((1 - split.unit_share) * whole)
            removed.append(Removed(node=place.up.address, kind="units a sample", count=idle, whole=whole))
        return ModelCandidate(
            method="experts",
            model=graph,
            settings={"experts": [len(one.split.groups) for one in self.networks], "active": list(counts)},
            removed=tuple(removed),
        )

    def _seen(self, place: ExpertPlace, rows: NetworkRows) -> NetworkSamples:
        up, down = place.up, place.down
        weight = up.canonical(self.constants).astype(np.float32)
        found = bias_of(up, self.constants)
        bias = np.zeros(up.shape[1], np.float32) if found is None else found.astype(np.float32)
        return NetworkSamples(
            names=(up.address, down.address),
            sha256=(fingerprint(up.stored(self.constants)), fingerprint(down.stored(self.constants))),
            up=weight,
            bias=bias,
            down=down.canonical(self.constants).astype(np.float32),
            x=rows.x,
            hidden=np.maximum(rows.x @ weight + bias, 0),
        )


def _settings(units: int) -> ExpertSettings | None:
    """A power of two of experts, none of them too small; None for networks that are."""
    count = MOST
    while count >= FEWEST and (1 - SHARED) * units / count < LEAST:
        count //= 2
    return ExpertSettings(count=count, active=max(1, count // 4), shared=SHARED) if count >= FEWEST else None


def _told(place: ExpertPlace, reason: Reason | None) -> Reason:
    units = place.up.shape[1]
    if reason is None:
        reason = Reason(Cause.NO_GAIN, f"{units:,} hidden units are too few for experts of {LEAST} and more")
    return reason.told(f"{place.up.address} stays: {reason}")
