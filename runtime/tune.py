"""Tuning: every way to lower a unit of a plan built as a small model, raced with the dense one, the winner kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .. import __version__
from ..ir.errors import ScissionError
from ..ir.model import Model
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.plan import Plan, PlanError, Step
from ..ir.view import View
from ..passes.alternatives import Alternative, alternatives
from ..passes.excerpt import excerpt, ground
from ..passes.plan_unit import PlanUnit, alone, plan_units, replaced
from ..passes.planner import Progress
from ..passes.rewrite import rewrite
from ..passes.signature import signature
from .compare import Trials
from .environment import machine
from .excerpt_race import DENSE, Raced, Racer, race_excerpt, why_not
from .race import race
from .tuning_cache import TuningCache, cache_path, key_of

__all__ = ["LEAST", "Tuned", "TunedUnit", "Way", "tune"]

LEAST = 1.02  # a measured gain below this is none
MACHINE = ("cpu", "cores", "gpu", "onnxruntime", "provider")  # what a measurement depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to lower a unit: predicted gain at its worst, and how many times faster than dense it was at each row
    count, None where it was no longer run; problem: why it was thrown out, else empty."""

    way: str
    predicted: float
    speeds: tuple[float | None, ...]
    problem: str = ""

    @property
    def worst(self) -> float:
        """Its lowest measured speed, 0 where one is missing."""
        return Raced(speeds=self.speeds, problem=self.problem).worst


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedUnit:
    """What was measured of one unit.

    planned, winner: how the plan lowered it before and lowers it now; rows: the row counts, None where the graph fixes
    them; table: all ways, best predicted first; source: 'measured', 'cache', or the node of an equal unit of the same
    run; note: why it was not measured, else empty.
    """

    nodes: tuple[str, ...]
    planned: str
    winner: str
    rows: tuple[int | None, ...] = ()
    table: tuple[Way, ...] = ()
    source: str = "measured"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A plan with the measured winners, what was measured of each unit, and what could not be read or kept."""

    plan: Plan
    units: tuple[TunedUnit, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The measurements for JSON; the plan is not among them."""
        return {"units": [asdict(unit) for unit in self.units], "warnings": list(self.warnings)}


