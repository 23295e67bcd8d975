"""The ways in which a unit of a plan could be lowered instead, the most promising ones by prediction."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from ....ir.graph.linear import Linear
from ....ir.graph.recurrent import Recurrent
from ....ir.graph.view import View
from ....ir.plan.plan import Plan, Step
from ....ir.plan.region_split import RegionSplit
from ....ir.reason import Cause, Reason
from ...decompose.recurrent import analyse_recurrent
from ...lowering.recurrent.lowering import CELLS
from ...lowering.region.lowering import REGIONS
from ...lowering.target import Target
from ..analysis import Analysis, analyse_linear
from ..candidates import Question, candidates
from ..cell_candidates import Direction, cell_candidates
from ..linear import names_of
from ..recurrent import runs_of
from ..regions import RegionOption, candidate, grown_from, joined, region_options
from ..wording import praise
from .unit import PlanUnit, way_of

__all__ = ["MOST", "Alternative", "alternatives"]

NO_GAIN_ALONE = Reason(Cause.NO_GAIN, "no gain by itself is predicted")
MOST = 6  # alternatives of one unit: each is built, checked and raced


@dataclass(frozen=True, slots=True, eq=False)
class Alternative:
    """One way to lower a unit, as the part of a plan that says so.

    way: in a few words, the same for units that are alike; gain: predicted dense time over lowered time, at its worst
    over row counts and machines.
    """

    way: str
    steps: tuple[Step, ...]
    regions: tuple[RegionSplit, ...]
    gain: float


def alternatives(unit: PlanUnit, seen: View, plan: Plan, target: Target, *, most: int = MOST) -> list[Alternative]:
    """At most `most` ways to lower a unit of a plan, the one of the plan among them, best predicted first.

    seen: what the steps of the plan are about; target: what the products will run on. Of every kind of lowering the
    best comes in before a second one of any kind, since what is predicted may be wrong for a whole kind. Dense is not
    among them. Reads the weights of the unit and changes nothing.
    """
    work = _Work(seen, plan, target)
    if not unit.linears:
        return _sorted(_ranked(work.of_recurrent(unit), unit.way)[:most])
    if unit.region is not None:
        return work.of_region(unit, most)
    found = work.of_step(unit.steps[0], unit.linears[0])
    ours = [] if any(one.way == unit.way for one in found) else _as_planned(unit)
    return _sorted(_ranked([*found, *ours], unit.way)[:most])


@dataclass(frozen=True, slots=True)
class _Work:
    """What the alternatives of a unit depend on besides the unit."""

    seen: View
    plan: Plan
    target: Target

    # One linear alone

    def of_step(self, step: Step, linear: Linear, analysis: Analysis | None = None) -> list[Alternative]:
        constants = self.seen.found.constants
        analysis = analysis or analyse_linear(linear, constants)
        question = Question(
            target=self.target,
            rows=self.plan.rows_of([step.node]),
            grain=self.plan.grain,
            asked=self.plan.wanted.way(*names_of(linear)),
        )
        found = []
        for one in candidates(linear, analysis, question, every=True):
            if one.fits:
                made = replace(
                    step,
                    lowering=one.lowering.name,
                    decomposition=one.decomposition,
                    gain=round(one.gain, 3),
                    reason=praise(analysis, one.decomposition, selects=not one.lowering.multiplies),
                    sha256=analysis.sha256,
                )
                found.append(Alternative(way_of([made], None), (made,), (), one.gain))
        return found

    # Linears together

    def of_region(self, unit: PlanUnit, most: int) -> list[Alternative]:
        constants = self.seen.found.constants
        analyses = {one: analyse_linear(one, constants) for one in unit.linears}
        apart = self._apart(unit, analyses)
        planned = _as_planned(unit)
        grown = grown_from(
            [made for one, own in analyses.items() if (made := candidate(one, own, constants)) is not None],
            constants,
            tail=True,
        )
        if grown is None or grown.region.linears != unit.linears:  # a plan that was edited by hand
            return _sorted([*planned, *apart])
        options = region_options(grown, self.plan.rows_of(unit.nodes), self.target, self.plan.grain)
        together = {one: option for option in options for one in [self._joined(unit, option, analyses)]}

        def can(option: RegionOption) -> bool:
            return REGIONS.why_not(grown.region, option.blocks, self.target) is None

        taken: list[Alternative] = []
        for one in _ranked(together, unit.way):
            if len(taken) < most - len(apart) and (one.way == unit.way or can(together[one])):
                taken.append(one)
        return _sorted([*(taken or planned), *apart])

    def _joined(self, unit: PlanUnit, option: RegionOption, analyses: dict[Linear, Analysis]) -> Alternative:
        own = [next(step for step in unit.steps if step.node == one.address) for one in unit.linears]
        together, made = joined(option, own, [analyses[one].sha256 for one in unit.linears])
        by_node = {step.node: step for step in together}
        steps = tuple(by_node[step.node] for step in unit.steps)
        return Alternative(way_of(steps, made), steps, (made,), option.gain)

    def _apart(self, unit: PlanUnit, analyses: dict[Linear, Analysis]) -> list[Alternative]:
        """Each of its linears by itself, as predicted best, dense where no gain is; nothing where all would be."""
        steps = {}
        dense, split = 0.0, 0.0
        for step, one in ((step, _of(unit, step)) for step in unit.steps):
            best = max(self.of_step(step, one, analyses[one]), key=lambda found: found.gain, default=None)
            taken = best if best is not None and best.gain > 1 else None
            steps[step.node] = taken.steps[0] if taken else replace(step, lowering="dense", reason=NO_GAIN_ALONE)
            dense += step.parameters
            split += step.parameters / (taken.gain if taken else 1)
        if all(step.lowering == "dense" for step in steps.values()):
            return []
        return [Alternative("apart", tuple(steps[step.node] for step in unit.steps), (), dense / split)]

    # Recurrent operators

    def of_recurrent(self, unit: PlanUnit) -> list[Alternative]:
        constants = self.seen.found.constants
        cells = {one.address: one for one in unit.operators if isinstance(one, Recurrent)}
        directions = []
        for step in unit.steps:
            cell = cells[step.node]
            runs = runs_of(cell, step.extents or [(1, count) for count in self.plan.batch])
            whole = analyse_recurrent(*cell.stored(constants), cell.direction).decomposition
            directions.append(Direction(cell=cell, blocks=whole, runs=runs))
        found = []
        for one in cell_candidates(directions, self.target, self.plan.grain):
            steps = tuple(
                replace(step, lowering=CELLS.name, decomposition=own, gain=round(gain, 3))
                for step, own, gain in zip(unit.steps, one.decompositions, one.gains, strict=True)
            )
            found.append(Alternative(way_of(steps, None), steps, (), one.gain))
        ours = [] if any(one.way == unit.way for one in found) else _as_planned(unit)
        return [*found, *ours]


def _of(unit: PlanUnit, step: Step) -> Linear:
    return next(one for one in unit.linears if one.address == step.node)


def _as_planned(unit: PlanUnit) -> list[Alternative]:
    if unit.way == "dense":
        return []
    gain = unit.region.gain if unit.region is not None else unit.steps[0].gain
    return [Alternative(unit.way, unit.steps, (unit.region,) if unit.region else (), gain or 1.0)]


def _kind(one: Alternative) -> Hashable:
    """What is tried at least once: the lowering, and of regions the layout and whether blocks are stacked."""
    made = one.regions[0] if one.regions else None
    return (one.steps[0].lowering, made and made.layout, made is not None and made.blocks_per_node > 1)


def _ranked(found: Iterable[Alternative], always: str) -> list[Alternative]:
    """The planned one, then the best of each kind, then the best of all; of equal ways the best."""
    best: dict[str, Alternative] = {}
    for one in _sorted(found):
        best.setdefault(one.way, one)
    kinds: dict[Hashable, Alternative] = {}
    for one in best.values():
        kinds.setdefault(_kind(one), one)
    planned = [one for one in best.values() if one.way == always]
    return list(dict.fromkeys([*planned, *kinds.values(), *best.values()]))


def _sorted(found: Iterable[Alternative]) -> list[Alternative]:
    return sorted(found, key=lambda one: -one.gain)
