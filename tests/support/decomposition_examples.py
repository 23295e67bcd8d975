"""Examples that tests of `decomposition` share with others."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from scission.ir.plan.decomposition import Block, Decomposition
from scission.passes.decompose.blocks import transposed


@st.composite
def decompositions(draw):
    K, N = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    outputs = draw(st.lists(st.integers(-1, 3), min_size=N, max_size=N))  # the block of each output, -1 for none
    blocks = []
    for label in sorted({label for label in outputs if label >= 0}):
        inputs = draw(st.sets(st.integers(0, K - 1), min_size=1))
        blocks.append(Block(sorted(inputs), [n for n, owner in enumerate(outputs) if owner == label]))
    return Decomposition((K, N), tuple(blocks))


@st.composite
def covers(draw):
    """Decompositions of any kind: outputs or inputs partitioned, with residual entries or without."""
    found = draw(decompositions())
    free = np.argwhere(~found.inside()).tolist()
    residual = draw(st.sets(st.sampled_from([tuple(one) for one in free]), max_size=4)) if free else set()
    found = replace(found, residual=tuple(sorted(residual)))
    return transposed(found) if draw(st.booleans()) else found
