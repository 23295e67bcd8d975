"""How far a fit may go from the weight that was: as far as it is right about samples that it is not made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ....passes.projection.moments import Float64, moments_of
from ..removal.sampled import Sampled

__all__ = ["DAMPINGS", "chosen_damping"]

DAMPINGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the mean variance of an input
HELD = 5  # every fifth feed is held back, or every fifth row where there are few feeds


def chosen_damping(shown: Sampled, results: Sequence[npt.NDArray[np.floating]], weight: Float64) -> float:
    """The damping with which least squares miss samples that they are not fitted to least; of equal ones the largest.

    results: of each feed, (M, N), what is wanted; weight: (K, N) as it was. Few samples, or results that inputs hardly
    tell anything of, take much of it.
    """
    by_feed = len(shown.rows) >= HELD
    held = _some(shown, results, by_feed, held=True)
    fit = _some(shown, results, by_feed, held=False)
    gram, target = (fit[0].gram, fit[0].target(fit[1])), (held[0].gram, held[0].target(held[1]))
    errors: list[float] = []
    for damping in DAMPINGS:
        made = moments_of(gram[0], weight, gram[1], damping)
        whole = np.concatenate([made.best, made.bias(made.best)[None]])
        errors.append(float(np.vdot(whole, target[0] @ whole) - 2 * np.vdot(whole, target[1])))
    return DAMPINGS[len(errors) - 1 - int(np.argmin(errors[::-1]))]


def _some(
    shown: Sampled, results: Sequence[npt.NDArray[np.floating]], by_feed: bool, *, held: bool
) -> tuple[Sampled, list[npt.NDArray[np.floating]]]:
    """The part that is held back, or the rest."""
    rows, beside, wanted = [], [], []
    for place, (one, more, result) in enumerate(zip(shown.rows, shown.beside, results, strict=True)):
        if by_feed and (place % HELD == 0) != held:
            continue
        kept = np.full(len(one), True) if by_feed else (np.arange(len(one)) % HELD == 0) == held
        rows.append(one[kept])
        beside.append(more if isinstance(more, float) else more[kept])
        wanted.append(result[kept])
    return Sampled(rows, beside), wanted
