"""Why weights are not written as products of stages: each one that was looked at has a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...ir.graph.linear import Linear
from ...ir.plan.factored_weight import FactoredWeight
from ...ir.plan.preparation import Refused
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from .certificate import RESIDUAL, RoundingCertificate
from .known_orders import option_count
from .round_shifts import shifts_bound
from .stages import Factors

__all__ = ["NOT_FINITE", "NO_LESS", "SPARSE", "ordinary", "refused", "sparse", "why_no_factors", "why_uncertified"]

SPARSE = Reason(
    Cause.SPARSE,
    "more than half of its entries are zeros: where they are tells more, and stages of dense factors would undo it",
)
NOT_FINITE = Reason(Cause.UNSUPPORTED, "some of its entries are no finite numbers, of which no products are made")
NO_LESS = Reason(Cause.NO_GAIN, "its factors take as many multiply-adds as the weight itself")


def refused(linear: Linear, why: Reason, gain: float | None = None) -> Refused:
    """One weight that stays as it is; why: of it alone, without its name."""
    told = why.told(f"{linear.address}: {why}")
    return Refused(kind=FactoredWeight.kind, nodes=(linear.address,), gain=gain, reason=told)


def ordinary(linears: Sequence[Linear]) -> list[Refused]:
    """What is said of all weights of which a few entries tell that they are no products."""
    if not linears:
        return []
    most = max(option_count(*linear.shape) for linear in linears)
    count = len({(linear.weight, linear.transposed) for linear in linears})
    are = "is no product" if count == 1 else "are no products"
    said = (
        f"{counted(count, 'weight')} {are} of smaller ones: sampled slices have rank 3 or more at each of up to "
        f"{counted(most, 'factorisation')} in known orders, and no ratios repeat as in hidden ones"
    )
    nodes = tuple(linear.address for linear in linears)
    return [Refused(kind=FactoredWeight.kind, nodes=nodes, reason=Reason(Cause.RANK, said))]


def sparse(linears: Sequence[Linear]) -> list[Refused]:
    """What is said of all weights of which a few entries tell that they are mostly zeros."""
    if not linears:
        return []
    count = len({(linear.weight, linear.transposed) for linear in linears})
    are = "is" if count == 1 else "are"
    said = f"{counted(count, 'weight')} {are} mostly zeros: where they are tells more than factors"
    nodes = tuple(linear.address for linear in linears)
    return [Refused(kind=FactoredWeight.kind, nodes=nodes, reason=Reason(Cause.SPARSE, said))]


def why_no_factors(weight: npt.NDArray[np.floating]) -> Reason:
    """Why nothing was made of a weight (K, N) of which some entries allow that it is a product."""
    if weight.shape[0] == weight.shape[1] and (bound := shifts_bound(weight)) is not None:
        return Reason(
            Cause.ROUNDING,
            "each of its rows is the one before, shifted by one: as a transform, a product and a transform back its "
            f"rounding may err {bound:.2g} times as much as that of the dense product",
        )
    return Reason(
        Cause.RANK,
        "some sampled slices have rank 1 or 2, but at no factorisation all columns lie in few lines or planes of every "
        "slice",
    )


def why_uncertified(factors: Factors, found: RoundingCertificate) -> Reason:
    """Why factors may not stand for a weight; found: a certificate that does not hold."""
    stages = counted(len(factors.stages), "stage")
    if found.residual > RESIDUAL:
        told = f"the product of {stages} that comes nearest is {found.residual:.2g} of it away, where rounding leaves"
        return Reason(Cause.INEXACT, f"{told} {RESIDUAL:.2g}")
    told = (
        f"as the product of {stages} its rounding may err {found.bound:.2g} times as much as that of the dense product"
    )
    return Reason(Cause.ROUNDING, told)
