"""A weight of noise, or with planted blocks, and what the examination says of it."""

import numpy as np
from reference import product

from scission.ir.evidence.null import Null
from scission.ir.io.load import load
from scission.passes.anneal.decomposability import examine
from scission.passes.anneal.settings import Anneal

NORMAL = Null(family="normal", scale=1.0, source="example")
KNOWN = Anneal(null=lambda linear: NORMAL)
RNG = np.random.default_rng(0)


def noise(*shape, scale=1.0):
    return (RNG.normal(size=shape) * scale).astype(np.float32)


def planted(blocks=2, side=64, signal=4.0):
    mask = np.kron(np.eye(blocks), np.ones((side, side)))
    return noise(*mask.shape) + (signal * mask * noise(*mask.shape)).astype(np.float32)


def only(W, options=KNOWN, **changes):
    (found,) = examine(load(product(W)), options, **changes).matrices
    return found
