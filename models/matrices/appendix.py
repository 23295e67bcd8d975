"""The worked example of the paper's appendix A: 18 states whose node table is Table A.2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["SOURCES", "adjacency"]

# The sources of the in-edges of each state, all numbered from 1. The paper prints how many there are; which ones is a
# choice where they come from outside the state's strongly connected component, and this one gives Table A.2.
SOURCES = (
    *((3,), (1,), (2,), (5,), (4, 3), (7,), (6, 12), (16,), ()),
    *((18, 3, 5), (17,), (13,), (12, 15), (15,), (14,), (8,), (11, 4), (10,)),
)


def adjacency() -> npt.NDArray[np.bool_]:
    """The adjacency (18, 18), row i the in-edges of state i, numbered from 0.

    >>> int(adjacency().sum())
    23
    """
    found = np.zeros((len(SOURCES), len(SOURCES)), bool)
    for target, sources in enumerate(SOURCES):
        found[target, [source - 1 for source in sources]] = True
    return found
