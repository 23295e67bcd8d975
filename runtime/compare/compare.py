"""Two models side by side, wherever they come from: are they the same function, and which is faster."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from ...ir.brief import Several
from ...ir.graph.functions import inline, weight_takers
from ...ir.graph.survey import survey
from ...ir.io.load import Model, Source
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.progress import Progress
from ...ir.provenance import FIXED, ORIGIN, is_factor
from ..inputs.feeds.inputs_file import with_file
from ..inputs.inputs import InputError
from ..inputs.sizes.agreement import refuse_contradictions
from ..inputs.sizes.dimensions import fixed_between
from ..inputs.spec import spec_of
from ..inputs.tables import Table, tables_apart
from ..ort.opened import as_file, written
from ..ort.trials import Trials, trials_of
from ..renamed import renamed
from ..validation import whole_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from ..measure.bench import Bench
    from ..ort.session import Session
    from ..ort.tensor_spec import TensorSpec
    from .feeds import Observed
    from .randomness import Alike
    from .verdict import Probe, Verdict

__all__ = ["bench", "check", "make_feeds"]

Feed: TypeAlias = "dict[str, Any]"

TF32 = 2e-3  # of products whose factors have 10 bits after the point, as those of float16 have

UNSTEADY = "the original itself differs from run to run, so it is not deterministic and nothing can be shown equal"


def check(
    original: Source,
    changed: Source,
    *,
    trials: Trials | None = None,
    batch: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Run two models on the same inputs at several sizes and compare every output.

    Linears that scission split are besides held against their a-priori error bound, each on its own activation. Inputs
    are drawn so that branches and bodies of loops run; where one in which the models differ does not, they are not
    shown equal. Random operators get the same seeds in both; where the changed model computes in 16 bits and the
    original in more, the narrower type bounds the error; where ONNX Runtime's own kernels are inexact, the original's
    own error does; where it has no kernel, both run on the reference evaluator of onnx. trials: how they are run;
    batch: sizes of the leading open dimension of the inputs to run at instead of those that are chosen for that;
    progress: called with (done, total, what). Raises ModelError, SessionError, InputError, OptionError, NoMemoryError,
    UnprovableError or EquivalenceError when the two cannot be compared.
    """
    from .randomness import alike

    trials, batch = trials_of(trials), whole_numbers("batch", batch)
    with (
        as_file(original, "original") as (one, source),
        as_file(changed, "changed") as (other, result),
        alike(one, source, other, result) as pair,
    ):
        trials = with_file(source, trials, batch=batch, fixed=_stated(source, result))
        sizes = _fixed(source, result, trials)
        verdict = _compared(pair, source, result, replace(trials, sizes=sizes or None), batch, progress)
        own = [f"{name}={size}" for name, size in sizes.items() if FIXED in result.graph.metadata_props]
        told = [f"at the sizes that the changed model has, {', '.join(own)}"] if own else []
        return replace(verdict, reason="; ".join(filter(None, [verdict.reason, *told, pair.sentence])))


def _compared(
    pair: Alike, source: Model, result: Model, trials: Trials, batch: Sequence[int] | None, progress: Progress | None
) -> Verdict:
    """The verdict over two files whose random operators draw alike; source, result: their graphs."""
    from ..ort.library import SessionError
    from ..ort.messages import lacks_kernel
    from ..ort.session import open_session
    from . import check as equivalence
    from .feeds import Observed, bench_feeds
    from .own_error import excused

    refuse_contradictions(source, batch, trials)
    held = _held(source, result)
    apart = tables_apart(_whole(source).graph, _whole(result).graph)
    observed = Observed(source, trials, [table.rows for table in apart])
    chosen: list[Mapping[str, Any]] = []
    least = _least(source, result)
    options: dict[str, Any] = {"threads": trials.threads, "custom_ops": trials.custom_ops}

    def feeds(session: Session) -> list[Mapping[str, Any]]:
        """The same inputs for every comparison of these two."""
        if not chosen and batch is None:
            chosen.extend(observed.choose(session))
        elif not chosen:
            chosen.extend(bench_feeds((pair.original,), source, trials, batch, timed=False))
        return chosen

    def compare(
        *, optimize: tuple[bool, bool] = (True, True), itself: bool = False, original: Path = pair.original
    ) -> Verdict:
        other, probed = (pair.original, []) if itself else (pair.changed, held)
        shared: dict[str, Any] = {"feeds": feeds, "optimize": optimize, "progress": progress}
        run = functools.partial(equivalence.check, original, other, **shared)
        return _with_and_without(run, trials, probed, least)

    try:
        if pair.random:  # in a session of its own: another run of the original would draw other numbers
            feeds(open_session(pair.original, provider=trials.provider, **options))
        verdict = compare()
    except SessionError as error:
        if not lacks_kernel(error):
            raise
        return _on_reference(pair, source, trials, least, str(error))
    if not verdict.equal:
        verdict = excused(verdict, compare)
    if not verdict.equal and not pair.random:
        verdict = _exactly(verdict, source, result, compare)
    if not verdict.equal and not pair.random and not compare(itself=True).equal:
        verdict = replace(verdict, reason=f"{UNSTEADY}: {verdict.reason}")
    if verdict.equal:
        return _exercised(verdict, pair.original, result, observed, apart, chosen)
    return verdict


