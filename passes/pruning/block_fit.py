"""A weight in blocks that comes as near to the results of the whole one as it can, by least squares.

x (M, K)          W (K, N)         V (K, N), blocks       loss = ‖X W - X V‖² / M, least over V
                  ● ● ● ●          ● ● ○ ○
a a b b           ● ● ● ●          ● ● ○ ○                each block is fitted by itself: it reads its own inputs,
                  ● ● ● ●          ○ ○ ● ●                and makes up for what its outputs do not read any more
                  ● ● ● ●          ○ ○ ● ●
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.plan.decomposition import Indices
from .greedy import Reading

__all__ = ["fit_blocks"]

DAMPING = 1e-4  # of the mean of squares that an input has: training goes on from here, so little is enough

Float64: TypeAlias = "npt.NDArray[np.float64]"


def fit_blocks(reading: Reading, inputs: Indices, outputs: Indices, *, damping: float = DAMPING) -> Float64:
    """The weight (K, N) of least squared error that is zero wherever an input and an output have different labels.

    inputs: (K,), -1 for one that every output reads, such as a column of ones; outputs: (N,); damping: of weights that
    differ from those that were, a share of the mean of squares that an input has. Raises ValueError for labels that are
    no vectors of these lengths. Source: least squares of each column on the inputs of its group.

    >>> x = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])  # both inputs say the same
    >>> fit_blocks(Reading(x.T @ x / 3, np.array([[1.0], [2.0]])), np.array([0, 1]), np.array([0])).round(3).tolist()
    [[3.0], [0.0]]
    """
    K, N = reading.weight.shape
    if inputs.shape != (K,) or outputs.shape != (N,):
        raise ValueError(f"labels of shape {inputs.shape} and {outputs.shape} for a weight of shape {(K, N)}")
    target = reading.gram @ reading.weight if reading.target is None else reading.target
    squares = np.diag(reading.gram)
    ridge = damping * (float(squares.mean()) if K else 0.0)
    fitted = np.zeros((K, N))
    for label in np.unique(outputs):
        rows, columns = np.flatnonzero((inputs == label) | (inputs < 0)), np.flatnonzero(outputs == label)
        inner = reading.gram[np.ix_(rows, rows)] + ridge * np.eye(rows.size)
        wanted = target[np.ix_(rows, columns)] + ridge * reading.weight[np.ix_(rows, columns)]
        solved = np.linalg.lstsq(inner, wanted, rcond=None)[0]
        fitted[np.ix_(rows, columns)] = solved
    return fitted
