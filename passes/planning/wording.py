"""Why a linear stays dense and what is split, in sentences."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from ...ir.graph.linear import Linear
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.survey import Survey
from ...ir.plan.plan import Decomposition, LoweringName
from ...ir.provenance import is_block
from ...ir.reason import Cause, Reason
from ..decompose.blocks import is_cover
from ..lowering.linear.dormant import computes_dormant
from ..lowering.linear.lowerings import ON_ANY, lowering_of
from ..lowering.linear.protocol import why_not_dense
from ..lowering.nodes.quantisation_groups import group_size
from ..lowering.nodes.weights import loses_format
from ..lowering.prices import MARGIN
from .analysis import Analysis
from .candidates import LinearCandidate
from .settings import PlanSettings

__all__ = ["describe_stranger", "praise", "refusal"]

MATMULS = ("split", "permute")  # lowerings whose blocks are such MatMuls
NEAREST = 5  # names that are offered for one that is unknown


def refusal(
    linear: Linear,
    analysis: Analysis,
    choice: LinearCandidate | None,
    rows: Sequence[int],
    settings: PlanSettings,
    asked: LoweringName | None,
    against: Reason | None,
) -> Reason | None:
    """Why a linear stays dense; None when it is split. against: why the blocks cannot have the lowering that was asked
    for, if anything."""
    parts = analysis.components
    if is_block(linear.node.metadata_props):
        return Reason(Cause.ALREADY_SPLIT, "already a block of a split operator")
    if parts.count == 0:
        return Reason(Cause.ALL_ZERO, "every entry is zero: there is nothing to multiply")
    if asked == "dense":
        return Reason(Cause.AS_ASKED, "dense, as asked")
    if against:
        return against
    if choice is None:
        K, N = linear.shape
        degree = 2 * parts.nonzeros / (K + N)
        rest = f" but {parts.dormant:,}" if parts.dormant else ""
        return Reason(
            Cause.CONNECTED,
            f"one component holds every feature{rest}: {parts.nonzeros / (K * N):.1%} of the entries are edges, "
            f"{degree:,.1f} per feature, and a random weight falls apart below about 1",
        )
    wanted = lowering_of(asked) if asked else None
    if why := why_not_dense(linear, None) or (wanted.why_not(linear, None, settings.target) if wanted else None):
        return why
    if why := loses_format(linear, choice.decomposition):
        return why.told(f"its weight is quantised {why}")
    if wanted is not None and wanted.name not in analysis.takes:
        return Reason(Cause.BLOCKS, f"'{wanted.name}' needs {wanted.needs}; use '{ON_ANY.name}'")
    if wanted is not None:
        return None
    if _loses_kernel(linear, choice) and not settings.force:
        which = "an 8-bit kernel" if group_size(linear) is None else "a kernel for few bits"
        lost = f"its weight is quantised: ONNX Runtime multiplies it in {which}, which blocks would not get"
        return Reason(Cause.QUANTISED, lost)
    if choice.gain < MARGIN and not settings.force:
        what = f"{parts.count} blocks" if parts.count > 1 else "one block beside dormant features"
        if computes_dormant(linear) and (dead := analysis.decomposition.dormant_outputs.size):
            it = "it is" if dead == 1 else "they are"
            what += f" ({dead} of the outputs {'has' if dead == 1 else 'have'} no edge, but {it} computed all the same)"
        if choice.decomposition.layers:
            what = "a hidden block-triangular form"
        elif is_cover(choice.decomposition):
            what = f"{len(choice.decomposition.blocks)} groups of {choice.decomposition.mac_share:.0%} of the entries"
        at = ", ".join(map(str, rows))
        told = f"{what}, but {choice.gain:.2f}x the speed of dense is predicted (rows {at}); force splits it anyway"
        return Reason(Cause.NO_GAIN, told)
    return None


def _loses_kernel(linear: Linear, choice: LinearCandidate) -> bool:
    """Whether ONNX Runtime multiplies a quantised weight in a kernel of its own, and not the blocks of it: with scales
    for groups of inputs it has one for a MatMul whose right operand is stored (K, N), as `MATMULS` have them."""
    if not linear.is_dequantised:
        return False
    if group_size(linear) is None:
        return True
    return linear.op == "MatMul" and not linear.transposed and choice.lowering.name not in MATMULS


def praise(analysis: Analysis, chosen: Decomposition, *, selects: bool) -> Reason:
    """What is split, in a few words."""
    dormant: Any = analysis.decomposition.dormant_inputs.size + analysis.decomposition.dormant_outputs.size
    if selects:
        picked = f"every output is one input: {chosen.shape[1]:,} picked from {chosen.shape[0]:,}"
        return Reason(Cause.SELECTION, picked)
    merged = f" merged into {len(chosen.blocks)}" if len(chosen.blocks) < analysis.components.count else ""
    spare = f", {dormant} dormant features" if dormant else ""
    if chosen.layers:
        layers = 1 + max(last for _, last in chosen.layers)
        told = f"block-triangular: {layers:,} layers in {len(chosen.blocks)} row groups{spare}"
        return Reason(Cause.TRIANGULAR, told)
    if is_cover(chosen):
        return Reason(Cause.COVER, f"{_cover_in_words(chosen)}{spare}")
    return Reason(Cause.COMPONENTS, f"{analysis.components.count} independent blocks{merged}{spare}")


def _cover_in_words(chosen: Decomposition) -> str:
    """What groups of a cover share, in a few words."""
    owned, shared = ("inputs", "outputs") if chosen.split_k else ("outputs", "inputs")
    count = len(chosen.blocks)
    beside = f", {len(chosen.residual):,} entries apart" if chosen.residual else ""
    if not chosen.shared.size:
        return f"{count} groups of {owned} that share nothing{beside}"
    return f"{count} groups of {owned} that share {chosen.shared.size:,} {shared}{beside}"


def describe_stranger(model: str, name: str, found: Survey) -> str:
    """Why a lowering cannot be wanted of a node, and which nodes there are."""
    skipped = next((skip for skip in found.skipped if skip.node == name), None)
    if skipped is not None:
        return f"{model}: {name}: a lowering is wanted of it, but it is left alone: {skipped.reason}"
    operators: list[Linear | Recurrent] = [*found.linears, *found.recurrents]
    every = [one.address for one in operators]
    near = (difflib.get_close_matches(name, every, n=NEAREST, cutoff=0.3) or every)[:NEAREST]
    return f"{model}: a lowering is wanted of {name!r}, which no linear is called; there is {', '.join(near) or 'none'}"
