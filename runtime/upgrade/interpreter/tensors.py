"""Arrays of a model as tensors of torch and back, bit by bit."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["array_of", "tensor_of"]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def tensor_of(array: npt.NDArray[Any]) -> Tensor:
    """A tensor with its own memory. Raises TypeError for a type that torch does not compute with.

    >>> tensor_of(np.array([1, 2], ml_dtypes.bfloat16))
    tensor([1., 2.], dtype=torch.bfloat16)
    """
    own = np.array(array, order="C")
    if own.dtype == BFLOAT16:
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def array_of(tensor: Tensor) -> npt.NDArray[Any]:
    """Inverse of `tensor_of`."""
    own = tensor.detach().cpu().contiguous()
    if own.dtype == torch.bfloat16:
        return np.array(own.view(torch.int16).numpy()).view(BFLOAT16)
    return np.array(own.numpy())
