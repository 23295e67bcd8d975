"""Where a changed model computes in a narrower type than its original: what a conversion to 16 bits did."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...ir.io.tensors import constant_tensors
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ORIGIN

__all__ = ["narrow_types", "narrowed_weights"]

NARROW = {ir.DataType.FLOAT16: 2, ir.DataType.BFLOAT16: 2}


def narrow_types(changed: ir.Model) -> dict[str, np.dtype[Any]]:
    """The 16-bit type of the weights of each linear that the changed model has in blocks, by the linear's address."""
    found: dict[str, np.dtype[Any]] = {}
    for node in changed.graph:
        origin = node.metadata_props.get(ORIGIN)
        for value in node.inputs if origin else ():
            tensor: Any = value.const_value if value is not None else None
            if tensor is not None and tensor.dtype in NARROW:
                found[str(origin)] = np.dtype(tensor.dtype.numpy())
    return found


def narrowed_weights(original: ir.Model, changed: ir.Model) -> list[str]:
    """NumPy's names of the 16-bit types that the changed model keeps more weights in than its original does.

    A weight has two dimensions or more. What the original computes in 16 bits itself is not narrower.
    """
    before, after = _entries(original), _entries(changed)
    return [np.dtype(kind.numpy()).name for kind in NARROW if after[kind] > before[kind]]


def _entries(model: ir.Model) -> Counter[ir.DataType]:
    found: Counter[ir.DataType] = Counter()
    for tensor in constant_tensors(model):
        if tensor.dtype in NARROW and len(tensor.shape) >= 2:
            found[tensor.dtype] += tensor.size
    return found
