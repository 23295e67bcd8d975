"""The cheapest partition of a weight's outputs into groups, by looking at every partition: slow and obvious."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Price = Callable[[int, int], float]


def cheapest(edges: np.ndarray, price: Price) -> float:
    """The least cost of all partitions of the outputs of `edges` (K, N), Boolean; outputs without an edge are left out.

    price: of a group of so many inputs, read by any of its outputs, and so many outputs; more never costs less.
    Up to 12 outputs, which make 4.2 million partitions, in seconds.

    >>> price = lambda inputs, outputs: inputs * outputs + 3
    >>> cheapest(np.array([[1, 1, 0], [1, 1, 1]], bool), price)
    9
    """
    reads = [sum(1 << int(k) for k in np.flatnonzero(column)) for column in edges.T if column.any()]
    prices = [[price(k, n) for n in range(len(reads) + 1)] for k in range(len(edges) + 1)]
    groups: list[tuple[int, int]] = []  # inputs as bits, and how many outputs
    best = float("inf")

    def place(output: int) -> None:
        """Put this output and all after it into groups: one that is there, or a new one, which is always the last."""
        nonlocal best
        cost = sum(prices[inputs.bit_count()][outputs] for inputs, outputs in groups)
        if cost >= best:
            return
        if output == len(reads):
            best = cost
            return
        mask = reads[output]
        for index, (inputs, outputs) in enumerate(groups):
            groups[index] = (inputs | mask, outputs + 1)
            place(output + 1)
            groups[index] = (inputs, outputs)
        groups.append((mask, 1))
        place(output + 1)
        groups.pop()

    place(0)
    return best
