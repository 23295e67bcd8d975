"""The validation stage (paper 4.5.1): a model annealed at several levels, each beside the original on the same
inputs."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from ...ir.brief import brief
from ...ir.errors import option
from ...ir.findings.level_sweep import LevelResult, OperatorLevel, Sweep, strongest, summarise
from ...ir.io.load import Model, Source, load
from ...ir.phase import phase
from ...ir.plural import and_more, once
from ...ir.progress import Progress
from ...ir.reason import Cause
from ...passes.anneal.annealed import Annealed, Found
from ...passes.anneal.edges.schemes import parse_scheme
from ...passes.anneal.model import anneal_model
from ...passes.anneal.settings import Anneal
from ...passes.rewrite.remove_edges import remove_edges
from ..fields import chosen, keywords
from ..ort.library import require_provider
from ..ort.trials import Trials, trials_of
from ..ort.validity import require_valid
from .annealer import Annealer, as_annealer
from .continuity import jumps
from .dataset import Labelled
from .metric_runner import Measured, SideBySide, side_by_side
from .prepare import LIKE, Prepared, prepare
from .room import within_memory
from .sources.columns import LabelledError
from .sweep_options import SweepKeywords, SweepOptions

if TYPE_CHECKING:
    from ...ir.findings.decomposability import ModelReport
    from ...passes.anneal.activity.activity import Activity

__all__ = ["LEVELLESS", "LEVELS", "Validation", "activity_of", "read_data", "sweep"]

LEVELS = (0.5, 0.2, 0.05, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-15, 1e-20, 1e-30)
EVERY = 0.999  # share of updated weights from which on a checkpoint says nothing
SHARE = 0.01  # of the metric's range, that a level may cost to be of use
WORTH = 0.95  # share of the multiply-adds from which on fewer of them are of use
NAMED = 3  # inputs that an error names
LEVELLESS = ("auto", "update", "support", "blocks")  # tests whose answer does not depend on a level


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A sweep, and where no level saves multiply-adds within the limit why the model does not decompose.

    limit: drop of the metric up to which a level counts; certain: whether the blocks of the test are beyond doubt, so
    that they count whatever they cost; report: None where some level decomposes the model, or none was asked for.
    """

    sweep: Sweep
    limit: float
    certain: bool = False
    report: ModelReport | None = None

    __repr__ = brief

    @property
    def decomposes(self) -> bool:
        """Whether some level within the limit, all weaker ones being so too, leaves blocks that save anything."""
        found = self.sweep.levels[-1] if self.certain else strongest(self.sweep.levels, self.limit)
        if found is None or found.mac_share >= WORTH:
            return False
        return any(one.components > 1 and one.mac_share < WORTH for one in found.operators)


@phase("sweep")
@keywords(SweepOptions)
def sweep(
    model: Source,
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str],
    options: SweepOptions | None = None,
    *,
    anneal: Annealer | str | None = None,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[SweepKeywords],
) -> Validation:
    """Anneal a model at each level and run it beside the original: edges, components, MACs, task metric, continuity.

    Each field of SweepOptions may be given as a keyword of its own, which goes before the one in `options`: labels, an
    array or a source of them, in the forms of data; metric, 'argmax', 'top5', 'cosine', 'mse', 'perplexity' or
    'python:module.function', each also as METRIC@OUTPUT; levels, alphas of the whole weight, swept from the weakest to
    the strongest; max_drop, 'argmax<=0.01', the drop up to which a level is of use, a hundredth of the metric's range
    unless given; explain, report why the model does not decompose, when it does not, and what its outputs are worth
    where it would.

    data: inputs by name, samples along the first axis, as arrays or as what holds them: an .npz or .npy file, a table
    (.csv, .parquet), a folder of samples, or 'module:function' that yields them; anneal: a method,
    or how to anneal in full: without any 'update' where an initial checkpoint is known, 'support' where the
    initialisation is bounded, 'blocks' where nothing is known and these are found, else 'neyman', which has levels to
    sweep; trials: how models are run; progress: called with (done, total, what). Nothing is written. Raises ModelError
    and SessionError when the model cannot be run, LabelledError for samples that do not fit it, OptionError and
    MetricError for options that cannot be, LevelError, AnnealError and AnnealOptionsError for what cannot be annealed,
    SchemeError and CheckpointError for how it was initialised.
    """
    started = time.monotonic()
    asked, trials = chosen(SweepOptions, options, single), trials_of(trials)
    loaded = load(model)
    require_valid(loaded, model, trials.custom_ops)
    require_provider(trials.provider, loaded.name)
    held, judge = read_data(loaded, data, asked.labels, trials), asked.judge
    how = swept_by(anneal)
    prepared = prepare(loaded, how, activity_of(loaded, how, held, trials))
    how, prepared, found_first = _blocks_first(loaded, as_annealer(anneal or "auto"), how, prepared)
    runner = side_by_side(loaded, held, judge, trials)
    levels = sorted({float(level) for level in asked.levels or LEVELS}, reverse=True)
    notes = [*prepared.notes, *found_first]
    if how.method in LEVELLESS:
        levels = [how.alpha]
        notes.append(f"the method {how.method!r} has no level to sweep: there is one row")
    if judge.needs_labels == "optional" and held.targets is None:
        notes.append(f"no labels were given: {judge.name} compares with the outputs of the original")
    results, bounded, seen = _swept(loaded, prepared, levels, runner, progress)
    notes += seen
    flagged = jumps(results, span=judge.span) if len(results) > 1 else ()
    swept = Sweep(
        model=loaded.name,
        test=_test(how),
        metric_name=judge.name,
        higher_is_better=judge.higher_is_better,
        baseline=runner.baseline,
        samples=held.samples,
        levels=tuple(results),
        jumps=flagged,
        notes=tuple(notes),
        seconds=time.monotonic() - started,
        leveled=how.method not in LEVELLESS,
        bounded=bounded,
    )
    limit = asked.budget.limit if asked.budget else SHARE * (judge.span or abs(runner.baseline) or 1.0)
    found = Validation(sweep=swept, limit=limit, certain=how.method in LEVELLESS)
    if not asked.explain or found.decomposes:
        return found
    report = _explained(loaded, prepared.settings, runner, progress)
    return replace(found, report=replace(report, test=how.method))


