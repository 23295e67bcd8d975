"""Preparations raced: what a plan does before anything is split, beside the part of the model that it is done to.

plan ──► race each ──► slower: taken back │ faster in another form: that one ──► plan anew, until all are raced
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from ...ir.errors import ScissionError
from ...ir.graph.activations import Activations
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan
from ...ir.plan.preparation import Preparation, Refused
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ...passes.planning.units.prepared import (
    PreparedUnit,
    PreparedWay,
    is_raced,
    key_of_preparation,
    prepared_units,
    prepared_ways,
    way_of_preparations,
)
from ...passes.planning.units.signature import signature
from ...passes.planning.units.unit import alone
from ...passes.rewrite.extract import SOURCE
from ...passes.rewrite.preparations import prepared
from ...passes.rewrite.rewrite import rewrite
from ..inputs.sizes.settings import given_sizes, settings_of
from ..inputs.spec import spec_of
from ..measure.race import race
from ..ort.trials import Trials
from .form_race import DENSE, Racer, why_not
from .tuned import Tuned, TunedUnit, Way, at_batches
from .unit_races import Contest, Outcome, UnitRaces, target_of, unsettled

__all__ = ["MakePlan", "tune_preparations"]

# Makes a plan without some preparations, each with the reason, and with others in a form that was measured.
MakePlan: TypeAlias = Callable[[tuple[Refused, ...], tuple[Preparation, ...]], Plan]
Key: TypeAlias = tuple[str, tuple[str, ...]]

ELSEWHERE = Reason(Cause.AS_ASKED, "left away, so that it is seen what is planned in its place")


def tune_preparations(
    model: Model,
    make: MakePlan,
    trials: Trials | None = None,
    batch: Sequence[int] | None = None,
    *,
    cache: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    racer: Racer = race,
) -> Tuned:
    """A plan whose preparations were each raced with the part of the model that they are done to, and what was found.

    In the race are other forms of a preparation and what is planned where it is taken back. One that is clearly slower
    than its part, or than what is planned instead, is taken back, unless `force` is true, and is among what the plan
    refuses; one that is clearly faster in another form gets it. What is planned then is raced as well, until there is
    nothing new. Options and what is raised are those of `tune`.
    """
    trials = trials or Trials()
    work = _Work(make=make, races=UnitRaces.of(model, trials, cache=cache, force=force, racer=racer), batch=batch)
    plan = make((), ())
    while new := [one for one in plan.preparations if is_raced(one) and key_of_preparation(one) not in work.units]:
        changed = work.race_new(plan, new, progress)
        plan = make(tuple(work.back.values()), tuple(work.kept.values())) if changed else work.told(plan)
    there = {key_of_preparation(one) for one in plan.preparations} | work.back.keys()
    units = tuple(unit for key, unit in work.units.items() if key in there)
    return Tuned(plan=plan, units=units, warnings=tuple(work.races.cache.warnings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What is known of preparations by now, by kind and nodes: what was measured, which are taken back, and as what
    others are kept."""

    make: MakePlan
    races: UnitRaces
    batch: Sequence[int] | None
    units: dict[Key, TunedUnit] = field(default_factory=dict)
    back: dict[Key, Refused] = field(default_factory=dict)
    kept: dict[Key, Preparation] = field(default_factory=dict)

    def race_new(self, plan: Plan, new: Sequence[Preparation], progress: Progress | None) -> bool:
        """Race those preparations of a plan; whether one of them is taken back, or kept in another form."""
        model, trials = self.races.model, self.races.trials
        others = tuple(Refused(kind=one.kind, nodes=one.nodes, gain=one.gain, reason=ELSEWHERE) for one in new)
        without = self.make((*self.back.values(), *others), tuple(self.kept.values()))
        given = given_sizes(model, spec_of(model, given=True), trials)
        sized = settings_of(model, self.batch, given)
        wanted, changed = {key_of_preparation(one): one for one in new}, False
        for unit in prepared_units(model.graph, plan):
            one = unit.preparation if isinstance(unit, PreparedUnit) else unit[0]
            if (key := key_of_preparation(one)) not in wanted:
                continue
            if progress:
                progress(len(self.units), len(self.units) + len(wanted), one.nodes[0])
            del wanted[key]
            self.kept[key] = one
            if not isinstance(unit, PreparedUnit):
                self.units[key] = _unmeasured(one, way_of_preparations([one]), unit[1])
                continue
            try:
                goes = self._raced(unit, without, Activations(unit.seen.model, sized))
            except ScissionError as error:
                self.units[key] = _unmeasured(one, unit.way, error)
                continue
            changed |= goes
            for other in unit.followers if goes else ():  # taken back, or what they are about will not be there
                wanted.pop(key_of_preparation(other), None)
        return changed

    def told(self, plan: Plan) -> Plan:
        """A plan with what was measured among the reasons of its preparations."""
        found = (self.kept.get(key_of_preparation(one), one) if is_raced(one) else one for one in plan.preparations)
        return replace(plan, preparations=tuple(found))

    def _raced(self, unit: PreparedUnit, without: Plan, activations: Activations) -> bool:
        """Race one; whether it is taken back, or kept in another form."""
        key = key_of_preparation(unit.preparation)
        rows = activations.of(unit.linear) if unit.linear is not None else ()
        ways = prepared_ways(unit, without, tuple(map(math.prod, rows)), target_of(without, self.races.trials))
        source, outcome = self.races.run(_contest(unit, without, ways, activations), activations)
        self.units[key] = _tuned(unit, ways, source, outcome)
        winner = next((way for way in ways if way.way == outcome.winner), None)
        if winner is None or winner.own is None:
            del self.kept[key]
            self.back[key] = _refused(unit, ways, outcome)
            return True
        if lowest := outcome.forms[winner.way].lowest:
            measured = f"measured {lowest[0].ratio:.2f}x the speed of dense{at_batches(outcome.counts)}"
            own = winner.own
            self.kept[key] = replace(own, reason=own.reason.told(f"{own.reason}; {measured}"))
        if winner.way != unit.way:  # without what follows it, where something does
            why = _refused(unit, ways, outcome)
            for other in unit.followers:
                gone = replace(why, kind=other.kind, nodes=other.nodes, gain=other.gain)
                self.back[key_of_preparation(other)] = gone
        return winner.way != unit.way


