"""Which weights of a model that are mostly zeros are one level of a hierarchical matrix, and pay when they are written
so: model -> what to do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import HierarchicalWeight
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from ..decompose.fingerprint import fingerprint
from ..factor.certificate import RoundingCertificate, certify
from ..factor.entries import Entries
from ..factor.find import fits, pays_to_look
from ..lowering.prices import FLOAT_BYTES, MARGIN
from ..lowering.seconds import dense_seconds
from ..lowering.target import Target
from .cost import near_far_seconds
from .near_far import NearFar, block_sizes, likely_sizes, near_far

__all__ = ["BESIDE", "find", "variants"]

BESIDE = 1.1  # times what its blocks gain is enough, which may be split together with others besides

Blocks = Callable[[Linear, tuple[int, ...]], float]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What one weight is, and its predicted gain."""

    factors: NearFar
    certificate: RoundingCertificate
    gain: float
    sha256: str


def find(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    blocks: Blocks,
    *,
    look: Callable[[ir.Model], View] = view,
    entries: Entries | None = None,
) -> tuple[HierarchicalWeight, ...]:
    """The linears whose weights are predicted to gain as near and far outputs, more than by what else is made of their
    zeros; reads the model, changes nothing.

    sized: finds the sizes that they are predicted for; blocks: what a linear is predicted to gain by its blocks at such
    rows; look: makes the view of the model, where there may be any; entries: what is known of weights by now.
    """
    if target.provider != "cpu":
        return ()
    seen, entries = look(model), entries or Entries()
    activations = Activations(seen.model, sized)
    known: dict[tuple[ir.Value, bool, str, int, tuple[int, ...]], _Found | None] = {}
    steps = []
    for linear in seen.found.linears:
        told = entries.told(linear) if fits(linear) and pays_to_look(linear) else None
        if told is None or not told.zeros:
            continue
        rows = tuple(map(math.prod, activations.of(linear)))
        layout = linear.layout
        key = (linear.weight, linear.transposed, layout.kind, layout.boundary_transposes, rows)
        if key not in known:
            known[key] = _found(linear, _sizes(linear, entries), seen.found.constants, rows, target)
        found = known[key]
        if found is not None and found.gain > max(MARGIN, BESIDE * blocks(linear, rows)):
            steps.append(_step(linear, found))
    return tuple(steps)


def _sizes(linear: Linear, entries: Entries) -> list[int]:
    """The sizes of blocks that some outputs of a linear allow, so that what has none is not read whole."""
    try:
        weight = entries.in_place(linear)
    except (ModelError, MemoryError, OSError, ValueError):
        return []  # said where its step is made
    return [] if weight is None else likely_sizes(weight)


def _found(
    linear: Linear, sizes: Sequence[int], constants: Constants, rows: tuple[int, ...], target: Target
) -> _Found | None:
    """What the weight of a linear is, in those blocks that gain most; None where it is nothing of the kind."""
    return max(_every(linear, sizes, constants, rows, target), key=lambda one: one.gain, default=None)


def _every(
    linear: Linear, sizes: Sequence[int], constants: Constants, rows: tuple[int, ...], target: Target
) -> list[_Found]:
    """What the weight of a linear is, in blocks of each of these sizes in which it is something."""
    if not sizes:
        return []
    try:
        stored = linear.stored(constants)
    except (ModelError, MemoryError, OSError, ValueError):
        return []  # said where its step is made
    weight = linear.as_matrix(stored)
    if not np.isfinite(weight).all():
        return []
    made = (near_far(weight, size) for size in sizes)
    proved = ((one, certify(weight, one)) for one in made if one is not None)
    held = [(_gain(one, linear, rows, target), one, proof) for one, proof in proved if proof.holds]
    return [_Found(one, proof, gain, fingerprint(stored)) for gain, one, proof in held]


def variants(
    linear: Linear, step: HierarchicalWeight, constants: Constants, rows: tuple[int, ...], target: Target
) -> list[HierarchicalWeight]:
    """The same weight in blocks of other sizes, the best predicted first."""
    sizes = [size for size in block_sizes(linear.shape[0]) if size != step.block]
    found = sorted(_every(linear, sizes, constants, rows, target), key=lambda one: -one.gain)
    return [_step(linear, one) for one in found]


def _gain(found: NearFar, linear: Linear, rows: tuple[int, ...], target: Target) -> float:
    """Predicted dense time over its own, at its worst."""
    return min(
        dense_seconds(linear.shape, count, FLOAT_BYTES, prices) / near_far_seconds(found, linear.layout, count, prices)
        for count, prices in itertools.product(rows, target.prices)
    )


def _step(linear: Linear, found: _Found) -> HierarchicalWeight:
    factors = found.factors
    less = math.prod(linear.shape) / factors.macs
    near, functionals = linear.shape[1] - int(factors.joint.shape[1]), counted(int(factors.far.shape[2]), "sum")
    said = (
        f"{linear.address}: {near} of its {linear.shape[1]} outputs read one of {factors.blocks} blocks of "
        f"{factors.size} inputs alone, the others {functionals} of each: {less:.1f} times fewer multiply-adds, "
        f"whose error is at most {found.certificate.bound:.2f} of the dense product's: {found.gain:.1f}x is predicted"
    )
    return HierarchicalWeight(
        nodes=(linear.address,),
        block=factors.size,
        sha256=found.sha256,
        macs=factors.macs,
        bound=round(found.certificate.bound, 6),
        gain=round(found.gain, 3),
        reason=Reason(Cause.FACTORS, said),
    )
