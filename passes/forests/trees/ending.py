"""What one operator does with the sums of its trees: a constant is added to each, and the largest names a class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .forest import Array, Forest

__all__ = ["Ending"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ending:
    """base: what is added to the sums, one number each, or none; names: of the classes, whole numbers or texts, where
    the operator also tells the class of the largest sum, the first of several; None where it tells sums alone."""

    base: tuple[float, ...] = ()
    names: Array | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether the operator gives the sums as they are."""
        return not self.base and self.names is None

    @property
    def digest(self) -> str:
        """A SHA-256, as hexadecimal digits, of all that is done."""
        names = [] if self.names is None else ["names", *map(str, self.names)]
        return hashlib.sha256("\n".join([*map(repr, self.base), *names]).encode()).hexdigest()

    def bases(self, forest: Forest) -> tuple[float, ...]:
        """The base values that the operator needs: a class without any score is none of those that it chooses from, so
        that all of them are given zero where leaves might leave one out that has the largest sum, which is zero then.
        """
        if self.names is None or self.base:
            return self.base
        starts, ends = forest.leaf_rows()
        positive = bool((forest.weight > 0).all()) and bool(((ends - starts)[forest.is_leaf] > 0).all())
        return () if positive else (0.0,) * forest.targets
