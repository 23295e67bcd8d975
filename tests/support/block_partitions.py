"""Partitions of a weight for tests of blocks: true ones, and some that know nothing of it."""

import math

import numpy as np

from scission.passes.cocluster.coclustering import Partition


def partition(inputs, outputs, misplaced=0.0):
    """A partition as if a search had found it."""
    count = int(max(inputs.max(), outputs.max())) + 1
    return Partition(
        inputs=inputs,
        outputs=outputs,
        count=count,
        inside=(2.0,) * count,
        outside=1.0,
        edge=2.0,
        misplaced=misplaced,
        gain=1.0,
    )


def drawn(rng, shape, count=3, lowest=0):
    """A partition that knows nothing of the weight."""
    return partition(*(np.append(rng.integers(lowest, count, size - 1), count - 1) for size in shape))


def planted(seed=0, size=120, count=3, signal=4.0):
    """(Weight of equal blocks in N(0, 1), the true partition)."""
    rng = np.random.default_rng(seed)
    labels = [rng.permutation(np.arange(size) % count) for _ in range(2)]
    inside = labels[0][:, None] == labels[1]
    return rng.standard_normal(inside.shape) * np.where(inside, math.hypot(1, signal), 1), partition(*labels)


def inside_of(found):
    """Which entries are inside of a block, (K, N), one by one."""
    return np.array([[i == o and i >= 0 for o in found.outputs] for i in found.inputs])
