"""Samples of products, and what weights lose on them, by the samples themselves."""

import numpy as np

from scission.passes.projection.moments import moments_of


def samples(rng, K, rows=None, constant=0):
    """(M, K) correlated, with means, some inputs constant."""
    rows = 4 * K + 8 if rows is None else rows
    x = rng.standard_normal((rows, K)) @ (np.eye(K) + rng.standard_normal((K, K)) / np.sqrt(K)) + rng.standard_normal(K)
    x[:, :constant] = x[:1, :constant]
    return x


def moments(x, weight, results=None, damping=0.0):
    """Of samples (M, K), a weight, and the results (M, N) that are wanted."""
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    target = None if results is None else ones.T @ results / len(x)
    return moments_of(ones.T @ ones / len(x), weight, target, damping)


def excess(x, wanted, weight):
    """The mean of squared errors of a weight with its best bias, over that of the best weight: each by a fit of its
    own."""
    ones = np.ones((len(x), 1))
    free = np.concatenate([x, ones], axis=1)
    best = free @ np.linalg.lstsq(free, wanted, rcond=None)[0]
    rest = wanted - x @ weight
    with_bias = rest - rest.mean(0)
    return (np.square(with_bias).sum() - np.square(wanted - best).sum()) / len(x)
