"""Numbers of things in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["and_more", "counted", "once"]


def counted(number: int, noun: str, many: str = "") -> str:
    """A number of things.

    >>> counted(1, "operator"), counted(1200, "operator"), counted(2, "entry", "entries")
    ('1 operator', '1,200 operators', '2 entries')
    """
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def and_more(name: str, number: int) -> str:
    """A name and how many others it stands for.

    >>> and_more("up", 0), and_more("up", 1200)
    ('up', 'up and 1,200 more')
    """
    return f"{name} and {number:,} more" if number > 0 else name


def once(told: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is said of nodes, as (node, text), each text once with its first node and how many more there are.

    The most frequent text comes first, of equally frequent ones the one that was said first.

    >>> once([("a", "small"), ("b", "dense"), ("c", "dense")])
    [('b and 1 more', 'dense'), ('a', 'small')]
    """
    pairs = list(told)
    first = {text: node for node, text in reversed(pairs)}
    return [(and_more(first[text], n - 1), text) for text, n in Counter(text for _, text in pairs).most_common()]
