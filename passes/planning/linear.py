"""What to do with each linear of a model by itself: its weight analysed, candidates predicted, the best one taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.linear import Linear
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.plan.plan import Decomposition, LoweringName, States, Step
from ...ir.reason import Cause, Reason
from ..connectivity.edges import edges
from ..decompose.recurrent import states_of
from ..lowering.linear.dormant import computes_dormant
from ..lowering.linear.lowerings import ON_ANY, suited
from ..lowering.nodes.quantisation_groups import group_size, in_groups
from .analysis import Analysis, analyse_linear, analyse_on, key_of
from .candidates import LinearCandidate, Question, best_of, candidates, refusals
from .settings import Memo, Planning, PlanSettings
from .wording import praise, refusal

if TYPE_CHECKING:
    import torch


__all__ = ["blocks_gain", "linear_steps", "names_of", "remember"]


def linear_steps(found: Survey, activations: Activations, planning: Planning) -> tuple[list[Step], list[Skipped]]:
    """A step for each linear, and those whose weight turned out not to be readable.

    Raises ModelError when a weight does not fit into memory.
    """
    steps: list[Step] = []
    failed: list[Skipped] = []
    memo = planning.memo
    if planning.device is not None:
        _analyse_ahead(found, planning.device, planning)
    for index, linear in enumerate(found.linears):
        if planning.progress:
            planning.progress(index, len(found.linears) + len(found.recurrents), linear.address)
        key = key_of(linear)
        try:
            remember(linear, found, memo)
        except MemoryError:
            where = f"{planning.model}: {linear.address}"
            raise ModelError(f"{where}: not enough memory for a weight of {linear.shape}") from None
        except ModelError as error:
            why = Reason(Cause.UNREADABLE, f"the weight cannot be read: {error}")
            failed.append(Skipped(linear.address, linear.op, why, math.prod(linear.shape)))
            continue
        analysis = memo.analyses[key]
        if planning.observe:
            planning.observe(linear.address, analysis)
        told = planning.observe is not None or analysis.sha256 is not None
        step = _step(linear, planning, activations.of(linear) if told else ())
        steps.append(replace(step, states=memo.states[key]) if linear.address in found.hidden else step)
    return steps, failed


def remember(linear: Linear, found: Survey, memo: Memo) -> None:
    """Read a weight for what is not known of it yet; raises ModelError where it cannot be read."""
    key = key_of(linear)
    if key not in memo.analyses:
        memo.analyses[key] = analyse_linear(linear, found.constants)
    if linear.address in found.hidden and key not in memo.states:
        memo.states[key] = _states(linear, found)


def _analyse_ahead(found: Survey, device: torch.device, planning: Planning) -> None:
    """Analyse the weights that are not known yet on the device, many in flight."""
    analyses = planning.memo.analyses
    distinct = {key_of(linear): linear for linear in reversed(found.linears)}  # of equal ones the first
    wanted = [linear for key, linear in reversed(distinct.items()) if key not in analyses]
    for index, (key, linear, analysis) in enumerate(analyse_on(device, wanted, found.constants)):
        analyses[key] = analysis
        if planning.progress:
            planning.progress(index, len(wanted), linear.address)


def _step(linear: Linear, planning: Planning, extents: tuple[tuple[int, ...], ...]) -> Step:
    """What to do with one linear; extents: of its activation rows, for each size that is predicted for."""
    K, N = linear.shape
    settings, memo = planning.settings, planning.memo
    analysis = memo.analyses[key_of(linear)]
    counts = tuple(dict.fromkeys(map(math.prod, extents)))
    asked = settings.wanted.way(*names_of(linear))
    choice, against = _choice(linear, settings, memo, counts, asked)
    choice = _whole_groups(choice, linear)
    reason = refusal(linear, analysis, choice, counts, settings, asked, against)
    taken = choice.lowering if reason is None and choice else None
    decomposition = choice.decomposition if choice else Decomposition((K, N), ())
    return Step(
        node=linear.address,
        op=linear.op,
        weight=linear.weight.name or "",
        dtype=linear.dtype.name.lower(),
        shape=(K, N),
        lowering=taken.name if taken else "dense",
        decomposition=decomposition,
        components=analysis.components.count,
        giant=analysis.components.giant,
        nonzeros=analysis.components.nonzeros,
        dormant_inputs=analysis.decomposition.dormant_inputs.size,
        dormant_outputs=analysis.decomposition.dormant_outputs.size,
        gain=round(choice.gain, 3) if choice else None,
        reason=reason or praise(analysis, decomposition, selects=taken is not None and not taken.multiplies),
        sha256=analysis.sha256 if choice else None,
        extents=extents,
        slices=math.prod(linear.slices),
    )


def blocks_gain(linear: Linear, settings: PlanSettings, memo: Memo, rows: tuple[int, ...]) -> float:
    """How many times as fast the blocks of a linear are predicted to be by themselves at such rows, 0 where none fit,
    infinite where one lowering is asked of all; its weight is known to the memo."""
    if settings.wanted.every is not None:
        return math.inf
    best, _ = _choice(linear, settings, memo, tuple(dict.fromkeys(rows)), None)
    return 0.0 if best is None else best.gain


def _choice(
    linear: Linear, settings: PlanSettings, memo: Memo, counts: tuple[int, ...], asked: LoweringName | None
) -> tuple[LinearCandidate | None, Reason | None]:
    """The same as `_chosen`, made once however often the graph is looked at."""
    # A linear matters by what lowerings suit it and what they cost there.
    suit = tuple(one.name for one in suited(linear, settings.target))
    layout, dormant = linear.layout, computes_dormant(linear)
    picks = None if linear.picked is None else linear.rows_of_one
    kind = (linear.dtype, linear.slices, picks, layout.kind, layout.boundary_transposes)
    key = (*key_of(linear), counts, *kind, suit, dormant, asked)
    if key not in memo.choices:
        memo.choices[key] = _chosen(linear, memo.analyses[key_of(linear)], settings, counts, asked)
    return memo.choices[key]


def _chosen(
    linear: Linear, analysis: Analysis, settings: PlanSettings, rows: Sequence[int], asked: LoweringName | None
) -> tuple[LinearCandidate | None, Reason | None]:
    """What gains most at its worst, of blocks and covers, and what is against the lowering that was asked for, or where
    there are blocks that no lowering fits against the one that suits the most."""
    wanted = None if asked == "dense" else asked
    question = Question(target=settings.target, rows=rows, grain=settings.grain, asked=wanted)
    found = list(candidates(linear, analysis, question))
    best, against = best_of(found), refusals(found)
    if wanted:
        return best, against.get(wanted)
    unfit = best is None and analysis.components.count > 1
    return best, against.get(ON_ANY.name, next(iter(against.values()), None)) if unfit else None


def _whole_groups(choice: LinearCandidate | None, linear: Linear) -> LinearCandidate | None:
    """The same with blocks of whole groups of inputs, where the weight is quantised in such and that can be had."""
    size = group_size(linear)
    found = in_groups(choice.decomposition, size) if choice is not None and size is not None else None
    return choice if choice is None or found is None else replace(choice, decomposition=found)


def names_of(one: Linear | Recurrent) -> tuple[str | None, ...]:
    """What an operator goes by: its address, the name of its node, and that of its weight."""
    return one.address, one.node.name, one.weight.name


def _states(linear: Linear, found: Survey) -> States:
    """The structure of a weight that maps states to themselves; row h of the adjacency lists the in-edges of h."""
    return states_of(edges(linear.canonical(found.constants)).T)