def tune(
    model: Model,
    plan: Plan,
    trials: Trials | None = None,
    rows: Sequence[int] | None = None,
    *,
    cache: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    racer: Racer = race,
) -> Tuned:
    """Measure every unit of a plan by itself, in all ways that are worth trying, and keep the fastest.

    The winner has the highest of the lowest speeds over all row counts; where none reaches `LEAST` times the speed of
    dense the unit stays dense, unless `force` is true. Operators that fall apart but are left dense by prediction are
    tuned as well. Equal units are measured once. trials: provider, threads, sizes, seed and tolerance; rows: those of
    the plan by default; cache: whether measurements are taken from the user's cache and kept there; racer:
    what times models, see `race`. Raises PlanError when the plan is for another model, SessionError when ONNX Runtime
    is missing or the provider cannot be had.
    """
    trials = trials or Trials()
    seen = ground(model.graph, plan)
    here = machine(trials.provider)
    work = _Work(
        model=model,
        seen=seen,
        plan=plan,
        trials=trials,
        rows=tuple(rows or plan.rows),
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
        steps, joints, tuned = work.tuned(unit)
        plan = replaced(plan, unit, steps, joints)
        found.append(tuned)
    return Tuned(plan=plan, units=tuple(found), warnings=tuple(work.cache.warnings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the tuning of all units shares; known: what was measured in this run, and of which node, by key."""

    model: Model
    seen: View
    plan: Plan
    trials: Trials
    rows: tuple[int, ...]
    force: bool
    racer: Racer
    cache: TuningCache
    here: Mapping[str, Any]
    known: dict[str, tuple[str, tuple[int | None, ...], dict[str, Raced]]]

    def tuned(self, unit: PlanUnit) -> tuple[tuple[Step, ...], tuple[Any, ...], TunedUnit]:
        """The steps and joints that take the place of a unit's, and what was measured."""
        same = unit.steps, (unit.joint,) if unit.joint else ()
        try:
            ways = alternatives(unit, self.seen, self.plan, threads=self.trials.threads)
            if not ways:
                return *same, TunedUnit(nodes=unit.nodes, planned=unit.way, winner=unit.way, note="no way to split it")
            part = excerpt(self.seen, unit.operators, unit.inner)
            source, counts, raced = self._raced(unit, part, ways)
        except ScissionError as error:
            return *same, TunedUnit(nodes=unit.nodes, planned=unit.way, winner=unit.way, note=why_not(error))
        table = tuple(
            Way(way=one.way, predicted=one.gain, speeds=raced[one.way].speeds, problem=raced[one.way].problem)
            for one in ways
        )
        best = max(table, key=lambda way: way.worst, default=None)
        won = best is not None and best.worst > 0 and (best.worst >= LEAST or self.force)
        winner = next((one for one in ways if won and best is not None and one.way == best.way), None)
        unit_ = TunedUnit(
            nodes=unit.nodes,
            planned=unit.way,
            winner=winner.way if winner else DENSE,
            rows=counts,
            table=table,
            source=source,
        )
        if winner is None or best is None:
            if self.force:  # nothing could be measured, so the plan stands
                return *same, replace(unit_, winner=unit.way)
            return tuple(_kept_dense(step, table, counts) for step in unit.steps), (), unit_
        note = f"measured {best.worst:.2f}x the speed of dense{_at(counts)}"
        steps = tuple(replace(step, reason=f"{step.reason}; {note}") for step in winner.steps)
        return steps, winner.joints, unit_

    def _raced(
        self, unit: PlanUnit, part: ir.Model, ways: Sequence[Alternative]
    ) -> tuple[str, tuple[int | None, ...], dict[str, Raced]]:
        """Where the figures come from, the row counts, and what came of each way; from memory where it was there."""
        what = self._what(part, ways)
        key = key_of(what)
        if key in self.known:
            return self.known[key]
        kept = self.cache.get(key)
        if kept is not None and kept.keys() == {one.way for one in ways}:
            columns = {len(speeds) for speeds in kept.values()}
            if len(columns) == 1:
                counts: tuple[int | None, ...] = self.rows if columns == {len(self.rows)} else (None,) * columns.pop()
                return "cache", counts, {way: Raced(speeds=speeds) for way, speeds in kept.items()}
        counts, raced = self._measured(part, ways)
        self.known[key] = (unit.nodes[0], counts, raced)
        if not any(one.problem for one in raced.values()):
            self.cache.put(key, what, {way: one.speeds for way, one in raced.items()})
        return "measured", counts, raced

    def _measured(self, part: ir.Model, ways: Sequence[Alternative]) -> tuple[tuple[int | None, ...], dict[str, Raced]]:
        forms, refused = {}, {}
        for one in ways:
            try:
                forms[one.way] = rewrite(part, alone(self.plan, one.steps, one.joints))
            except PlanError as error:
                refused[one.way] = Raced(problem=str(error))
        counts, raced = race_excerpt(self.model, part, forms, trials=self.trials, rows=self.rows, racer=self.racer)
        return counts, raced | refused

    def _what(self, part: ir.Model, ways: Sequence[Alternative]) -> dict[str, Any]:
        """Everything that a measurement depends on."""
        return {
            "unit": signature(part, [step.decomposition for one in ways for step in one.steps]),
            "ways": [one.way for one in ways],
            "rows": list(self.rows),
            "sizes": dict(sorted((self.trials.sizes or {}).items())),
            "threads": self.trials.threads,
            "cuda_graph": self.trials.cuda_graph,
            "machine": dict(self.here),
            "scission": __version__,
        }


def _kept_dense(step: Step, table: Sequence[Way], counts: Sequence[int | None]) -> Step:
    """A step that stays dense, or does so now, because no way was faster."""
    lowest = [min(speeds) for way in table if (speeds := [speed for speed in way.speeds if speed is not None])]
    best = f"at most {max(lowest):.2f}x the speed of dense is measured" if lowest else "no way computes the same"
    blocks = f"{step.components} blocks" if step.components > 1 else "a hidden block-triangular form"
    return replace(step, lowering="dense", reason=f"{blocks}, but {best}{_at(counts)}")


def _at(counts: Sequence[int | None]) -> str:
    known = [str(count) for count in counts if count is not None]
    return f" (rows {', '.join(known)})" if known else ""