def _swept(
    loaded: Model, prepared: Prepared, levels: Sequence[float], runner: SideBySide, progress: Progress | None
) -> tuple[list[LevelResult], Literal["stated", "estimated"] | None, list[str]]:
    """What each level comes to, how the initialisation is known, and notes."""
    results: list[LevelResult] = []
    whole: set[str] = set()  # operators that a note says are kept as they are
    bounded: Literal["stated", "estimated"] | None = None
    notes: list[str] = []
    for index, level in enumerate(levels):
        if progress:
            progress(index, len(levels), f"level {level:g}")
        decided = anneal_model(loaded, replace(prepared.settings, level=level))
        if not results:
            notes += _unseen(decided, {linear.address for linear in prepared.survey.linears})
            notes += _doubts(decided)
            bounded = _bounded(decided)
        first = _kept_whole(decided)
        if first is not None and first not in whole:
            whole.add(first)
            notes.append(f"from level {level:g} on: nothing in {first} is confirmed, so it is kept as it is")
        results.append(_level(loaded, decided, level, runner))
    return results, bounded, notes


def _explained(model: Model, settings: Anneal, runner: SideBySide, progress: Progress | None) -> ModelReport:
    """Why a model does not decompose, with what its outputs are worth where no weight has a giant any more."""
    from ...ir.findings.decomposability import Worth
    from ...passes.anneal.decomposability import at_half, examine

    report = examine(model, settings, progress=progress)
    removed = at_half(model, report)
    if not removed:
        return report
    there = runner.measure(remove_edges(model.graph, removed))
    return replace(report, worth=Worth(metric=runner.metric.name, value=there.metric, original=there.baseline))


def swept_by(options: Annealer | str | None) -> Annealer:
    """How to anneal in a sweep: a method by its name, and without one the test that suits what is known of the start.

    Where nothing is, a sweep is what tells how far an estimate may be trusted: each level is measured.
    """
    options = as_annealer(options or "auto")
    if options.method != "auto" or options.initial is not None:
        return options
    stated = options.init is not None and not options.init.startswith(LIKE)
    bounded = stated and parse_scheme(options.init or "").family == "uniform"
    return replace(options, method="support" if bounded else "neyman")


def _blocks_first(
    model: Model, given: Annealer, options: Annealer, prepared: Prepared
) -> tuple[Annealer, Prepared, tuple[str, ...]]:
    """The options, settings and a note: where nothing is known of the start, blocks that are found need no level."""
    if given.method != "auto" or given.init is not None or given.initial is not None or given.literal or given.exposed:
        return options, prepared, ()
    settings = replace(prepared.settings, method="blocks")
    if not anneal_model(model, settings).annealing:
        why = "co-clustering finds no blocks (annealing by blocks says why), so the levels of single edges are swept"
        # Whether an estimate fits or not, all that is done with it here is to measure what it would cost.
        return options, replace(prepared, settings=replace(settings, method=options.method, accept_null=True)), (why,)
    return replace(options, method="blocks"), replace(prepared, settings=settings), ()


def _bounded(decided: Annealed) -> Literal["stated", "estimated"] | None:
    """Whether every null in use is a bounded law, and where from."""
    nulls = [one.evidence.null for one in decided.found if one.evidence is not None and one.evidence.null is not None]
    if not nulls or any(null.family != "uniform" for null in nulls):
        return None
    return "estimated" if any(null.estimated for null in nulls) else "stated"


