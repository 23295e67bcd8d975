"""Which weights of a model are products of smaller ones, and pay when they are written so: model -> what to do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import FactoredWeight
from ...ir.plan.preparation import Refused
from ...ir.plural import counted
from ...ir.provenance import is_block
from ...ir.reason import Cause, Reason
from ..decompose.fingerprint import fingerprint
from ..lowering.linear.protocol import why_not_dense
from ..lowering.prices import FLOAT_BYTES, MARGIN, Prices
from ..lowering.seconds import dense_seconds
from ..lowering.target import Target
from .certificate import RoundingCertificate, certify
from .cost import factors_seconds, rows_first_seconds
from .entries import Entries, is_dense, may_split
from .factorise import Recipe, factorise, follow
from .known_orders import RadixSplit
from .refusals import NO_LESS, NOT_FINITE, SPARSE, ordinary, refused, sparse, why_no_factors, why_uncertified
from .stages import Factors

__all__ = ["LARGEST_ENTRIES", "find", "fits", "pays_to_look", "predicted_gain", "predicted_gains", "variants"]

SMALLEST = 48  # features of either side; smaller products are as fast as what stands around them
LARGEST_ENTRIES = 1 << 26  # of a weight, of which copies in float64 are made


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What one weight is a product of."""

    recipe: Recipe
    factors: Factors
    certificate: RoundingCertificate
    sha256: str


def find(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    *,
    look: Callable[[ir.Model], View] = view,
    entries: Entries | None = None,
) -> tuple[FactoredWeight | Refused, ...]:
    """The linears whose weights are predicted to gain as products of stages, and those that were looked at and are not
    written so, each with the reason; reads the model, changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any;
    entries: what is known of weights by now.
    """
    if target.provider != "cpu":
        return ()
    seen, entries = look(model), entries or Entries()
    activations = Activations(seen.model, sized)
    known: dict[tuple[ir.Value, bool, tuple[int, ...]], _Found | Reason | None] = {}
    plain: list[Linear] = []
    zeros: list[Linear] = []
    steps: list[FactoredWeight | Refused] = []
    for linear in seen.found.linears:
        told = entries.told(linear) if fits(linear) and pays_to_look(linear) else None
        if told is None:  # of what cannot be read it is said where its step is made
            continue
        if not told.splits or told.zeros:  # as nearly all are ordinary, nothing else is asked of them
            (zeros if told.splits else plain).append(linear)
            continue
        rows = tuple(map(math.prod, activations.of(linear)))
        key = (linear.weight, linear.transposed, rows)
        if key not in known:
            known[key] = _found(linear, seen.found.constants, rows, target)
        if (found := known[key]) is not None:
            steps.append(_step(linear, found, rows, target))
    return (*steps, *ordinary(plain), *sparse(zeros))


def fits(linear: Linear, *, rows_first: bool = False) -> bool:
    """Whether a linear is one that stages can stand in for: one matrix of float32, that nothing made and nobody
    picks from; rows_first: and its features are on the last axis."""
    if rows_first and linear.layout.kind != "rows":
        return False
    if linear.dtype != ir.DataType.FLOAT or linear.slices or linear.picked is not None or linear.fused:
        return False
    if linear.is_dequantised or linear.in_function or is_block(linear.node.metadata_props):
        return False
    return linear.layout.kind != "conv" and why_not_dense(linear, None) is None


def pays_to_look(linear: Linear) -> bool:
    """Whether the weight of a linear is large enough to gain, and small enough to be taken apart."""
    return min(linear.shape) >= SMALLEST and math.prod(linear.shape) <= LARGEST_ENTRIES


def _found(linear: Linear, constants: Constants, rows: tuple[int, ...], target: Target) -> _Found | Reason | None:
    """What the weight of a linear is a product of, or why it is none; None where it cannot be read."""
    try:
        stored = linear.stored(constants)
    except (ModelError, MemoryError, OSError, ValueError):
        return None  # said where its step is made
    weight = linear.as_matrix(stored)
    if not is_dense(weight):
        return SPARSE
    if not np.isfinite(weight).all():
        return NOT_FINITE
    made = (
        factorise(weight, lambda factors: 1 / predicted_gain(factors, linear, rows, target)[0])
        if may_split(weight)
        else None
    )
    if made is None:
        return why_no_factors(weight)
    recipe, factors = made
    if factors.macs >= weight.size:
        return NO_LESS
    certificate = certify(weight, factors)
    if not certificate.holds:
        return why_uncertified(factors, certificate)
    return _Found(recipe, factors, certificate, fingerprint(stored))


