"""A finite impulse response written as a matrix: a band of a few diagonals, which permutations may hide."""

from __future__ import annotations

import numpy as np

from ..matrix import Array

__all__ = ["weight"]


def weight(rng: np.random.Generator, size: int = 2048, taps: int = 5, shuffle: bool = False) -> Array:
    """The Toeplitz matrix W (size, size) of a filter with random taps: output n reads inputs n - taps + 1 to n.

    The first outputs read fewer, since there is nothing before the first input. shuffle: inputs and outputs are
    permuted, each on their own. Raises ValueError unless there are 1 to `size` taps. Source: Oppenheim, Schafer,
    Discrete-Time Signal Processing, 3rd ed., section 2.3: the convolution sum.

    >>> (weight(np.random.default_rng(0), size=4, taps=2) != 0).astype(int).tolist()
    [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]]
    """
    if not 1 <= taps <= size:
        raise ValueError(f"a filter over {size} inputs has 1 to {size} taps, not {taps}")
    response = rng.uniform(0.25, 1, taps) * rng.choice([-1, 1], taps)
    inputs, outputs = (rng.permutation(size) if shuffle else np.arange(size) for _ in range(2))
    W = np.zeros((size, size), np.float32)
    for delay, tap in enumerate(response):
        W[inputs[: size - delay], outputs[delay:]] = tap
    return W
