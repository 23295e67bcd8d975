"""What was decided about the linears of a model: the annealing of each, or why nothing is removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.evidence.evidence import Evidence
from ...ir.graph.linear import Linear
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.plan.annealing import Annealing, pack_mask
from ...ir.plan.decomposition import Decomposition
from ...ir.reason import Cause, Reason
from ..connectivity.bipartite import Components, components
from ..decompose.blocks import decompose
from ..decompose.fingerprint import fingerprint
from .edges.misfit import told
from .settings import Anneal

if TYPE_CHECKING:
    pass

__all__ = ["Annealed", "Found", "annealing_of", "decided", "keeping", "untouched"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What was decided about one linear: its annealing, None where nothing is to be removed, and what is left of it.

    components: of what is kept; confirmed: share of the entries; reason: why nothing is removed, None where something
    is.
    """

    node: str
    shape: tuple[int, int]
    annealing: Annealing | None
    evidence: Evidence | None
    components: Components
    kept: float
    reason: Reason | None = None

    @property
    def mac_share(self) -> float:
        """Multiply-adds inside the components of what is kept over those of the dense product."""
        return decompose(self.components).mac_share


@dataclass(frozen=True, slots=True, eq=False)
class Annealed:
    """What was decided about every linear of a model, in its order, and what could not be looked at."""

    found: tuple[Found, ...]
    skipped: tuple[Skipped, ...]

    @property
    def annealing(self) -> tuple[Annealing, ...]:
        """The annealings that remove something."""
        return tuple(one.annealing for one in self.found if one.annealing is not None)


def untouched(linear: Linear, weight: Array, reason: Reason, evidence: Evidence | None = None) -> Found:
    """A linear that stays as it is, and why."""
    return Found(
        node=linear.address,
        shape=linear.shape,
        annealing=None,
        evidence=evidence,
        components=components(weight),
        kept=1.0,
        reason=reason,
    )


def decided(
    linear: Linear, weight: Array, confirmed: Mask, evidence: Evidence, seen: Survey, settings: Anneal
) -> Found:
    """The annealing that keeps what was confirmed, or everything inside its components; none under a null that the
    weight contradicts, unless that was accepted."""
    if evidence.misfit is not None:
        what = told(evidence)
        if not settings.accept_null:
            why = f"{what}; state the right initialisation, or accept the null to anneal all the same"
            return untouched(linear, weight, Reason(Cause.MISFIT, why), evidence)
        evidence = replace(evidence, notes=(*evidence.notes, f"{what}, and was accepted all the same"))
    if not settings.fill:
        return keeping(linear, weight, None, confirmed, evidence, seen)
    return keeping(linear, weight, decompose(components(confirmed)), None, evidence, seen)


def annealing_of(
    linear: Linear,
    seen: Survey,
    evidence: Evidence,
    removed: int,
    blocks: Decomposition | None,
    mask: Mask | None,
    residual: Sequence[tuple[int, int]] = (),
) -> Annealing:
    """What is kept of a linear's weight, blocks or a mask (K, N), and residual entries (k, n) beside them.

    removed: how many entries that are not zero go. Raises ModelError when the weight cannot be read.
    """
    return Annealing(
        node=linear.address,
        weight=linear.weight.name or "",
        shape=linear.shape,
        sha256=fingerprint(linear.stored(seen.constants)),
        evidence=evidence,
        removed=removed,
        blocks=blocks,
        mask=None if mask is None else pack_mask(mask),
        residual=tuple(residual),
    )


def keeping(
    linear: Linear,
    weight: Array,
    blocks: Decomposition | None,
    mask: Mask | None,
    evidence: Evidence,
    seen: Survey,
    residual: Sequence[tuple[int, int]] = (),
) -> Found:
    """A decision as an annealing, with what it leaves; None where it would remove nothing, or everything."""
    kept = mask if blocks is None else blocks.inside()
    assert kept is not None  # one of the two is given
    left = (weight != 0) & kept
    removed = int(np.count_nonzero(weight)) - int(np.count_nonzero(left)) - len(residual)
    parts = components(left)
    if not parts.count:
        why = f"{evidence.test} confirms no weight at all; to remove all of them is no annealing"
        return untouched(linear, weight, Reason(Cause.NOTHING_CONFIRMED, why), evidence)
    if not removed:
        why = "nothing to remove: all weights lie inside one component" if parts.count == 1 else "nothing to remove"
        return untouched(linear, weight, Reason(Cause.NOTHING_TO_REMOVE, why), evidence)
    annealing = annealing_of(linear, seen, evidence, removed, blocks, mask, residual)
    share = (int(np.count_nonzero(kept)) + len(residual)) / max(weight.size, 1)
    return Found(
        node=linear.address, shape=linear.shape, annealing=annealing, evidence=evidence, components=parts, kept=share
    )
