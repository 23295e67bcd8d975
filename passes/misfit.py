"""Whether a weight contradicts the null that a test of its edges would hold it against.

Learning adds to what a weight was initialised with, and adding anything symmetric that is independent of it makes
magnitudes larger, never smaller (Anderson, 1955). So a share of small entries beyond what the null has means that the
null is another: too wide, of another shape, shrunk by weight decay. The test would then take what was learned for
noise, or the tails of noise for something learned, and its blocks would be neither.
"""

from __future__ import annotations

import math

from ..ir.evidence import Evidence, Fit, Misfit
from ..ir.null import Null
from .random_walk import Band

__all__ = ["misfit_of", "told", "unequal"]

STATED = 0.05  # normal laws that were cut off at two sigma have a surplus of 0.046 over those that were not
ESTIMATED = 0.02  # an estimate follows the bulk, so that only the shape is left to differ
LEVEL = 1e-3  # at which a surplus is more than the luck of a small weight


def misfit_of(fit: Fit, null: Null) -> Misfit | None:
    """How a weight contradicts its null by the fit to it; None where it does not.

    A surplus of small entries counts from a size on, and where so few entries would not have it by chance, which the
    one-sided Kolmogorov-Smirnov test tells: p <= exp(-2 n d^2) (Massart, 1990).
    """
    limit = ESTIMATED if null.estimated else STATED
    luck = math.exp(-2 * fit.entries * fit.surplus**2)
    return "smaller" if fit.surplus > limit and luck < LEVEL else None


def unequal(found: Band) -> Misfit | None:
    """How a weight contradicts the null of equal influence: it was tested and never held."""
    return "unequal" if found.windows and not found.held else None


def told(evidence: Evidence) -> str:
    """A misfit in words, with its figures; '' where there is none."""
    if evidence.misfit is None:
        return ""
    if evidence.misfit == "unequal" or evidence.fit is None:
        return "the null does not fit: influence is nowhere equal, whatever the band"
    fit = evidence.fit
    return (
        f"the null does not fit: {fit.surplus:.1%} more small weights than it has, median {fit.ratio:.2f} of its own, "
        f"Kolmogorov-Smirnov distance {fit.ks:.3f}"
    )
