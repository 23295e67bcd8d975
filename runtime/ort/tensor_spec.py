"""Inputs and outputs as ONNX Runtime describes them: names, types, dimensions."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .library import Foreign

__all__ = ["TensorSpec", "number_type", "numpy_dtype", "spec_of_argument"]

DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(bool)": "bool", "tensor(string)": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output: name, NumPy's name of its type ('string' for text), and its dimensions.

    A dimension is a size, the name of a symbol, or None. ONNX Runtime shows a tensor of unknown rank as a scalar, ();
    types that are not tensors keep ONNX Runtime's name, such as 'seq(tensor(float))'. optional: whether there may be
    no tensor at all, which a feed then leaves out.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    optional: bool = False


def spec_of_argument(argument: Foreign) -> TensorSpec:
    """The description of a NodeArg of onnxruntime."""
    kind = str(argument.type)
    bare = kind.removeprefix("tensor(").removesuffix(")") if kind.startswith("tensor(") else kind
    return TensorSpec(
        name=argument.name,
        dtype=DTYPES.get(kind, bare),
        shape=tuple(None if isinstance(dim, int) and dim < 0 else dim for dim in argument.shape),
    )


def numpy_dtype(name: str) -> np.dtype[Any] | None:
    """NumPy's type for a `TensorSpec.dtype`; None where there is none, 'object' for text.

    >>> numpy_dtype("bfloat16"), numpy_dtype("string"), numpy_dtype("seq(map(int64,tensor(float)))")
    (dtype(bfloat16), dtype('O'), None)
    """
    known: dict[str, npt.DTypeLike] = {"string": object, "bfloat16": ml_dtypes.bfloat16}
    with contextlib.suppress(TypeError, ValueError):  # NumPy reads commas as a list of types
        return np.dtype(known.get(name, name))
    return None


def number_type(spec: TensorSpec) -> np.dtype[Any] | None:
    """NumPy's type of a tensor of numbers with whole bytes each; None for anything else."""
    dtype = numpy_dtype(spec.dtype)
    return dtype if dtype is not None and (dtype.kind in "biuf" or dtype == ml_dtypes.bfloat16) else None
