"""Analyse the recurrent operators of a model and choose what to do with each of their directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.recurrent import INITIAL_H, Recurrent
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition, LoweringName, Step
from ...ir.provenance import ORIGIN
from ...ir.reason import Cause, Reason
from ..decompose.recurrent import RecurrentAnalysis, analyse_recurrent
from ..lowering.prices import MARGIN
from ..lowering.recurrent.cost import Run
from ..lowering.recurrent.lowering import CELLS
from ..lowering.target import Target
from .cell_candidates import CellCandidate, Direction, cell_candidates
from .settings import Planning

__all__ = ["recurrent_steps", "runs_of"]


def recurrent_steps(found: Survey, activations: Activations, planning: Planning) -> tuple[list[Step], list[Skipped]]:
    """A step for each direction of each recurrent operator, and those whose weights turned out not to be readable.

    Raises ModelError when a weight does not fit into memory.
    """
    steps: list[Step] = []
    failed: list[Skipped] = []
    settings, recurrents = planning.settings, planning.memo.recurrents
    asked = dict(settings.wanted.nodes)
    for index, way in enumerate(found.recurrents):
        if planning.progress:
            planning.progress(len(found.linears) + index, len(found.linears) + len(found.recurrents), way.address)
        weights = (value.const_value or value for value in (way.weight, way.recurrence))
        key = (*weights, way.index, way.direction)
        try:
            if key not in recurrents:
                recurrents[key] = analyse_recurrent(*way.stored(found.constants), way.direction)
        except MemoryError:
            where = f"{planning.model}: {way.address}"
            raise ModelError(f"{where}: not enough memory for a weight of {way.shape}") from None
        except ModelError as error:
            size = way.gates * way.shape[0] * way.shape[1]
            why = Reason(Cause.UNREADABLE, f"the weight cannot be read: {error}")
            failed.append(Skipped(way.address, way.op, why, size))
            continue
        if planning.observe:
            planning.observe(way.address, recurrents[key])
        asked_of = next((asked[name] for name in (way.address, way.node.name, way.weight.name) if name in asked), None)
        extents = activations.of_sequences(way)
        step = _step(way, recurrents[key], extents, settings.target, settings.force, settings.grain)
        steps.append(step if asked_of is None else _unasked(step, asked_of))
    return steps, failed


def _unasked(step: Step, asked: LoweringName) -> Step:
    """The step of an operator of which the lowering of a linear is wanted."""
    if asked == "dense":
        why = Reason(Cause.AS_ASKED, "dense, as asked")
    else:
        why = Reason(Cause.UNSUPPORTED, f"'{asked}' is for linears; {step.op} is split by '{CELLS.name}'")
    return replace(step, lowering="dense", reason=why)


def _step(
    way: Recurrent,
    analysis: RecurrentAnalysis,
    extents: tuple[tuple[int, ...], ...],
    target: Target,
    force: bool,
    grain: Grain,
) -> Step:
    """What to do with one direction of a recurrent operator."""
    sequences = runs_of(way, extents)
    direction = Direction(cell=way, blocks=analysis.decomposition, runs=sequences)
    choice = max(cell_candidates([direction], target, grain), key=lambda one: one.gain, default=None)
    reason = _refusal(way, analysis, choice, sequences, force)
    decomposition = choice.decompositions[0] if choice else Decomposition(way.shape, ())
    return Step(
        node=way.address,
        op=way.op,
        weight=way.weight.name or "",
        dtype=way.dtype.name.lower(),
        shape=way.shape,
        lowering=CELLS.name if reason is None else "dense",
        decomposition=decomposition,
        components=analysis.count,
        giant=analysis.giant,
        nonzeros=analysis.nonzeros,
        dormant_inputs=analysis.dormant_features,
        dormant_outputs=analysis.dormant_units,
        gain=round(choice.gain, 3) if choice else None,
        reason=reason or _praise(analysis, decomposition),
        sha256=analysis.sha256 if choice else None,
        states=analysis.states,
        extents=extents,
    )


def runs_of(way: Recurrent, extents: Iterable[tuple[int, ...]]) -> list[Run]:
    """The sequences to predict for, each once; extents: (positions, batch) of X."""
    given = way.operand(INITIAL_H) is not None
    return list(dict.fromkeys(Run(positions, batch, given) for positions, batch in extents))


def _refusal(
    way: Recurrent, analysis: RecurrentAnalysis, choice: CellCandidate | None, sequences: Sequence[Run], force: bool
) -> Reason | None:
    """Why a direction stays whole; None when it is split."""
    if ORIGIN in way.node.metadata_props:
        return Reason(Cause.ALREADY_SPLIT, "already a block of a split operator")
    if analysis.count == 0:
        return Reason(Cause.ALL_ZERO, "every entry is zero: there is nothing to multiply")
    if choice is None:
        entries = way.shape[0] * way.shape[1]
        share = f"{analysis.nonzeros / entries:.1%} of the entries are edges"
        return Reason(Cause.CONNECTED, f"one component holds every state: {share}")
    if choice.gain < MARGIN and not force:
        spare = "dormant features" if analysis.dormant_features else "units without edges"
        what = f"{analysis.count} blocks" if analysis.count > 1 else f"one block beside {spare}"
        at = ", ".join(f"{run.batch} x {run.positions}" for run in sequences)
        return Reason(
            Cause.NO_GAIN,
            f"{what}, but {choice.gain:.2f}x the speed of dense is predicted (batch x positions {at}); "
            "force splits it anyway",
        )
    return None


def _praise(analysis: RecurrentAnalysis, chosen: Decomposition) -> Reason:
    merged = f" merged into {len(chosen.blocks)}" if len(chosen.blocks) < analysis.count else ""
    spare = f", {analysis.dormant_features} dormant features" if analysis.dormant_features else ""
    idle = f", {analysis.dormant_units} units without edges" if analysis.dormant_units else ""
    return Reason(Cause.COMPONENTS, f"{analysis.count} independent blocks of states{merged}{spare}{idle}")
