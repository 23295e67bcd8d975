"""Small models of every kind that scission must read, each with the truth about the blocks planted in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from ...ir.plan.plan import Decomposition
from ..matrix import Array, Sizes, weight
from ..sketch import Sketch
from .chains import CHAINS
from .contexts import CONTEXTS
from .operators import OPERATORS

__all__ = ["KINDS", "Planted", "build", "feeds", "weight"]

_BUILDERS: dict[str, Callable[[Sketch], None]] = {**OPERATORS, **CHAINS, **CONTEXTS}
_TYPES = {"fp16": np.float16, "fp64": np.float64}
KINDS = (*_BUILDERS, *_TYPES)


@dataclass(frozen=True)
class Planted:
    """A model and the true decomposition of the canonical weight (K, N) of each planted linear.

    truth: by node name (the last part of its address in scission); by operator and position, "MatMul#0", when the node
    has none; by the name of the call when the linear stands in a local function.
    """

    model: onnx.ModelProto
    truth: dict[str, Decomposition]


def build(
    rng: np.random.Generator,
    kind: str,
    sizes: Sizes = ((4, 3), (2, 5), (3, 3)),
    dtype: npt.DTypeLike = np.float32,
    dormant: tuple[int, int] = (0, 0),
    contiguous: bool = False,
) -> Planted:
    """A one-linear (or few-linear) model of a kind from `KINDS`, its weights made of blocks of the given sizes.

    sizes: (inputs, outputs) per block; dtype: of activations and weights, where the kind's operators allow it
    (fused, quantised ones are float32 only); dormant, contiguous: as in `weight`, where the kind itself does not say.
    Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; use one of {', '.join(KINDS)}")
    sketch = Sketch(rng, sizes, _TYPES.get(kind, dtype), dormant, contiguous)
    _BUILDERS.get(kind, OPERATORS["matmul-right-3"])(sketch)
    return Planted(sketch.model(), sketch.truth)


def feeds(rng: np.random.Generator, planted: Planted, free: int = 3) -> dict[str, Array]:
    """Random inputs for a planted model: every dynamic dimension is `free`, an unknown rank is (free, free, K)."""
    K = next(iter(planted.truth.values())).shape[0]
    limit = min(truth.shape[1] for truth in planted.truth.values())
    return {value.name: _feed(rng, value.type.tensor_type, K, limit, free) for value in planted.model.graph.input}


def _feed(rng: np.random.Generator, kind: onnx.TypeProto.Tensor, K: int, limit: int, free: int) -> Array:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = [d.dim_value if d.HasField("dim_value") else free for d in kind.shape.dim]
    if not kind.HasField("shape"):
        shape = [free, free, K]
    if dtype == np.bool_:
        return np.asarray(rng.integers(0, 2, shape), np.bool_)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, limit, shape, dtype)
    return np.asarray(rng.standard_normal(shape), dtype)
