"""Races of the units of one model: each measured once in a run, and taken from what was kept of runs before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ... import __version__
from ...ir.graph.activations import Activations
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan, PlanError
from ...ir.reason import Cause, Reason
from ...passes.lowering.target import Target, threads_of
from ..measure.race import race
from ..ort.environment import machine
from ..ort.trials import Trials
from .cache import KeptRace, TuningCache, cache_path, key_of
from .form_race import DENSE, Raced, Racer, fitted, race_submodel
from .winner import choose_winner

__all__ = ["MACHINE", "Contest", "Outcome", "UnitRaces", "target_of", "unsettled"]

MACHINE = ("cpu", "cores", "gpu", "onnxruntime", "provider")  # what a measurement depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the race of one unit: its batches, each way by name, and which of them won."""

    counts: tuple[int | None, ...]
    forms: Mapping[str, Raced]
    winner: str
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contest:
    """What is raced: the unit of a node as a model of its own, and what makes each form of it, by way.

    planned: the way that the plan has; what: all that the measurement depends on but for sizes and the machine;
    extents: of what is computed where it is run.
    """

    node: str
    part: ir.Model
    planned: str
    forms: Mapping[str, Callable[[], ir.Model]]
    what: Mapping[str, Any]
    extents: Callable[[Activations], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRaces:
    """What the races of all units share; known: what was measured in this run, and of which node, by key."""

    model: Model
    trials: Trials
    force: bool
    racer: Racer
    cache: TuningCache
    known: dict[str, tuple[str, Outcome]] = field(default_factory=dict)

    @staticmethod
    def of(model: Model, trials: Trials, *, cache: bool, force: bool, racer: Racer = race) -> UnitRaces:
        """cache: whether measurements are taken from the user's cache and kept there; force: as in `choose_winner`;
        racer: what times models."""
        kept = TuningCache.open(cache_path() if cache else None)
        return UnitRaces(model=model, trials=trials, force=force, racer=racer, cache=kept)

    @property
    def here(self) -> dict[str, Any]:
        """The machine, as far as measurements depend on it."""
        found = machine(self.trials.provider)
        return {name: found[name] for name in MACHINE}

    def run(self, one: Contest, activations: Activations) -> tuple[str, Outcome]:
        """Where the figures come from, and the figures; from memory where it was there."""
        what = self._what(one, activations)
        key = key_of(what)
        if key in self.known:
            node, outcome = self.known[key]
            return "measured" if node == one.node else node, outcome
        names = list(one.forms)
        kept = self.cache.get(key)
        if kept is not None and len(kept.forms) != len(names):
            kept = None
        if kept is not None and kept.sizes is None:
            return "cache", _remembered(kept, names, activations)
        forms, refused = _built(one)
        ran = fitted(self.model, one.part, forms, activations, self.trials)
        if kept is not None and kept.sizes == tuple(_sizes(ran)):
            return "cache", _remembered(kept, names, ran)
        outcome = self._measured(one, forms, refused, ran)
        if not any(raced.problem and raced.problem.cause is Cause.DIFFERENT for raced in outcome.forms.values()):
            self.known[key] = (one.node, outcome)  # else it depends on what the weights hold, which keys leave out
        if outcome.settled and not any(raced.problem for raced in outcome.forms.values()):
            kept = KeptRace(
                forms=tuple(outcome.forms[name].found for name in names),
                winner=None if outcome.winner == DENSE else names.index(outcome.winner),
                sizes=None if ran is activations else tuple(_sizes(ran)),
            )
            self.cache.put(key, what | {"sizes": _sizes(ran), "extents": one.extents(ran)}, kept, names)
        return "measured", outcome

    def _measured(
        self, one: Contest, forms: Mapping[str, ir.Model], refused: Mapping[str, Raced], ran: Activations
    ) -> Outcome:
        """The race in settings that fit."""
        races = race_submodel(self.model, one.part, forms, ran, trials=self.trials, racer=self.racer, fits=True)
        raced = dict(races.forms) | dict(refused)
        complete = [name for name in one.forms if raced[name].complete]
        found = choose_winner(complete, one.planned, DENSE, races.beside, force=self.force)
        return Outcome(counts=races.counts, forms=raced, winner=found.form, settled=found.settled)

    def _what(self, one: Contest, activations: Activations) -> dict[str, Any]:
        """Everything that a measurement depends on."""
        return {
            **one.what,
            "force": self.force,
            "sizes": _sizes(activations),
            "threads": self.trials.threads,
            "cuda_graph": self.trials.cuda_graph,
            "tf32": self.trials.tf32,
            "machine": self.here,
            "scission": __version__,
        }


def _built(one: Contest) -> tuple[dict[str, ir.Model], dict[str, Raced]]:
    """The submodel in every way, by name, and what cannot be built."""
    forms, refused = {}, {}
    for name, make in one.forms.items():
        try:
            forms[name] = make()
        except PlanError as error:
            refused[name] = Raced(problem=Reason(Cause.UNWRITABLE, str(error)))
    return forms, refused


def _sizes(activations: Activations) -> list[dict[str, int]]:
    return [dict(sorted(one.sizes.items())) for one in activations.settings]


def _remembered(kept: KeptRace, names: Sequence[str], ran: Activations) -> Outcome:
    batch = tuple(one.batch for one in ran.settings)
    sizes = len(kept.forms[0])
    return Outcome(
        counts=batch if sizes == len(batch) else (None,) * sizes,
        forms={name: Raced(found=found) for name, found in zip(names, kept.forms, strict=True)},
        winner=DENSE if kept.winner is None else names[kept.winner],
        settled=True,
    )


def unsettled(planned: str, winner: str) -> str:
    """What is told of a race that did not show which way is best."""
    if winner == planned:
        return "which way is fastest is not measurable on this machine now, so it stays as planned"
    return "faster than planned, but whether it is the fastest is not measurable on this machine now"


def target_of(plan: Plan, trials: Trials) -> Target:
    """What products run on: as many threads as trials are given, all cores where none are."""
    several = 1 if plan.provider == "cuda" else threads_of(trials.threads)
    return Target(provider=plan.provider, threads=several)
