"""Groups of units of a model's axes, found on weights and on what enters them with samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.view import View
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Indices
from ....passes.cocluster.balanced import AxisGroups, Tie, equal_groups
from ....passes.pruning.greedy import Reading
from ..removal.sampled import sampled
from ..removal.stages import Stages
from ..task.method import DecomposeTask
from .places import Place

__all__ = ["Grouped", "grouped", "readings"]

Feed: TypeAlias = "Mapping[str, npt.NDArray[Any]]"


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """A weight in blocks with the labels of its inputs (K,) and outputs (N,); kept: the share of its energy that is
    inside of them."""

    place: Place
    inputs: Indices
    outputs: Indices
    kept: float


def readings(
    task: DecomposeTask, feeds: Sequence[Feed], seen: View, graph: ir.Model, places: Sequence[Place]
) -> dict[str, Reading]:
    """What each weight reads with some feeds, and the weight with a row of zeros for the column of ones behind its
    inputs; by address.

    graph: the model as its weights are by now. Raises CalibrationError where a value holds a NaN or an Inf.
    """
    stages = Stages(task.model, feeds, task.trials)
    values = {value.name: value for value in graph.graph.initializers.values()}
    found = {}
    for place in sorted(places, key=lambda one: list(seen.model.graph).index(one.linear.node)):
        linear = place.linear
        (one,) = sampled(stages, graph, [linear], task.model.name)
        held = values.get(linear.weight.name)
        stored = held.const_value.numpy() if held is not None and held.const_value is not None else None
        weight = linear.canonical(seen.found.constants) if stored is None else linear.as_matrix(stored)
        whole = np.concatenate([weight.astype(np.float64), np.zeros((1, weight.shape[1]))])
        found[linear.address] = Reading(one.gram, whole)
    return found


def grouped(
    read: Mapping[str, Reading], places: Sequence[Place], sizes: Sequence[int], count: int, seed: int
) -> tuple[Grouped, ...]:
    """The places with the labels of both of their axes, in so many groups.

    The energy of an entry is what it adds to the squares of the results: its square times the mean square of what
    enters it.
    """
    axes = sorted({axis for one in places for axis in (one.source, one.target)})
    at = {axis: place for place, axis in enumerate(axes)}
    ties = []
    for one in places:
        reading = read[one.linear.address]
        energy = np.square(reading.weight[:-1]) * np.diag(reading.gram)[:-1, None]
        ties.append(Tie(at[one.source], at[one.target], energy))
    found: AxisGroups = equal_groups([sizes[axis] for axis in axes], ties, count, np.random.default_rng(seed))
    labels = {axis: found.labels[place] for axis, place in at.items()}
    return tuple(
        Grouped(one, labels[one.source], labels[one.target], kept) for one, kept in zip(places, found.kept, strict=True)
    )
