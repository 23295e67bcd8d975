"""Tuning: every way to lower a unit of a plan built as a small model, raced with the dense one, a clear winner kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...ir.errors import ScissionError
from ...ir.graph.activations import Activations
from ...ir.graph.linear import Linear
from ...ir.graph.view import View
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan, Step
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ...passes.planning.units.alternatives import Alternative, alternatives
from ...passes.planning.units.signature import signature
from ...passes.planning.units.unit import PlanUnit, alone, form_of, plan_units, replaced
from ...passes.rewrite.extract import extract
from ...passes.rewrite.prepare import planned_view
from ...passes.rewrite.rewrite import rewrite
from ..inputs.sizes.settings import given_sizes, settings_of
from ..inputs.spec import spec_of
from ..measure.race import race
from ..ort.trials import Trials
from .form_race import DENSE, Racer, why_not
from .tuned import Tuned, TunedUnit, Way, at_batches
from .unit_races import Contest, UnitRaces, target_of, unsettled

__all__ = ["tune"]


def tune(
    model: Model,
    plan: Plan,
    trials: Trials | None = None,
    batch: Sequence[int] | None = None,
    *,
    cache: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    racer: Racer = race,
) -> Tuned:
    """Measure every unit of a plan by itself, in all ways that are worth trying, and keep the fastest.

    A way that is clearly faster than the planned one takes its place, see `choose_winner`; where the planned one is
    clearly slower than dense at any size and no other is better the unit stays dense, unless `force` is true. What is
    not clear changes nothing and is measured again by the next run. Operators that fall apart but are left dense by
    prediction are tuned as well. Equal units are measured once. What is done before anything is split stays, see
    `tune_preparations`. trials: provider, threads, sizes, seed, tolerance and seconds of a race; batch: as in
    `make_plan`; cache: whether measurements are taken from the user's cache and kept there; racer: what times models,
    see `race`. Raises PlanError when the plan is for another model, SessionError when ONNX Runtime
    is missing or the provider cannot be had.
    """
    trials = trials or Trials()
    seen = planned_view(model.graph, plan)
    given = given_sizes(model, spec_of(model, given=True), trials)
    work = _Work(
        seen=seen,
        plan=plan,
        activations=Activations(seen.model, settings_of(model, batch, given)),
        races=UnitRaces.of(model, trials, cache=cache, force=force, racer=racer),
    )
    units = plan_units(plan, seen, idle=True)
    found = []
    for index, unit in enumerate(units):
        if progress:
            progress(index, len(units), unit.nodes[0])
        steps, regions, tuned = work.tuned(unit)
        plan = replaced(plan, unit, steps, regions)
        found.append(tuned)
    return Tuned(plan=plan, units=tuple(found), warnings=tuple(work.races.cache.warnings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the tuning of all units of a plan shares."""

    seen: View
    plan: Plan
    activations: Activations
    races: UnitRaces

    def tuned(self, unit: PlanUnit) -> tuple[tuple[Step, ...], tuple[Any, ...], TunedUnit]:
        """The steps and regions that take the place of a unit's, and what was measured."""
        same = unit.steps, (unit.region,) if unit.region else ()
        try:
            ways = alternatives(unit, self.seen, self.plan, target_of(self.plan, self.races.trials))
            if not ways:
                return *same, TunedUnit(nodes=unit.nodes, planned=unit.way, winner=unit.way, note="no way to split it")
            part = extract(self.seen, unit.operators, unit.inner)
            source, outcome = self.races.run(self._contest(unit, part, ways), self.activations)
        except ScissionError as error:
            return *same, TunedUnit(nodes=unit.nodes, planned=unit.way, winner=unit.way, note=why_not(error).text)
        raced, counts = outcome.forms, outcome.counts
        table = tuple(Way.of(one.way, one.gain, raced[one.way]) for one in ways)
        unit_ = TunedUnit(
            nodes=unit.nodes,
            planned=unit.way,
            winner=outcome.winner,
            batch=counts,
            table=table,
            source=source,
            settled=outcome.settled,
            note="" if outcome.settled else unsettled(unit.way, outcome.winner),
        )
        if outcome.winner == DENSE and unit.way != DENSE:
            return tuple(_kept_dense(step, table, counts) for step in unit.steps), (), unit_
        winner = next((one for one in ways if one.way == outcome.winner), None)
        lowest = raced[winner.way].lowest if winner is not None else None
        if winner is None or lowest is None:  # nothing could be measured, or it is dense as planned
            return *same, unit_
        note = f"measured {lowest[0].ratio:.2f}x the speed of dense{at_batches(counts)}"
        steps = tuple(replace(step, reason=step.reason.told(f"{step.reason}; {note}")) for step in winner.steps)
        return steps, winner.regions, unit_

    def _contest(self, unit: PlanUnit, part: ir.Model, ways: Sequence[Alternative]) -> Contest:
        return Contest(
            node=unit.nodes[0],
            part=part,
            planned=unit.way,
            forms={one.way: partial(self._form, part, one) for one in ways},
            what={
                "unit": signature(part, [step.decomposition for one in ways for step in one.steps]),
                "planned": form_of(unit.steps, unit.region),
                "ways": [form_of(one.steps, one.regions[0] if one.regions else None) for one in ways],
                "extents": [step.extents for step in unit.steps],
            },
            extents=partial(_extents, unit),
        )

    def _form(self, part: ir.Model, one: Alternative) -> ir.Model:
        """The submodel in one way; raises PlanError where it cannot be built."""
        return rewrite(part, alone(self.plan, one.steps, one.regions))


def _extents(unit: PlanUnit, ran: Activations) -> list[Any]:
    """What each step computes where it ran, as steps have it."""
    own = {one.address: ran.of(one) if isinstance(one, Linear) else ran.of_sequences(one) for one in unit.operators}
    return [own.get(step.node, step.extents) for step in unit.steps]


def _kept_dense(step: Step, table: Sequence[Way], counts: Sequence[int | None]) -> Step:
    """A step that stays dense, or does so now, because no way was faster."""
    lowest = [min(speeds) for way in table if (speeds := [speed for speed in way.speeds if speed is not None])]
    best = f"at most {max(lowest):.2f}x the speed of dense is measured" if lowest else "no way computes the same"
    blocks = f"{step.components} blocks" if step.components > 1 else "a hidden block-triangular form"
    return replace(step, lowering="dense", reason=Reason(Cause.SLOWER, f"{blocks}, but {best}{at_batches(counts)}"))
