"""Tuning: every way to lower a unit of a plan built as a small model, raced with the dense one, a clear winner kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import __version__
from ...ir.brief import brief, brief_line
from ...ir.errors import ScissionError
from ...ir.graph.activations import Activations
from ...ir.graph.linear import Linear
from ...ir.graph.view import View
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan, PlanError, Step
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ...passes.lowering.target import Target, threads_of
from ...passes.planning.units.alternatives import Alternative, alternatives
from ...passes.planning.units.signature import signature
from ...passes.planning.units.unit import PlanUnit, alone, form_of, plan_units, replaced
from ...passes.rewrite.extract import extract
from ...passes.rewrite.prepare import planned_view
from ...passes.rewrite.rewrite import rewrite
from ..inputs.sizes.settings import given_sizes, settings_of
from ..inputs.spec import spec_of
from ..measure.comparison import Comparison
from ..measure.race import race
from ..ort.environment import machine
from ..ort.trials import Trials
from .cache import KeptRace, TuningCache, cache_path, key_of
from .form_race import DENSE, Raced, Racer, fitted, race_submodel, why_not
from .winner import choose_winner

__all__ = ["MACHINE", "Tuned", "TunedUnit", "Way", "tune"]

MACHINE = ("cpu", "cores", "gpu", "onnxruntime", "provider")  # what a measurement depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to lower a unit: predicted gain at its worst, and how many times faster than dense it was at each
    batch, None where it was no longer run; problem: why it was thrown out, None where it was not."""

    way: str
    predicted: float
    found: tuple[Comparison | None, ...]
    problem: Reason | None = None

    @property
    def speeds(self) -> tuple[float | None, ...]:
        """The same without the intervals."""
        return Raced(found=self.found).speeds

    @property
    def worst(self) -> float:
        """Its lowest measured speed, 0 where one is missing."""
        return Raced(found=self.found, problem=self.problem).worst

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = [one.to_dict() if one is not None else None for one in self.found]
        wrong = self.problem
        told = {"problem": wrong.text if wrong else "", "cause": wrong.cause.value if wrong else None}
        return {"way": self.way, "predicted": self.predicted, **told, "found": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedUnit:
    """What was measured of one unit.

    planned, winner: how the plan lowered it before and lowers it now; batch: sizes of the leading open dimension, None
    where the graph fixes it; table: all ways, best predicted first; source: 'measured', 'cache', or the node of an
    equal unit of the same run; settled: whether the race showed which way is best, and is therefore kept for later
    runs; note: why it was not measured, or showed nothing, else empty.
    """

    nodes: tuple[str, ...]
    planned: str
    winner: str
    batch: tuple[int | None, ...] = ()
    table: tuple[Way, ...] = ()
    source: str = "measured"
    settled: bool = True
    note: str = ""

    __repr__ = brief_line

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("nodes", "planned", "winner", "batch", "source", "settled", "note")
        return {name: getattr(self, name) for name in names} | {"table": [way.to_dict() for way in self.table]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A plan with the measured winners, what was measured of each unit, and what could not be read or kept."""

    plan: Plan
    units: tuple[TunedUnit, ...]
    warnings: tuple[str, ...] = ()

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """The measurements for JSON; the plan is not among them."""
        return {"units": [unit.to_dict() for unit in self.units], "warnings": list(self.warnings)}


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
    prediction are tuned as well. Equal units are measured once. trials: provider, threads, sizes, seed, tolerance and
    seconds of a race; batch: as in `make_plan`; cache: whether measurements are taken from the user's cache
    and kept there; racer:
    what times models, see `race`. Raises PlanError when the plan is for another model, SessionError when ONNX Runtime
    is missing or the provider cannot be had.
    """
    trials = trials or Trials()
    seen = planned_view(model.graph, plan)
    here = machine(trials.provider)
    given = given_sizes(model, spec_of(model, given=True), trials)
    work = _Work(
        model=model,
        seen=seen,
        plan=plan,
        trials=trials,
        activations=Activations(seen.model, settings_of(model, batch, given)),
        force=force,
        racer=racer,
        cache=TuningCache.open(cache_path() if cache else None),
        here={name: here[name] for name in MACHINE},
        known={},
    )
    units = plan_units(plan, seen, idle=True)
    found = []
    for index, unit in enumerate(units):
        if progress:
            progress(index, len(units), unit.nodes[0])
        steps, regions, tuned = work.tuned(unit)
        plan = replaced(plan, unit, steps, regions)
        found.append(tuned)
    return Tuned(plan=plan, units=tuple(found), warnings=tuple(work.cache.warnings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What came of the race of one unit: its batches, each way by name, and which of them won."""

    counts: tuple[int | None, ...]
    forms: Mapping[str, Raced]
    winner: str
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the tuning of all units shares; known: what was measured in this run, and of which node, by key."""

    model: Model
    seen: View
    plan: Plan
    trials: Trials
    activations: Activations
    force: bool
    racer: Racer
    cache: TuningCache
    here: Mapping[str, Any]
    known: dict[str, tuple[str, _Outcome]]

    @property
    def target(self) -> Target:
        """What products run on: as many threads as trials are given, all cores where none are."""
        several = 1 if self.plan.provider == "cuda" else threads_of(self.trials.threads)
        return Target(provider=self.plan.provider, threads=several)

    def tuned(self, unit: PlanUnit) -> tuple[tuple[Step, ...], tuple[Any, ...], TunedUnit]:
        """The steps and regions that take the place of a unit's, and what was measured."""
        same = unit.steps, (unit.region,) if unit.region else ()
        try:
            ways = alternatives(unit, self.seen, self.plan, self.target)
            if not ways:
                return *same, TunedUnit(nodes=unit.nodes, planned=unit.way, winner=unit.way, note="no way to split it")
            part = extract(self.seen, unit.operators, unit.inner)
            source, outcome = self._outcome(unit, part, ways)
        except ScissionError as error:
            return *same, TunedUnit(nodes=unit.nodes, planned=unit.way, winner=unit.way, note=why_not(error).text)
        raced, counts = outcome.forms, outcome.counts
        table = tuple(
            Way(way=one.way, predicted=one.gain, found=raced[one.way].found, problem=raced[one.way].problem)
            for one in ways
        )
        unit_ = TunedUnit(
            nodes=unit.nodes,
            planned=unit.way,
            winner=outcome.winner,
            batch=counts,
            table=table,
            source=source,
            settled=outcome.settled,
            note="" if outcome.settled else _unsettled(unit.way, outcome.winner),
        )
        if outcome.winner == DENSE and unit.way != DENSE:
            return tuple(_kept_dense(step, table, counts) for step in unit.steps), (), unit_
        winner = next((one for one in ways if one.way == outcome.winner), None)
        lowest = raced[winner.way].lowest if winner is not None else None
        if winner is None or lowest is None:  # nothing could be measured, or it is dense as planned
            return *same, unit_
        note = f"measured {lowest[0].ratio:.2f}x the speed of dense{_at(counts)}"
        steps = tuple(replace(step, reason=step.reason.told(f"{step.reason}; {note}")) for step in winner.steps)
        return steps, winner.regions, unit_

    def _outcome(self, unit: PlanUnit, part: ir.Model, ways: Sequence[Alternative]) -> tuple[str, _Outcome]:
        """Where the figures come from, and the figures; from memory where it was there."""
        what = self._what(part, unit, ways)
        key = key_of(what)
        if key in self.known:
            return self.known[key]
        names = [one.way for one in ways]
        kept = self.cache.get(key)
        if kept is not None and len(kept.forms) != len(ways):
            kept = None
        if kept is not None and kept.sizes is None:
            return "cache", _remembered(kept, names, self.activations)
        forms, refused = self._forms(part, ways)
        ran = fitted(self.model, part, forms, self.activations, self.trials)
        if kept is not None and kept.sizes == tuple(_sizes(ran)):
            return "cache", _remembered(kept, names, ran)
        outcome = self._measured(unit, part, forms, refused, ran)
        self.known[key] = (unit.nodes[0], outcome)
        if outcome.settled and not any(one.problem for one in outcome.forms.values()):
            place = None if outcome.winner == DENSE else names.index(outcome.winner)
            race = KeptRace(
                forms=tuple(outcome.forms[name].found for name in names),
                winner=place,
                sizes=None if ran is self.activations else tuple(_sizes(ran)),
            )
            self.cache.put(key, what | {"sizes": _sizes(ran), "extents": _extents(unit, ran)}, race, names)
        return "measured", outcome

    def _forms(self, part: ir.Model, ways: Sequence[Alternative]) -> tuple[dict[str, ir.Model], dict[str, Raced]]:
        """The submodel in every way, by name, and what cannot be built."""
        forms, refused = {}, {}
        for one in ways:
            try:
                forms[one.way] = rewrite(part, alone(self.plan, one.steps, one.regions))
            except PlanError as error:
                refused[one.way] = Raced(problem=Reason(Cause.UNWRITABLE, str(error)))
        return forms, refused

    def _measured(
        self,
        unit: PlanUnit,
        part: ir.Model,
        forms: Mapping[str, ir.Model],
        refused: Mapping[str, Raced],
        ran: Activations,
    ) -> _Outcome:
        """The race in settings that fit."""
        races = race_submodel(self.model, part, forms, ran, trials=self.trials, racer=self.racer, fits=True)
        raced = dict(races.forms) | dict(refused)
        complete = [name for name, one in raced.items() if one.complete]
        found = choose_winner(complete, unit.way, DENSE, races.beside, force=self.force)
        return _Outcome(counts=races.counts, forms=raced, winner=found.form, settled=found.settled)

    def _what(self, part: ir.Model, unit: PlanUnit, ways: Sequence[Alternative]) -> dict[str, Any]:
        """Everything that a measurement depends on."""
        return {
            "unit": signature(part, [step.decomposition for one in ways for step in one.steps]),
            "planned": form_of(unit.steps, unit.region),
            "ways": [form_of(one.steps, one.regions[0] if one.regions else None) for one in ways],
            "force": self.force,
            "extents": [step.extents for step in unit.steps],
            "sizes": _sizes(self.activations),
            "threads": self.trials.threads,
            "cuda_graph": self.trials.cuda_graph,
            "tf32": self.trials.tf32,
            "machine": dict(self.here),
            "scission": __version__,
        }


def _sizes(activations: Activations) -> list[dict[str, int]]:
    return [dict(sorted(one.sizes.items())) for one in activations.settings]


def _extents(unit: PlanUnit, ran: Activations) -> list[Any]:
    """What each step computes where it ran, as steps have it."""
    own = {one.address: ran.of(one) if isinstance(one, Linear) else ran.of_sequences(one) for one in unit.operators}
    return [own.get(step.node, step.extents) for step in unit.steps]


def _remembered(kept: KeptRace, names: Sequence[str], ran: Activations) -> _Outcome:
    batch = tuple(one.batch for one in ran.settings)
    sizes = len(kept.forms[0])
    return _Outcome(
        counts=batch if sizes == len(batch) else (None,) * sizes,
        forms={name: Raced(found=found) for name, found in zip(names, kept.forms, strict=True)},
        winner=DENSE if kept.winner is None else names[kept.winner],
        settled=True,
    )


def _unsettled(planned: str, winner: str) -> str:
    """What is told of a race that did not show which way is best."""
    if winner == planned:
        return "which way is fastest is not measurable on this machine now, so it stays as planned"
    return "faster than planned, but whether it is the fastest is not measurable on this machine now"


def _kept_dense(step: Step, table: Sequence[Way], counts: Sequence[int | None]) -> Step:
    """A step that stays dense, or does so now, because no way was faster."""
    lowest = [min(speeds) for way in table if (speeds := [speed for speed in way.speeds if speed is not None])]
    best = f"at most {max(lowest):.2f}x the speed of dense is measured" if lowest else "no way computes the same"
    blocks = f"{step.components} blocks" if step.components > 1 else "a hidden block-triangular form"
    return replace(step, lowering="dense", reason=Reason(Cause.SLOWER, f"{blocks}, but {best}{_at(counts)}"))


def _at(counts: Sequence[int | None]) -> str:
    known = [str(count) for count in counts if count is not None]
    return f" (batch {', '.join(known)})" if known else ""
