"""Falling back: which units of a plan go back to dense when the whole model was measured slower than the original."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...ir.errors import ScissionError
from ...ir.graph.activations import Activations
from ...ir.io.load import Model
from ...ir.phase import phase
from ...ir.plan.plan import Plan
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ...passes.planning.units.signature import signature
from ...passes.planning.units.unit import PlanUnit, alone, form_of, plan_units
from ...passes.rewrite.extract import extract
from ...passes.rewrite.prepare import planned_view
from ...passes.rewrite.rewrite import rewrite
from ..inputs.sizes.settings import given_sizes, settings_of
from ..inputs.spec import spec_of
from ..measure.comparison import Comparison, Speed
from ..measure.race import race
from ..ort.trials import Trials
from .cache import key_of
from .form_race import Raced, Racer, race_submodel, why_not

__all__ = ["ROUNDS", "Fallback", "dropped", "to_drop", "unit_speeds"]

ROUNDS = 5  # whole models that are built, checked and timed before the original is handed back
UNKNOWN = 1.0  # where a unit stands among the others that could not be measured by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A unit and how fast it was by itself, at its worst.

    way: how it was lowered; speed: times as fast as dense, None where it could not be measured; slower: whether that is
    clear; batch: at which, None where the graph fixes it; reason: why it goes back to dense.
    """

    nodes: tuple[str, ...]
    way: str
    speed: float | None
    slower: bool
    batch: int | None
    reason: Reason

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "nodes": list(self.nodes), **self.reason.to_dict()}


@phase("race each unit")
def unit_speeds(
    model: Model,
    plan: Plan,
    trials: Trials,
    batch: Sequence[int] | None = None,
    *,
    progress: Progress | None = None,
    racer: Racer = race,
) -> tuple[Fallback, ...]:
    """Every unit of a plan raced with its dense form, the slowest first; batch: as in `make_plan`.

    Units that are alike are measured once. Raises PlanError when the plan is for another model.
    """
    seen = planned_view(model.graph, plan)
    given = given_sizes(model, spec_of(model, given=True), trials)
    activations = Activations(seen.model, settings_of(model, batch, given))
    known: dict[str, tuple[Comparison, int | None] | None] = {}
    found = []
    units = plan_units(plan, seen)
    for index, unit in enumerate(units):
        if progress:
            progress(index, len(units), unit.nodes[0])
        problem: Reason | None = None
        speed: tuple[Comparison, int | None] | None = None
        try:
            part = extract(seen, unit.operators, unit.inner)
            key = key_of(
                {
                    "unit": signature(part, [step.decomposition for step in unit.steps]),
                    "form": form_of(unit.steps, unit.region),
                    "extents": [step.extents for step in unit.steps],
                }
            )
            if key not in known:
                form = rewrite(part, alone(plan, unit.steps, (unit.region,) if unit.region else ()))
                races = race_submodel(model, part, {unit.way: form}, activations, trials=trials, racer=racer)
                known[key] = _lowest(races.forms[unit.way], races.counts)
            speed = known[key]
        except ScissionError as error:
            problem = why_not(error)
        found.append(_fallback(unit, speed, problem))
    return tuple(sorted(found, key=lambda one: UNKNOWN if one.speed is None else one.speed))


def _lowest(raced: Raced, counts: Sequence[int | None]) -> tuple[Comparison, int | None] | None:
    if raced.problem or raced.lowest is None:
        return None
    speed, place = raced.lowest
    return speed, counts[place]


def _fallback(unit: PlanUnit, speed: tuple[Comparison, int | None] | None, problem: Reason | None) -> Fallback:
    if speed is None:
        why = f"the whole model was measured slower with it; {problem or 'it cannot be measured by itself'}"
        return Fallback(
            nodes=unit.nodes, way=unit.way, speed=None, slower=False, batch=None, reason=Reason(Cause.UNMEASURED, why)
        )
    found, batch = speed
    at = f" at batch {batch}" if batch is not None else ""
    why = f"measured {found.ratio:.2f}x ({found.range}) the speed of dense{at}"
    slower = found.speed is Speed.SLOWER
    if not slower:
        why += ", and the whole model was slower with it"
    return Fallback(
        nodes=unit.nodes, way=unit.way, speed=found.ratio, slower=slower, batch=batch, reason=Reason(Cause.SLOWER, why)
    )


def to_drop(speeds: Sequence[Fallback], gone: Collection[Fallback]) -> tuple[Fallback, ...]:
    """The units that go next: all that are clearly slower than dense by themselves, then one by one, slowest first.

    speeds: of all units, the slowest first; gone: those that went before.

    >>> units = [Fallback(nodes=(name,), way="split 2", speed=speed, slower=speed < 1, batch=1,
    ...                   reason=Reason(Cause.SLOWER, ""))
    ...          for name, speed in (("a", 0.5), ("b", 0.9), ("c", 1.1), ("d", 1.2))]
    >>> first = to_drop(units, ())
    >>> [unit.nodes for unit in first], [unit.nodes for unit in to_drop(units, first)]
    ([('a',), ('b',)], [('c',)])
    """
    left = [one for one in speeds if one not in gone]
    slow = [one for one in left if one.slower]
    return tuple(slow or left[:1])


def dropped(plan: Plan, units: Sequence[Fallback]) -> Plan:
    """The plan with some units left dense, each for its own reason; reorderings stay."""
    for unit in units:
        plan = plan.kept_dense(unit.nodes, unit.reason)
    return plan