def _contest(unit: PreparedUnit, without: Plan, ways: Sequence[PreparedWay], activations: Activations) -> Contest:
    steps = [step for way in ways for step in way.steps]
    shape = [list(unit.linear.shape)] if unit.linear is not None else []
    return Contest(
        node=unit.nodes[0],
        part=unit.part,
        planned=unit.way,
        forms={way.way: partial(_form, unit.part, way, without) for way in ways},
        what={
            "unit": signature(unit.part, [step.decomposition for step in steps]) | {"weights": shape},
            "planned": next(way.form for way in ways if way.way == unit.way),
            "ways": [way.form for way in ways],
            "extents": _extents(unit, activations),
        },
        extents=partial(_extents, unit),
    )


def _form(part: ir.Model, way: PreparedWay, without: Plan) -> ir.Model:
    """The part in one way; raises PlanError where it cannot be built."""
    made = prepared(part, way.preparations)
    return rewrite(made, alone(without, way.steps, ())) if way.steps else made


def _extents(unit: PreparedUnit, ran: Activations) -> list[Any]:
    """The activation rows of a linear, of anything else the extents of what enters, in each setting."""
    if unit.linear is not None:
        return [ran.of(unit.linear)]
    sources = [source for value in unit.part.graph.inputs if (source := value.meta.get(SOURCE)) is not None]
    return [[ran.shape(source, place) for place in range(len(ran.settings))] for source in sources]


def _tuned(unit: PreparedUnit, ways: Sequence[PreparedWay], source: str, outcome: Outcome) -> TunedUnit:
    return TunedUnit(
        nodes=unit.nodes,
        preparation=unit.preparation.kind,
        planned=unit.way,
        winner=outcome.winner,
        batch=outcome.counts,
        table=tuple(Way.of(one.way, one.gain, outcome.forms[one.way]) for one in ways),
        source=source,
        settled=outcome.settled,
        note="" if outcome.settled else unsettled(unit.way, outcome.winner),
    )


def _unmeasured(one: Preparation, way: str, error: ScissionError) -> TunedUnit:
    return TunedUnit(nodes=one.nodes, preparation=one.kind, planned=way, winner=way, note=why_not(error).text)


def _refused(unit: PreparedUnit, ways: Sequence[PreparedWay], outcome: Outcome) -> Refused:
    """What is told of a preparation that is taken back."""
    one, name = unit.preparation, unit.nodes[0]
    lowest = outcome.forms[unit.way].lowest
    problem = outcome.forms[unit.way].problem
    if problem is not None:
        why = problem.told(f"{name}: {unit.way}: {problem}")
    else:
        slow = f"{lowest[0].ratio:.2f}x the speed of dense" if lowest else "nothing"
        other = outcome.forms[outcome.winner].lowest if outcome.winner != DENSE else None
        beside = f", {outcome.winner} {other[0].ratio:.2f}x" if other else ""
        why = Reason(Cause.SLOWER, f"{name}: {unit.way} is measured {slow}{beside}{at_batches(outcome.counts)}")
    return Refused(kind=one.kind, nodes=one.nodes, gain=one.gain, reason=why)