def _exercised(
    verdict: Verdict,
    original: Path,
    result: Model,
    observed: Observed,
    apart: Mapping[Table, npt.NDArray[Any]],
    feeds: Sequence[Mapping[str, Any]],
) -> Verdict:
    """A verdict of equality with what these feeds exercised; apart: tables that differ, and in which rows."""
    from .feeds import observed_reports
    from .selections import hidden_by_masks, never_picked, never_read
    from .unexercised import judged

    trials = observed.trials
    options: dict[str, Any] = {"provider": trials.provider, "threads": trials.threads, "custom_ops": trials.custom_ops}
    hidden = hidden_by_masks(observed.model, original, observed.feeds, **options)
    hidden += never_picked(observed.model, feeds)
    whole = _whole(observed.model)
    with contextlib.ExitStack() as kept:
        path = original if whole is observed.model else kept.enter_context(written(whole, whole.graph, "whole"))
        unread = never_read(whole, path, feeds, apart, **options)
    return judged(verdict, observed_reports(observed, result), hidden, unread)


def _whole(model: Model) -> Model:
    """A model with the bodies of functions that are handed weights in place of their calls: what is a table there is an
    argument in a function, of which nothing is known, and each call reads its own."""
    takers, _ = weight_takers(model.graph)
    return replace(model, graph=inline(model.graph, sorted(takers))[0]) if takers else model


def _exactly(verdict: Verdict, source: Model, result: Model, compare: Callable[..., Verdict]) -> Verdict:
    """A verdict that two models differ, beside what the original computes with exact products of frames, where the
    changed model computes some of them in another way."""
    from .own_error import nearer, with_exact_frames

    graph = with_exact_frames(source.graph, result.graph, _origins(result.graph))
    if graph is None:
        return verdict
    with written(source, graph, "exact") as exact:
        return nearer(verdict, compare(original=exact), lambda: compare(original=exact, itself=True))


def _with_and_without(run: Callable[..., Verdict], trials: Trials, probed: Sequence[Probe], least: float) -> Verdict:
    """A verdict without TF32, and on CUDA where it is on one with it as well: the second is about outputs alone."""
    verdict = run(probes=probed, trials=replace(trials, tf32=False), least=least)
    if verdict.provider != "cuda":
        return verdict
    if not verdict.equal or not trials.tf32:
        return replace(verdict, reason=f"{verdict.reason}; without TF32")
    return _also(verdict, run(probes=[], trials=trials, least=max(least, TF32)))


def _also(verdict: Verdict, rounded: Verdict) -> Verdict:
    """A verdict of equality, unless numbers differ where factors are rounded to 10 bits: what is computed from these,
    such as the place of the largest, may differ where two of them are nearly equal."""
    from ..measure.deviation import RTOL

    wrong = next((one for one in rounded.outputs if not one.equal and one.dtype in RTOL), None)
    if wrong is None:
        return replace(verdict, reason=f"{verdict.reason}; without TF32 and with it")
    return replace(rounded, probes=verdict.probes, reason=f"{wrong.reason}, with TF32, and equal without")


def _held(source: Model, result: Model) -> list[Probe]:
    """The products that are held against their error bounds."""
    from .narrowing import narrow_types
    from .probes import probes

    narrow = narrow_types(result.graph)
    staged = {node.metadata_props[ORIGIN] for node in result.graph.graph if is_factor(node.metadata_props)}
    found = _standing(probes(source.graph, _origins(result.graph), staged), result.graph)
    return [replace(probe, narrow=narrow.get(probe.node)) for probe in found]


def _on_reference(pair: Alike, source: Model, trials: Trials, least: float, why: str) -> Verdict:
    """The verdict of `onnx.reference`, which has all kernels; why: what ONNX Runtime said."""
    from ..inputs.sizes.size_search import TRIALS
    from .evaluator import check_on_reference
    from .feeds import candidate_feeds
    from .real_inputs import real_feeds

    if trials.inputs is not None:
        some = real_feeds(source, trials.inputs, trials)
    else:
        some = list(itertools.islice(candidate_feeds(source, trials), TRIALS))
    tolerance = trials.rtol, trials.atol, least
    return check_on_reference(pair.original, pair.changed, feeds=some, tolerance=tolerance, why=why)


