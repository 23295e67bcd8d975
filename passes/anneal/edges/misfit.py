"""Whether a weight contradicts the null that a test of its edges would hold it against.

Learning adds to what a weight was initialised with. Whatever it adds, as long as that is symmetric and independent of
the start, a magnitude becomes the likelier relative to the null the larger it is (`null_fit`). Where it does not, the
null is another: too wide, of another shape, shrunk by weight decay. The test would then take what was learned for
noise, or the tails of noise for something learned, and its blocks would be neither.
"""

from __future__ import annotations

import math

from ....ir.evidence.evidence import Evidence, Fit, Misfit
from .random_walk import Band

__all__ = ["misfit_of", "told", "unequal"]

LIMIT = 0.015  # of a surplus; cut-off laws and rounding leave 0.002
LUCK = 2.0  # over the root of the entries: what untouched ones exceed with probability 1e-3, by simulation


def misfit_of(fit: Fit) -> Misfit | None:
    """How a weight contradicts its null by the fit to it; None where it does not.

    A surplus counts from a size on, and where so few entries would not have it by chance.
    """
    return "law" if fit.surplus > max(LIMIT, LUCK / math.sqrt(max(fit.entries, 1))) else None


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
        f"the null does not fit: learning on top of it would have put {fit.surplus:.1%} of the weights elsewhere, "
        f"their median is {fit.ratio:.2f} of its own, the Kolmogorov-Smirnov distance {fit.ks:.3f}"
    )
