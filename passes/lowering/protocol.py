"""What a lowering is: one way to write a decomposition in operators, whatever it is a decomposition of.

A lowering knows all there is to know of itself: what it fits, what it takes, what indices it stores, what it emits.
Those of a linear, of a region and of a recurrent operator differ in their subject, in what stands for its blocks, and
in the load that it is priced for; planning asks all of them in the same words.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, TypeVar

from ...ir.graph.constants import Constants
from ...ir.plan.plan import Decomposition, LoweringName
from ...ir.reason import Cause, Reason
from .prices import Prices
from .target import Target

__all__ = ["INDEX_BYTES", "Lowering", "why_not_plain", "worst_gain"]

INDEX_BYTES = 8  # of an int64

Subject = TypeVar("Subject", contravariant=True)
Found = TypeVar("Found", contravariant=True)
Load = TypeVar("Load", contravariant=True)
Site = TypeVar("Site", contravariant=True)
Made = TypeVar("Made", covariant=True)


class Lowering(Protocol[Subject, Found, Load, Site, Made]):
    """One way to write the blocks of a subject: name: what a plan says.

    Site: where it is emitted, with names that are free; Made: what replaces the results of the subject.
    """

    name: ClassVar[LoweringName]

    @abstractmethod
    def why_not(self, subject: Subject, found: Found | None, target: Target) -> Reason | None:
        """Why a subject with these blocks cannot be written so, and what to do; None when it can.

        found: None to ask about the subject alone, whatever its blocks.
        """

    @abstractmethod
    def dense_seconds(self, subject: Subject, load: Load, prices: Prices) -> float:
        """Predicted seconds of the subject as it is."""

    @abstractmethod
    def seconds(self, subject: Subject, found: Found, load: Load, prices: Prices) -> float:
        """Predicted seconds of the same in blocks, with the index work around them."""

    @abstractmethod
    def index_bytes(self, found: Found) -> int:
        """Bytes of the indices that are stored beside the weights of the blocks, at most."""

    @abstractmethod
    def emit(self, site: Site, constants: Constants, found: Found, target: Target) -> Made:
        """Emit the nodes that stand in for the subject and return what replaces its results; changes no graph.

        Only where `why_not` has nothing against it.
        """


S = TypeVar("S")
F = TypeVar("F")
L = TypeVar("L")


def worst_gain(
    lowering: Lowering[S, F, L, Any, Any], subject: S, found: F, loads: Iterable[L], target: Target
) -> float:
    """Dense time over lowered time, at its worst over all loads and all prices of a target."""
    return min(
        lowering.dense_seconds(subject, load, prices) / lowering.seconds(subject, found, load, prices)
        for load in loads
        for prices in target.prices
    )


def why_not_plain(name: LoweringName, found: Decomposition) -> Reason | None:
    """Why the lowering of a name, which neither adds up blocks nor has entries beside them, cannot write some."""
    what = "residual entries" if found.residual else "blocks that share outputs"
    if found.residual or found.split_k:
        return Reason(Cause.BLOCKS, f"'{name}' has no place for {what}; use other blocks, or 'scatter'")
    return None
