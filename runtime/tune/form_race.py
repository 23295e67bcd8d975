"""One unit of a plan by itself: its submodel and rewritten forms of it, checked against each other and raced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from ...ir.errors import ScissionError
from ...ir.graph.activations import Activations
from ...ir.graph.sizes import Setting
from ...ir.io.load import Model
from ...ir.io.save import save
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ORIGIN
from ...ir.reason import Cause, Reason
from ...ir.staging.folder import temporary_folder
from ...passes.rewrite.extract import SOURCE
from ..compare.check import check
from ..compare.compare import make_feeds
from ..compare.own_error import nearer, with_exact_frames
from ..inputs.sizes.settings import given_sizes, smaller_settings
from ..inputs.spec import spec_of
from ..measure.comparison import Comparison
from ..measure.deviation import compare_values
from ..measure.race import Race, race
from ..ort.library import SessionError
from ..ort.memory import COMPARED, fitting, footprint, limit_of, session_bytes, tell_lowered, weight_bytes
from ..ort.session import ModelSource, open_session
from ..ort.trials import Trials

__all__ = ["DENSE", "Raced", "Racer", "Races", "fitted", "race_submodel", "why_not"]

DENSE = "dense"
FEEDS = 3  # inputs that are held at a time, one for each setting
DROP = 1.5  # a form that clearly takes that many times as long as the fastest is not run again
HOPELESS = 0.9  # nor at further settings one that is clearly so slow beside dense: it cannot win any more
PRECISE = 1.1  # ends of the interval of the fastest beside dense that far apart are near enough

Racer: TypeAlias = Callable[..., Race]
Feed: TypeAlias = "Mapping[str, npt.NDArray[Any]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """One form of a submodel.

    found: how many times faster than dense it was, in each setting, None where it was no longer run; problem: why it
    was not run at all, None where all is well.
    """

    found: tuple[Comparison | None, ...] = ()
    problem: Reason | None = None

    @property
    def speeds(self) -> tuple[float | None, ...]:
        """How many times faster than dense it was, in each setting, without the intervals."""
        return tuple(one.ratio if one is not None else None for one in self.found)

    @property
    def complete(self) -> bool:
        """Whether it ran in every setting."""
        return bool(self.found) and not self.problem and None not in self.found

    @property
    def worst(self) -> float:
        """Its lowest speed, 0 where one is missing."""
        return min(speed or 0.0 for speed in self.speeds) if self.complete else 0.0

    @property
    def lowest(self) -> tuple[Comparison, int] | None:
        """Where it was slowest beside dense among what was measured, and in which setting; None where nothing was."""
        known = [(one, place) for place, one in enumerate(self.found) if one is not None]
        return min(known, key=lambda one: one[0].ratio, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Races:
    """Races of the forms of one submodel at several sizes.

    counts: the batches, None where the sizes are fixed; forms: what came of each; races: one for each setting that
    anything was run at.
    """

    counts: tuple[int | None, ...]
    forms: Mapping[str, Raced]
    races: tuple[Race, ...]

    def beside(self, form: str, other: str) -> tuple[Comparison, ...]:
        """One form beside another, or beside dense, in every setting; both must have run at all of them."""
        return tuple(one.comparison(form, other) for one in self.races)


def race_submodel(
    home: Model,
    dense: ir.Model,
    forms: Mapping[str, ir.Model],
    activations: Activations,
    *,
    trials: Trials,
    racer: Racer = race,
    seconds: float | None = None,
    fits: bool = False,
) -> Races:
    """Race rewritten forms of a submodel with the dense one, on random inputs as large as they are in each setting.

    home: the model whose file holds the weights; activations: of the view that the submodel was cut out of; trials:
    provider, threads, seed and tolerance; seconds: that a race takes at most, in each setting, as in the trials by
    default; fits: whether the settings are known to fit into memory, else lower ones may be run, see `fitted`.
    Every form is checked first: one that computes something else, or that ONNX Runtime refuses, is not run.
    Raises SessionError, InputError, ModelError or BenchError when the submodel itself cannot be run.
    """
    if not fits:
        activations = fitted(home, dense, forms, activations, trials)
    feeds, counts = _draw(dense, trials, activations)
    # A form that cannot be recorded loses what a graph gains, rather than to end the race.
    graphs = "auto" if trials.cuda_graph == "on" else trials.cuda_graph
    timed = replace(trials, seconds=trials.seconds if seconds is None else seconds, cuda_graph=graphs)
    with _files(home, {DENSE: dense, **forms}) as paths:
        wrong = _problems(paths, feeds, trials)
        problems = {
            name: problem
            for name, problem in wrong.items()
            if problem.cause is not Cause.DIFFERENT
            or not _as_near(home, dense, forms[name], (paths[DENSE], paths[name]), feeds, trials)
        }
        running = {name: path for name, path in paths.items() if name not in problems}
        seen: dict[str, list[Comparison | None]] = {name: [] for name in forms}
        races = []
        for feed in feeds if len(running) > 1 else ():
            found = racer(running, feed, trials=timed, drop=DROP, precision=PRECISE)
            races.append(found)
            for name in forms:
                seen[name].append(found.comparison(name, DENSE) if name in running else None)
            slow = {name for name, told in seen.items() if (last := told[-1]) is not None and last.high < HOPELESS}
            running = {name: path for name, path in running.items() if name not in slow}
            if len(running) == 1:
                break
    raced = {}
    for name in forms:
        missing = [None] * (len(feeds) - len(seen[name]))
        problem = problems.get(name)
        raced[name] = Raced(problem=problem) if problem else Raced(found=(*seen[name], *missing))
    return Races(counts=counts, forms=raced, races=tuple(races))


def fitted(
    home: Model, dense: ir.Model, forms: Mapping[str, ir.Model], activations: Activations, trials: Trials
) -> Activations:
    """The same in settings in which all forms fit into memory beside one another: lower ones where they do not.

    Warns of those that are lower; raises NoMemoryError where not even the lowest can be run.
    """
    weights = sum(weight_bytes(one) for one in (dense, *forms.values()))
    held = session_bytes(dense, *forms.values())

    def need(setting: Setting) -> tuple[int, int]:
        there = Activations(activations.model, lambda: (setting,))
        sources = [(value, value.meta.get(SOURCE)) for value in dense.graph.inputs]
        shapes = {value.name or "": there.shape(source, 0) for value, source in sources if source is not None}
        found = [footprint(one, shapes) for one in (dense, *forms.values())]
        together = FEEDS * found[0].inputs + sum(one.values for one in found) + COMPARED * found[0].outputs
        return together, weights + sum(one.live for one in found)

    limit = limit_of(trials.memory, asked=bool(trials.sizes), weights=weight_bytes(dense))
    chosen = []
    for setting in activations.settings:
        fits, wanted = fitting(
            setting, _smaller(home, setting, trials), need, limit, held, dense.graph.name or home.name
        )
        if fits != setting:
            tell_lowered(setting.sizes, fits.sizes, wanted, limit)
        chosen.append(fits)
    lowered = tuple(one for place, one in enumerate(chosen) if one not in chosen[:place])
    return activations if lowered == activations.settings else Activations(activations.model, lambda: lowered)


def _smaller(home: Model, setting: Setting, trials: Trials) -> Iterator[Setting]:
    """Smaller settings, looked for once one is asked for."""
    yield from smaller_settings(home, setting, given_sizes(home, spec_of(home, given=True), trials))


def _draw(
    dense: ir.Model, trials: Trials, activations: Activations
) -> tuple[list[dict[str, Any]], tuple[int | None, ...]]:
    """Random inputs of the submodel in each setting that differs from the others, and the batch of each."""
    sources = [value.meta.get(SOURCE) for value in dense.graph.inputs]
    found: dict[tuple[Any, ...], int] = {}
    for place, setting in enumerate(activations.settings):
        shapes = tuple(source and activations.shape(source, place) for source in sources)
        found.setdefault(shapes, setting.batch)
    feeds = []
    for shapes in found:
        sized = dense.clone()
        for value, shape in zip(sized.graph.inputs, shapes, strict=True):
            value.shape = value.shape if shape is None else ir.Shape(shape)
        model = Model(graph=sized, name=dense.graph.name or "submodel")
        own = replace(trials, inputs=None, sizes=None, values=None, ranges=None, likes=None)
        feeds += make_feeds(model, own, lambda _: [{}])
    known = (isinstance(dim, int) for value in dense.graph.inputs for dim in value.shape or ())
    return feeds, (None,) if all(known) else tuple(found.values())


@contextmanager
def _files(home: Model, models: Mapping[str, ir.Model]) -> Iterator[dict[str, Path]]:
    """Models as files for as long as the context lasts; weights are read from where they lie."""
    source = Model(graph=home.graph, name=home.name, path=home.path, home=home.home)
    with temporary_folder() as folder:
        paths = {name: folder / f"{place}.onnx" for place, name in enumerate(models)}
        for name, model in models.items():
            save(source, model, paths[name])
        yield paths


def _problems(paths: Mapping[str, Path], feeds: Sequence[Feed], trials: Trials) -> dict[str, Reason]:
    """What is wrong with each form that is: how its outputs differ from the dense ones, or what refuses it."""
    options: dict[str, Any] = {
        "provider": trials.provider,
        "threads": trials.threads,
        "tf32": False,  # equal in float32, whatever they are timed in
        "custom_ops": trials.custom_ops,
    }
    session = open_session(ModelSource(paths[DENSE], DENSE), **options)
    expected = [session.run(feed) for feed in feeds]
    found: dict[str, Reason] = {}
    for name, path in paths.items():
        if name == DENSE:
            continue
        try:
            other = open_session(ModelSource(path, name), **options)
            reports = [
                report
                for feed, before in zip(feeds, expected, strict=True)
                for after in [other.run(feed)]
                for output in before
                for report in compare_values(output, before[output], after[output], trials.rtol, trials.atol)
            ]
        except SessionError as error:
            found[name] = Reason(Cause.REFUSED, str(error))
            continue
        if wrong := next((report.reason for report in reports if not report.equal), None):
            found[name] = Reason(Cause.DIFFERENT, wrong)
    return found


def _as_near(
    home: Model, dense: ir.Model, form: ir.Model, paths: tuple[Path, Path], feeds: Sequence[Feed], trials: Trials
) -> bool:
    """Whether a form that differs from the dense model is no further from the exact result than that itself is; paths:
    of the dense one, and of the form."""
    origins = {node.metadata_props[ORIGIN] for node in form.graph if ORIGIN in node.metadata_props}
    if (exact := with_exact_frames(dense, form, origins)) is None:
        return False
    before, after = paths
    run = partial(check, feeds=feeds, trials=replace(trials, tf32=False))
    with _files(home, {"exact": exact}) as files:
        own = partial(run, files["exact"], before)
        return nearer(run(before, after), run(files["exact"], after), own).equal


def why_not(error: ScissionError) -> Reason:
    """Why a unit cannot be measured, in one line."""
    return Reason(Cause.UNMEASURED, f"cannot be measured by itself: {' '.join(str(error).split())}")
