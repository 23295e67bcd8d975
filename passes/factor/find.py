"""Which weights of a model are products of smaller ones, and pay when they are written so: model -> what to do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.io.tensors import MappedFiles
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import FactoredWeight
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
from .factorise import Recipe, factorise
from .hidden_orders import may_be_hidden
from .known_orders import SEED, splits
from .stages import Factors

__all__ = ["find", "fits"]

SMALLEST = 48  # features of either side; smaller products are as fast as what stands around them
LARGEST_ENTRIES = 1 << 26  # of a weight, of which copies in float64 are made
SAMPLED = 8, 64  # rows and columns of a weight, which tell that it is mostly zeros, where less than half of that is not
DENSE_SHARE = 0.5  # of the entries that are not zero; what the zeros of others say is worth more


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
) -> tuple[FactoredWeight, ...]:
    """The linears whose weights are predicted to gain as products of stages; reads the model, changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any.
    """
    if target.provider != "cpu":
        return ()
    seen = look(model)
    activations = Activations(seen.model, sized)
    known: dict[tuple[ir.Value, bool, tuple[int, ...]], _Found | None] = {}
    ordinary: set[tuple[ir.Value, bool]] = set()
    files = MappedFiles()
    steps = []
    for linear in seen.found.linears:
        if not fits(linear) or not _pays_to_look(linear) or (linear.weight, linear.transposed) in ordinary:
            continue
        if _is_ordinary(linear, files):  # as nearly all are: nothing else is asked of them
            ordinary.add((linear.weight, linear.transposed))
            continue
        rows = tuple(map(math.prod, activations.of(linear)))
        key = (linear.weight, linear.transposed, rows)
        if key not in known:
            known[key] = _found(linear, seen.found.constants, rows, target)
        if (found := known[key]) is not None:
            gain, rows_first = _gain(found.factors, linear, rows, target)
            if gain > MARGIN:
                steps.append(_step(linear, found, gain, rows_first=rows_first))
    return tuple(steps)


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


def _pays_to_look(linear: Linear) -> bool:
    return min(linear.shape) >= SMALLEST and math.prod(linear.shape) <= LARGEST_ENTRIES


def _found(linear: Linear, constants: Constants, rows: tuple[int, ...], target: Target) -> _Found | None:
    """What the weight of a linear is a product of; None where it is none, or cannot be read."""
    try:
        stored = linear.stored(constants)
    except (ModelError, MemoryError, OSError, ValueError):
        return None  # said where its step is made
    weight = linear.as_matrix(stored)
    if not _may_split(weight) or not _is_dense(weight) or not np.isfinite(weight).all():
        return None
    made = factorise(weight, lambda factors: 1 / _gain(factors, linear, rows, target)[0])
    if made is None:
        return None
    recipe, factors = made
    if factors.macs >= weight.size or not (certificate := certify(weight, factors)).holds:
        return None
    return _Found(recipe, factors, certificate, fingerprint(stored))


def _is_ordinary(linear: Linear, files: MappedFiles) -> bool:
    """Whether a few entries tell that the weight of a linear is no product, or it cannot be read."""
    try:
        weight = _in_place(linear, files)
    except (ModelError, MemoryError, OSError, ValueError):
        return True  # said where its step is made
    return weight is not None and not _may_split(weight)


def _in_place(linear: Linear, files: MappedFiles) -> npt.NDArray[np.floating] | None:
    """The weight (K, N) where it lies, so that of most no more is read than a few entries; None of one that is
    computed otherwise than by turning another one."""
    source, turned = linear.weight, linear.transposed
    while (node := source.producer()) is not None and node.inputs and node.inputs[0] is not None:
        perm = node.attributes.get("perm")
        if node.op_type != "Transpose" or node.domain or (perm is not None and list(perm.as_ints()) != [1, 0]):
            return None
        source, turned = node.inputs[0], not turned
    tensor, (K, N) = source.const_value, linear.shape
    shape = (N, K) if turned else (K, N)
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tuple(tensor.shape.numpy()) != shape:
        return None
    whole = files.array(tensor) if isinstance(tensor, ir.ExternalTensor) else np.asarray(tensor.numpy())
    return whole.T if turned else whole


def _may_split(weight: npt.NDArray[np.floating]) -> bool:
    """Whether some entries allow that it is a product, and is not mostly zeros."""
    if not splits(weight) and not may_be_hidden(weight):
        return False
    rng = np.random.default_rng(SEED)
    rows, columns = (rng.integers(0, size, count) for size, count in zip(weight.shape, SAMPLED, strict=True))
    return _is_dense(weight[rows[:, None], columns], DENSE_SHARE / 2)


def _is_dense(weight: npt.NDArray[np.floating], share: float = DENSE_SHARE) -> bool:
    return bool(np.count_nonzero(weight) >= share * weight.size)


def _gain(factors: Factors, linear: Linear, rows: tuple[int, ...], target: Target) -> tuple[float, bool]:
    """Predicted dense time over that of the stages, at its worst, and whether rows come first where it is best."""

    def least(seconds: Callable[[int, Prices], float]) -> float:
        cases = itertools.product(rows, target.prices)
        return min(dense_seconds(linear.shape, case[0], FLOAT_BYTES, case[1]) / seconds(*case) for case in cases)

    features = least(lambda count, prices: factors_seconds(factors, linear.layout, count, prices))
    if linear.layout.kind != "rows":
        return features, False
    return max((features, False), (least(lambda count, prices: rows_first_seconds(factors, count, prices)), True))


def _step(linear: Linear, found: _Found, gain: float, *, rows_first: bool) -> FactoredWeight:
    factors = found.factors
    stages, less = len(factors.stages), math.prod(linear.shape) / factors.macs
    said = (
        f"{linear.address}: its weight is the product of {counted(stages, 'block-diagonal factor')}, "
        f"{less:.1f} times fewer multiply-adds, whose error is at most {found.certificate.bound:.2f} of the dense "
        f"product's: {gain:.1f}x is predicted"
    )
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