def read_data(
    model: Model, data: Labelled | Mapping[str, Any] | str | os.PathLike[str], labels: Any, trials: Trials
) -> Labelled:
    """The labelled samples for the inputs of a model, from arrays or files of them, or as they are.

    Raises LabelledError for what holds none, and for labels beside samples that have theirs, NoMemoryError where a file
    holds more than may be used.
    """
    from ..inputs.spec import spec_of
    from ..ort.memory import limit_of
    from .dataset import labelled, read_labelled
    from .sources.forms import FORMS

    if isinstance(data, Labelled):
        if labels is not None:
            raise LabelledError(f"{model.name}: the data are labelled already; leave ", option("labels"), " out")
        return data
    spec = spec_of(model, given=True)
    is_file = isinstance(labels, (str, os.PathLike))
    if not isinstance(data, (Mapping, str, os.PathLike)):
        names = ", ".join(f"{value.name!r}: …" for value in spec[:NAMED])
        what = f"a {type(data).__name__} holds no labelled inputs"
        raise LabelledError(f"{model.name}: {what}; give {{{names}}}, samples first, or {FORMS}")
    most = limit_of(trials.memory, asked=True).most
    told = Path(labels) if is_file else labels
    if isinstance(data, Mapping):
        return labelled(data, spec, told, most=most)
    return read_labelled(Path(data), spec, told, most=most)


def activity_of(
    model: Model, options: Annealer, data: Labelled | None, trials: Trials
) -> Mapping[str, Activity] | None:
    """What calibration data show of each linear, where the options ask for it."""
    if not options.needs_data or data is None:
        return None
    from ...ir.graph.view import view
    from .activations import observe

    return observe(
        model,
        view(model.graph).found.linears,
        within_memory(model, data, trials).feeds,
        provider=trials.provider,
        threads=trials.threads,
        custom_ops=trials.custom_ops,
    )


def _test(options: Annealer) -> str:
    spelt = "edge by edge" if options.literal else "block-fill"
    plain = options.method in LEVELLESS
    return f"{options.method}, {spelt}" if plain else f"{options.method}, {spelt}, {options.correction}"


def _unseen(decided: Annealed, linears: Collection[str]) -> list[str]:
    """Notes on the linears that could not be tested."""
    left = ((skip.node, skip.reason.text) for skip in decided.skipped if skip.node in linears)
    return [f"not annealed: {node}: {why}" for node, why in once(left)]


def _doubts(decided: Annealed) -> list[str]:
    """What speaks against believing a test: no sigma, another run's checkpoint, weights that it did not look at."""
    notes = []
    tested = [one.evidence for one in decided.found if one.evidence is not None]
    if any(one.null is not None and one.null.estimated and one.test != "blocks" for one in tested):
        notes.append(
            "sigma was estimated from the trained weights themselves, which makes an edge-wise test circular: "
            "state the initialisation or give the initial weights, or anneal blocks"
        )
    updates = [one.confirmed for one in tested if one.test == "update"]
    if updates and min(updates) > EVERY:
        notes.append("every weight differs from the initial checkpoint: it is of another run, or all were updated")
    if updates and max(updates) == 0:
        notes.append("no weight differs from the initial checkpoint: it may be the trained model itself")
    misfits = [one for one in decided.found if one.reason is not None and one.reason.cause is Cause.MISFIT]
    if misfits:
        notes.append(f"not annealed: {and_more(misfits[0].node, len(misfits) - 1)}: {misfits[0].reason}")
    untested = [one for one in decided.found if one.evidence is None]
    if untested:
        notes.append(f"not tested: {and_more(untested[0].node, len(untested) - 1)}: {untested[0].reason}")
    return notes


def _kept_whole(decided: Annealed) -> str | None:
    """The first operator in which nothing is confirmed any more: it is kept, not removed whole."""
    whole = [one for one in decided.found if one.annealing is None and one.evidence and one.evidence.confirmed == 0]
    if not whole or len(whole) == len(decided.found):
        return None
    return whole[0].node


def _level(model: Model, decided: Annealed, level: float, runner: SideBySide) -> LevelResult:
    """One level with its measurements; where nothing is removed the model need not run again."""
    higher = runner.metric.higher_is_better
    same = Measured(metric=runner.baseline, baseline=runner.baseline, drop=0.0, deviation=0.0, cosine=1.0)
    found = runner.measure(remove_edges(model.graph, decided.annealing)) if decided.annealing else same
    return summarise(
        level,
        [_operator_level(one) for one in decided.found],
        deviation=found.deviation,
        metric=found.metric,
        baseline=found.baseline,
        higher_is_better=higher,
        cosine=found.cosine,
    )


def _operator_level(found: Found) -> OperatorLevel:
    """What a decision leaves of one operator, as a row of the sweep."""
    return OperatorLevel(
        node=found.node,
        shape=found.shape,
        confirmed=min(found.evidence.confirmed, 1.0) if found.evidence else 1.0,
        kept=min(found.kept, 1.0),
        components=found.components.count,
        giant=found.components.giant,
        dormant=found.components.dormant,
        mac_share=min(found.mac_share, 1.0),
        reason=found.reason,
    )
