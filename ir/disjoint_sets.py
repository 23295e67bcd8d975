"""Disjoint sets of anything that can be a key, joined two at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["DisjointSets"]

T = TypeVar("T", bound=Hashable)


class DisjointSets(Generic[T]):
    """Sets that start with one member each, the moment that it is asked for.

    >>> sets = DisjointSets[str]()
    >>> sets.join("a", "b"), sets.join("c", "b"), sets.root("d")
    (None, None, 'd')
    >>> sets.groups(), "e" in sets
    ({'b': ['b', 'a', 'c'], 'd': ['d']}, False)
    """

    __slots__ = ("_above",)

    def __init__(self) -> None:
        self._above: dict[T, T] = {}

    def __contains__(self, one: object) -> bool:
        """Whether it was asked for before."""
        return one in self._above

    def __iter__(self) -> Iterator[T]:
        """All members, in the order in which they were first asked for."""
        return iter(list(self._above))

    def root(self, one: T) -> T:
        """The member that stands for the set of one."""
        top = one
        while (above := self._above.setdefault(top, top)) != top:
            top = above
        while self._above[one] != top:  # the next one to ask finds the way in one step
            self._above[one], one = top, self._above[one]
        return top

    def join(self, one: T, other: T) -> None:
        """Make one set of those of two members; what stands for that of the other stands for it."""
        self._above[self.root(one)] = self.root(other)

    def groups(self) -> dict[T, list[T]]:
        """Every set, by the member that stands for it."""
        found: dict[T, list[T]] = {}
        for one in self:
            found.setdefault(self.root(one), []).append(one)
        return found
