"""Which operators a name means that people give: an address, the name of a node, or the name of a weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["meant"]


def meant(name: str, *ways: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The addresses that a name means, nothing where there are none.

    ways: other names of operators by address, the most trustworthy way first; an address itself comes before them.

    >>> weights = {"up": ["w"], "down": ["w"], "out": ["v"]}
    >>> meant("up", weights), meant("w", weights), meant("v", weights), meant("x", weights)
    (('up',), ('up', 'down'), ('out',), ())
    """
    if any(name in way for way in ways):
        return (name,)
    for way in ways:
        found = tuple(address for address, names in way.items() if name in names)
        if found:
            return found
    return ()
