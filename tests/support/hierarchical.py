"""Matrices that are one level of a hierarchical one, models that multiply with them, and all that can be written so."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
import onnx

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.factored_weight import HierarchicalWeight
from scission.ir.reason import Cause, Reason
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.factor.certificate import certify
from scission.passes.factor.find import fits
from scission.passes.hierarchical.near_far import NearFar, block_sizes, near_far
from scission.passes.rewrite.write_factors import write_hierarchical

HAAR = np.array([1.0, 1.0]) / np.sqrt(2)
DAUBECHIES = np.array([1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5]) / np.sqrt(32)


def wavelet(size: int, low: np.ndarray = HAAR) -> np.ndarray:
    """(size, size): the periodic wavelet transform of all levels."""
    high = low[::-1] * (-1.0) ** np.arange(low.size)
    whole, length = np.eye(size), size
    while length >= low.size:
        step = np.zeros((length, length))
        for row in range(length // 2):
            for tap in range(low.size):
                step[row, (2 * row + tap) % length] += low[tap]
                step[length // 2 + row, (2 * row + tap) % length] += high[tap]
        whole[:length] = step @ whole[:length]
        length //= 2
    return whole.T.astype(np.float32)


def planted(rng: np.random.Generator, blocks: int, size: int, rank: int, near: int, far: int, *, shared: bool):
    """(blocks · size, blocks · near + far): entry by entry what blocks tell, with outputs in an order that is drawn.

    shared: whether the near outputs of all blocks are made by one matrix, and what these tell too.
    """
    count = 1 if shared else blocks
    own, told = rng.standard_normal((count, size, near)), rng.standard_normal((count, size, rank))
    joint = rng.standard_normal((blocks, rank, far))
    whole = np.zeros((blocks * size, blocks * near + far))
    for block in range(blocks):
        rows, at = slice(block * size, (block + 1) * size), 0 if shared else block
        whole[rows, block * near : (block + 1) * near] = own[at]
        whole[rows, blocks * near :] = told[at] @ joint[block]
    return whole[:, rng.permutation(whole.shape[1])].astype(np.float32)


def random_weight(rng: Random, values: np.random.Generator) -> np.ndarray:
    """A small weight that is hierarchical, with fewer outputs, with some of zeros, or of other sizes now and then."""
    kind = rng.choice(["haar", "daubechies", "planted", "planted", "planted", "plain"])
    match kind:
        case "haar" | "daubechies":
            weight = wavelet(rng.choice([32, 64, 128]), HAAR if kind == "haar" else DAUBECHIES)
        case "planted":
            size, blocks = rng.choice([8, 9, 12, 16]), rng.choice([4, 5, 8])
            extents = rng.randint(1, size // 3), rng.randint(1, size), rng.randint(1, 3 * size)
            weight = planted(values, blocks, size, *extents, shared=rng.random() < 0.5)
        case _:
            weight = values.standard_normal((64, 48)) * (values.random((64, 48)) < rng.choice([0.02, 0.2, 1]))
    weight = weight.astype(np.float32)
    if rng.random() < 0.3:  # so that blocks have more or fewer outputs than others
        weight = weight[:, np.sort(values.permutation(weight.shape[1])[: rng.randint(2, weight.shape[1])])]
    if rng.random() < 0.2:
        weight[:, rng.randrange(weight.shape[1])] = 0
    if rng.random() < 0.2:
        weight[rng.randrange(len(weight))] = 0
    if rng.random() < 0.2:
        weight *= (10.0 ** values.uniform(-4, 0, (1, weight.shape[1]))).astype(np.float32)
    return weight


def ways(weight: np.ndarray) -> Iterator[NearFar]:
    """All ways in which a weight is hierarchical, for certain."""
    for size in block_sizes(len(weight)):
        found = near_far(weight, size)
        if found is not None and certify(weight, found).holds:
            yield found


def hierarchical_steps(model: onnx.ModelProto) -> Iterator[HierarchicalWeight]:
    """Everything that can be done, whether it is predicted to gain or not."""
    seen = view(load(model).graph)
    for linear in seen.found.linears:
        if not fits(linear):
            continue
        stored = linear.stored(seen.found.constants)
        found = next(ways(linear.as_matrix(stored)), None)
        if found is not None:
            yield HierarchicalWeight(
                nodes=(linear.address,),
                block=found.size,
                sha256=fingerprint(stored),
                macs=found.macs,
                bound=0.5,
                reason=Reason(Cause.FACTORS, "asked for"),
            )


def hierarchically_written(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """A copy in which all of it is done, and how much that is."""
    steps = tuple(hierarchical_steps(model))
    return ir.to_proto(write_hierarchical(load(model).graph, steps)), len(steps)