def predicted_gain(factors: Factors, linear: Linear, rows: tuple[int, ...], target: Target) -> tuple[float, int]:
    """Predicted dense time over that of the stages, at its worst, and in how many rows come first where it is best."""
    gains = predicted_gains(factors, linear, rows, target)
    rows_first = max(gains, key=lambda way: gains[way])
    return gains[rows_first], rows_first


def predicted_gains(factors: Factors, linear: Linear, rows: tuple[int, ...], target: Target) -> dict[int, float]:
    """The same by the number of stages in which rows come first, features first in all of them at first; 0 where that
    cannot be."""

    def least(seconds: Callable[[int, Prices], float]) -> float:
        cases = itertools.product(rows, target.prices)
        return min(dense_seconds(linear.shape, case[0], FLOAT_BYTES, case[1]) / seconds(*case) for case in cases)

    gains = {0: least(lambda count, prices: factors_seconds(factors, linear.layout, count, prices))}
    if linear.layout.kind != "rows":
        return gains
    ways = range(1, len(factors.stages) + 1)
    return gains | {way: least(partial(rows_first_seconds, factors, way)) for way in ways}


def variants(
    linear: Linear, step: FactoredWeight, constants: Constants, rows: tuple[int, ...], target: Target
) -> list[FactoredWeight]:
    """The other ways to write a weight by the same splits: with rows first in more or fewer stages, and with the last
    stages as one, as far as that still saves multiply-adds; the best predicted first.

    Raises ModelError where the weight cannot be read.
    """
    weight = linear.as_matrix(linear.stored(constants))
    found = []
    for count in range(1, len(step.splits) + 1):
        splits = tuple(RadixSplit(stride=stride, step=gap) for stride, gap in step.splits[:count])
        factors = follow(weight, Recipe(splits=splits, scaled=step.scaled, hidden=step.hidden))
        if factors is None or factors.macs >= weight.size or not (proof := certify(weight, factors)).holds:
            continue
        shorter = replace(
            step, splits=step.splits[:count], macs=factors.macs, bound=round(proof.bound, 6), rows_first=0
        )
        for rows_first, gain in predicted_gains(factors, linear, rows, target).items():
            why = step.reason.told(_told(linear, factors, proof, gain))
            one = replace(shorter, rows_first=rows_first, gain=round(gain, 3), reason=why)
            if gain > 0 and (one.splits, one.rows_first) != (step.splits, step.rows_first):
                found.append(one)
    return sorted(found, key=lambda one: -(one.gain or 0))


def _told(linear: Linear, factors: Factors, proof: RoundingCertificate, gain: float) -> str:
    stages, less = len(factors.stages), math.prod(linear.shape) / factors.macs
    return (
        f"{linear.address}: its weight is the product of {counted(stages, 'block-diagonal factor')}, {less:.1f} times "
        f"fewer multiply-adds, whose error is at most {proof.bound:.2f} of the dense product's: {gain:.1f}x is "
        "predicted"
    )


def _step(linear: Linear, found: _Found | Reason, rows: tuple[int, ...], target: Target) -> FactoredWeight | Refused:
    """What is to be done with a linear, or why nothing is."""
    if isinstance(found, Reason):
        return refused(linear, found)
    factors = found.factors
    gain, rows_first = predicted_gain(factors, linear, rows, target)
    said = _told(linear, factors, found.certificate, gain)
    if gain <= MARGIN:
        at = ", ".join(f"{count:,}" for count in rows)
        return refused(linear, Reason(Cause.NO_GAIN, f"{said} (rows {at}), which is not worth it"), round(gain, 3))
    return FactoredWeight(
        nodes=(linear.address,),
        splits=tuple((one.stride, one.step) for one in found.recipe.splits),
        scaled=found.recipe.scaled,
        sha256=found.sha256,
        macs=factors.macs,
        bound=round(found.certificate.bound, 6),
        rows_first=rows_first,
        hidden=found.recipe.hidden,
        gain=round(gain, 3),
        reason=Reason(Cause.FACTORS, said),
    )
