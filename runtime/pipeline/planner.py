"""What plans one model, and models made of it by annealing, with the same options; and tunes the plan where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...ir.graph.sizes import Setting
from ...ir.io.load import Model
from ...ir.onnx_ir import collected_seldom
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.plan import Plan
from ...ir.plan.preparation import Preparation, Refused
from ...ir.progress import Progress
from ...passes.planning.make_plan import make_plan
from ...passes.planning.settings import PlanSettings
from .options import PlanOptions

if TYPE_CHECKING:
    from ..ort.trials import Trials
    from ..tune.tuned import Tuned

__all__ = ["Planner", "at_home", "with_graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """loaded: the model, in whose file the weights may still lie; settings, sized: of `make_plan`; tell: warns of
    sizes that were lowered; trials: how units are raced, None where the plan is not tuned; cache: whether what was
    measured is kept."""

    loaded: Model
    options: PlanOptions
    settings: PlanSettings
    sized: Callable[[], tuple[Setting, ...]]
    tell: Callable[[], None]
    trials: Trials | None = None
    cache: bool = True
    progress: Progress | None = None

    @staticmethod
    def of(
        loaded: Model,
        options: PlanOptions,
        trials: Trials | None = None,
        cache: bool = True,
        progress: Progress | None = None,
        run: Trials | None = None,
        graphs: bool = True,
    ) -> Planner:
        """run: how the model is going to be timed, where it is: then costs are predicted for sizes that fit into
        memory; graphs: whether costs on CUDA are those of launches in a CUDA graph. Raises InputError for sizes of what
        is not open."""
        sized, tell = options.sized(loaded), nothing_lowered
        if run is not None:
            from ..inputs.sizes.agreement import refuse_contradictions
            from ..inputs.sizes.room import settings_within

            refuse_contradictions(loaded, options.batches, run, fixed=options.fix or ())
            sized, tell = settings_within(loaded, options.batches, run)
        return Planner(
            loaded=loaded,
            options=options,
            settings=replace(options.settings(loaded), cuda_graph=graphs),
            sized=sized,
            tell=tell,
            trials=trials,
            cache=cache,
            progress=progress,
        )

    def __call__(self, model: Model) -> tuple[Plan, Tuned | None]:
        """A plan for the model, or for what annealing left of it, and what was measured for it where it is tuned."""

        def make(taken_back: tuple[Refused, ...] = (), measured: tuple[Preparation, ...] = ()) -> Plan:
            settings = replace(self.settings, taken_back=taken_back, measured=measured)
            with collected_seldom(len(model.graph.graph)):
                return make_plan(model, settings, sized=self.sized, progress=self.progress)

        if self.trials is None:
            return make(), None
        from ..tune.preparations import tune_preparations
        from ..tune.tune import tune

        home, batch = at_home(self.loaded, model), self.options.batches
        fixed = self.options.force or bool(self.options.wanted)
        told: Any = {"cache": self.cache, "force": fixed, "progress": self.progress}
        with phase("tune"):
            before = tune_preparations(home, make, self.trials, batch, **told)
            found = tune(home, before.plan, self.trials, batch, **told)
        return found.plan, found.behind(before)

    def without(self, kinds: Iterable[str]) -> Planner:
        """The same that leaves some kinds of preparations away."""
        settings = self.settings
        return replace(self, settings=replace(settings, unprepared=settings.unprepared | frozenset(kinds)))

    def one_by_one(self) -> Planner:
        """The same that takes each linear alone."""
        return replace(self, settings=replace(self.settings, regions=False))


def nothing_lowered() -> None:
    """Costs are predicted for the sizes that were asked for."""


def at_home(loaded: Model, exact: Model) -> Model:
    """The same model, with the file that its weights are read from."""
    return Model(graph=exact.graph, name=exact.name, path=loaded.path, home=loaded.home)


def with_graph(model: Model, graph: ir.Model) -> Model:
    """The same model with another graph, which has no file of its own."""
    return Model(graph=graph, name=model.name, kept=model.kept)
