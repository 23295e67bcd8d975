"""Operators that make values out of sizes: shapes, ranges, constants of a shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ....ir.onnx_ir import onnx_ir as ir
from .call import TYPES, Call, Given, Rule, present

__all__ = ["SIZES"]


def _shape(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return torch.tensor(x.shape[call.get("start", 0) : call.get("end")], dtype=torch.int64)


def _size(call: Call, given: Given) -> Tensor:
    return torch.tensor(present(given, 0).numel())


def _constant_of_shape(call: Call, given: Given) -> Tensor:
    value: Any = call.get("value")
    sizes = [int(one) for one in present(given, 0).tolist()]
    if value is None:
        return torch.zeros(sizes)
    return torch.full(sizes, value.item(), dtype=TYPES[int(ir.DataType.from_numpy(value.dtype))])


def _range(call: Call, given: Given) -> Tensor:
    start, end, step = (present(given, place).item() for place in range(3))
    end = max(end, start) if step > 0 else min(end, start)  # of none torch makes an error
    return torch.arange(start, end, step, dtype=present(given, 0).dtype)


def _one_hot(call: Call, given: Given) -> Tensor:
    index, depth, values = (present(given, place) for place in range(3))
    size, axis = int(depth.item()), int(call.get("axis", -1))
    at = torch.where(index < 0, index + size, index).to(torch.int64)
    hit = at.unsqueeze(-1) == torch.arange(size, device=index.device)
    return torch.where(hit, values[1], values[0]).movedim(-1, axis)


def _identity_matrix(call: Call, given: Given) -> Tensor:
    x, shift = present(given, 0), int(call.get("k", 0))
    dtype = TYPES[call.get("dtype")] if call.get("dtype") else x.dtype
    rows, columns = (torch.arange(extent) for extent in x.shape)
    return (columns[None, :] - rows[:, None] == shift).to(dtype)


SIZES: dict[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "OneHot": _one_hot,
    "EyeLike": _identity_matrix,
}
