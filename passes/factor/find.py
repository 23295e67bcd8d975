"""Which weights of a model are products of smaller ones, and pay when they are written so: model -> what to do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
from .factorise import Recipe, factorise
from .hidden_orders import may_be_hidden
from .known_orders import GOLDEN, splits
from .refusals import NO_LESS, NOT_FINITE, SPARSE, ordinary, refused, sparse, why_no_factors, why_uncertified
from .round_shifts import may_be_circulant
from .stages import Factors

__all__ = ["DENSE_SHARE", "LARGEST_ENTRIES", "find", "fits", "may_split", "pays_to_look", "predicted_gain"]

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
) -> tuple[FactoredWeight | Refused, ...]:
    """The linears whose weights are predicted to gain as products of stages, and those that were looked at and are not
    written so, each with the reason; reads the model, changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any.
    """
    if target.provider != "cpu":
        return ()
    seen = look(model)
    activations = Activations(seen.model, sized)
    known: dict[tuple[ir.Value, bool, tuple[int, ...]], _Found | Reason | None] = {}
    told = _Entries()
    steps: list[FactoredWeight | Refused] = []
    for linear in seen.found.linears:
        # As nearly all are ordinary, nothing else is asked of them.
        if not fits(linear) or not pays_to_look(linear) or told.decide(linear):
            continue
        rows = tuple(map(math.prod, activations.of(linear)))
        key = (linear.weight, linear.transposed, rows)
        if key not in known:
            known[key] = _found(linear, seen.found.constants, rows, target)
        if (found := known[key]) is not None:
            steps.append(_step(linear, found, rows, target))
    return (*steps, *ordinary(told.ordinary), *sparse(told.sparse))


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
    if not _is_dense(weight):
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


class _Entries:
    """What a few entries of weights tell; ordinary: linears whose weights are no products by these, sparse: those whose
    weights are mostly zeros."""

    def __init__(self) -> None:
        self.ordinary: list[Linear] = []
        self.sparse: list[Linear] = []
        self._told: dict[tuple[ir.Value, bool], list[Linear] | None] = {}
        self._files = MappedFiles()

    def decide(self, linear: Linear) -> bool:
        """Whether that is all that is to be known of the weight of a linear, as it is where it cannot be read."""
        key = linear.weight, linear.transposed
        if key not in self._told:
            try:
                weight = _in_place(linear, self._files)
            except (ModelError, MemoryError, OSError, ValueError):
                return True  # said where its step is made
            self._told[key] = None if weight is None else self._of(weight)
        if (told := self._told[key]) is None:
            return False
        told.append(linear)
        return True

    def _of(self, weight: npt.NDArray[np.floating]) -> list[Linear] | None:
        """Where a linear with this weight belongs, None where all of it has to be read."""
        if not (may_split(weight) or may_be_circulant(weight)):
            return self.ordinary
        K, N = weight.shape
        rows, columns = (np.arange(count) * GOLDEN % 1 for count in SAMPLED)
        some = weight[(rows[:, None] * K).astype(np.int64), (columns * N).astype(np.int64)]
        return None if _is_dense(some, DENSE_SHARE / 2) else self.sparse


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


def may_split(weight: npt.NDArray[np.floating]) -> bool:
    """Whether some entries of a weight (K, N) allow that it is a product of stages."""
    return bool(splits(weight)) or may_be_hidden(weight)


def _is_dense(weight: npt.NDArray[np.floating], share: float = DENSE_SHARE) -> bool:
    return bool(np.count_nonzero(weight) >= share * weight.size)


def predicted_gain(factors: Factors, linear: Linear, rows: tuple[int, ...], target: Target) -> tuple[float, int]:
    """Predicted dense time over that of the stages, at its worst, and in how many rows come first where it is best."""

    def least(seconds: Callable[[int, Prices], float]) -> float:
        cases = itertools.product(rows, target.prices)
        return min(dense_seconds(linear.shape, case[0], FLOAT_BYTES, case[1]) / seconds(*case) for case in cases)

    features = least(lambda count, prices: factors_seconds(factors, linear.layout, count, prices))
    if linear.layout.kind != "rows":
        return features, 0
    ways = range(1, len(factors.stages) + 1)
    return max((features, 0), *((least(partial(rows_first_seconds, factors, way)), way) for way in ways))


def _step(linear: Linear, found: _Found | Reason, rows: tuple[int, ...], target: Target) -> FactoredWeight | Refused:
    """What is to be done with a linear, or why nothing is."""
    if isinstance(found, Reason):
        return refused(linear, found)
    factors = found.factors
    gain, rows_first = predicted_gain(factors, linear, rows, target)
    stages, less = len(factors.stages), math.prod(linear.shape) / factors.macs
    said = (
        f"its weight is the product of {counted(stages, 'block-diagonal factor')}, {less:.1f} times fewer "
        f"multiply-adds, whose error is at most {found.certificate.bound:.2f} of the dense product's: {gain:.1f}x is "
        "predicted"
    )
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
        reason=Reason(Cause.FACTORS, f"{linear.address}: {said}"),
    )