@renamed(rows="batch")
@phase("bench")
def bench(
    original: Source,
    changed: Source,
    *,
    trials: Trials | None = None,
    batch: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> tuple[Bench, ...]:
    """Time two models side by side, in each setting of the open dimensions of their inputs.

    trials: how they are run; batch: sizes of the leading open dimension, without it 1, 16 and 256 positions over all
    open dimensions; progress: called with (done, total, what). Raises ModelError, SessionError, InputError, OptionError
    or NoMemoryError when they cannot be run, BenchError when CUDA graphs are demanded and cannot be had.
    """
    from ..measure import bench as bench_module
    from ..ort.memory import release
    from .feeds import bench_feeds

    trials, batch = trials_of(trials), whole_numbers("batch", batch)
    with as_file(original, "original") as (before, source), as_file(changed, "changed") as (after, result):
        trials = with_file(source, trials, batch=batch, fixed=_stated(source, result))
        refuse_contradictions(source, batch, trials)
        release(source.graph)  # the sessions of what ran before
        trials = replace(trials, sizes=_fixed(source, result, trials) or None)
        feeds = bench_feeds((before, after), source, trials, batch)
        found = []
        for index, feed in enumerate(feeds):
            if progress:
                progress(index, len(feeds), f"size {index + 1} of {len(feeds)}")
            release()
            found.append(bench_module.bench(before, after, feed, trials=trials))
        return Several(found)


def _fixed(source: Model, result: Model, trials: Trials) -> dict[str, int]:
    """The sizes to run at: those of the trials, and those that the changed model says it was given for good.

    Raises InputError where the two contradict each other.
    """
    fixed, given = _stated(source, result), trials.sizes or {}
    for name, size in fixed.items():
        if given.get(name, size) != size:
            raise InputError(f"{result.name}: it fixes {name!r} at {size}, so it cannot be run at {given[name]}")
    return {**given, **fixed}


def _stated(source: Model, result: Model) -> dict[str, int]:
    """The sizes that the changed model says it was given for good."""
    said = result.graph.metadata_props.get(FIXED)
    return {} if said is None else fixed_between(spec_of(source, given=True), spec_of(result, given=True), said)


QUANTISED = re.compile("Quantize|Integer|QLinear|QGemm|NBits")  # operators that make or take codes


def _standing(found: Sequence[Probe], changed: ir.Model) -> list[Probe]:
    """The probes whose values the changed model has as well: inside of what is computed block by block there is no
    whole value, and a value whose features got another order has another name. A product that was quantised after it
    was split is another product."""
    inputs = {value.name for value in changed.graph.inputs}
    made = {value.name: value for node in changed.graph for value in node.outputs}
    names = inputs | made.keys()
    return [
        probe
        for probe in found
        if probe.input in names and probe.output in names and not _quantised(made.get(probe.output), probe)
    ]


def _quantised(output: ir.Value | None, probe: Probe) -> bool:
    """Whether codes are computed between the values of a probe by nodes that no rewrite has put there."""
    todo: list[ir.Value | None] = [output]
    seen: set[ir.Value] = set()
    while todo:
        value = todo.pop()
        if value is None or value in seen or value.name == probe.input:
            continue
        seen.add(value)
        node = value.producer()
        if node is None:
            continue
        if ORIGIN not in node.metadata_props and QUANTISED.search(node.op_type):
            return True
        todo.extend(node.inputs)
    return False


def _least(original: Model, changed: Model) -> float:
    """The tolerance of the narrowest type that something was split in, or that the changed model keeps more weights in:
    a Cast behind it makes nothing more exact."""
    from ..measure.deviation import RTOL
    from .narrowing import narrowed_weights

    split = _origins(changed.graph)
    types = {linear.dtype.name.lower() for linear in survey(original.graph).linears if linear.address in split}
    types.update(narrowed_weights(original.graph, changed.graph))
    named = {"float": "float32", "double": "float64"}
    return max((RTOL.get(named.get(one, one), 0.0) for one in types), default=0.0)


def _origins(model: ir.Model) -> set[str]:
    return {node.metadata_props[ORIGIN] for node in model.graph if ORIGIN in node.metadata_props}


def make_feeds(
    model: Model, trials: Trials, sizes: Callable[[Sequence[TensorSpec]], Sequence[Mapping[str, int]]]
) -> list[Feed]:
    """The real inputs where there are some, else random ones for each of the sizes that suit the model's inputs."""
    from ..inputs.feeds.drawn import drawn
    from .real_inputs import real_feeds

    if trials.inputs is not None:
        return real_feeds(model, trials.inputs, trials)
    spec = spec_of(model)
    return list(drawn(model, spec, trials, sizes(spec)))
