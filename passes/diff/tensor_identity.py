"""Which constants hold the same: exact identity of contents without reading more of them than that takes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.io.tensors import open_tensor, read
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["Contents", "raw"]

SMALL = 1 << 14  # bytes up to which a tensor is its own key
SAMPLES = 512  # words of a larger one that tell most from one another
CHUNK = 1 << 20  # bytes compared at a time, so that they stay in the cache
CROWD = 3  # tensors that agree in their samples: from here on all of them are hashed

Bytes = npt.NDArray[np.uint8]


class Contents:
    """Numbers for contents: two tensors have one number exactly when type, shape and all bytes are equal.

    Tensors of another type, shape or sample of words are told apart by these; the others are compared byte by byte,
    each with the first of its kind, and hashed once where many look alike.
    Source: the order of tests is rsync's, weak and cheap first (Tridgell and Mackerras 1996).

    >>> contents = Contents()
    >>> one, other = (ir.tensor(np.arange(n), name="x") for n in (3, 4))
    >>> contents.of(one), contents.of(other), contents.of(ir.tensor(np.arange(3), name="y"))
    (0, 1, 0)
    """

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._alike: dict[Any, list[tuple[Any, int]]] = {}
        self._places: dict[Any, int] = {}
        self._hashed: set[Any] = set()

    def of(self, tensor: Any) -> int:
        """The number of a tensor's contents; raises ModelError when it cannot be read."""
        place = _place(tensor)
        if place in self._places:
            return self._places[place]
        number = self._number(tensor)
        if place is not None:
            self._places[place] = number
        return number

    def _number(self, tensor: Any) -> int:
        form = tensor.dtype, tuple(tensor.shape.numpy())
        if tensor.dtype == ir.DataType.STRING:
            return self._fresh((form, tuple(np.asarray(read(tensor)).ravel().tolist())))
        data = raw(tensor)
        if data.size <= SMALL:
            return self._fresh((form, data.tobytes()))
        words = data[: data.size // 8 * 8].view(np.uint64)
        key = form, words[:: max(1, words.size // SAMPLES)].tobytes()
        if key in self._hashed:
            return self._fresh((key, _hash(data)))
        alike = self._alike.setdefault(key, [])
        for other, number in alike:
            if _equal(data, raw(other)):
                return number
        number = self._fresh((key, len(alike)))
        alike.append((tensor, number))
        if len(alike) == CROWD:  # pairs would be many
            self._hashed.add(key)
            self._numbers |= {(key, _hash(raw(other))): number for other, number in alike}
        return number

    def _fresh(self, key: Any) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def raw(tensor: Any) -> Bytes:
    """The bytes of a tensor, mapped where they lie in a file; raises ModelError when they cannot be had."""
    if isinstance(tensor, ir.ExternalTensor) and tensor.nbytes > SMALL:
        try:
            with open_tensor(tensor) as file:
                mapped: Bytes = np.memmap(file, np.uint8, "r", tensor.offset or 0, (tensor.nbytes,))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ModelError(
                f"{tensor.path}: weight {tensor.name!r} cannot be read: {why}; export the model again"
            ) from error
        return mapped.view(np.ndarray)
    return np.ascontiguousarray(read(tensor)).reshape(-1).view(np.uint8)


def _place(tensor: Any) -> Any:
    """Where the bytes of a tensor lie in a file, None for tensors in memory."""
    if not isinstance(tensor, ir.ExternalTensor):
        return None
    return str(tensor.path), tensor.offset or 0, tensor.dtype, tuple(tensor.shape.numpy())


def _equal(a: Bytes, b: Bytes) -> bool:
    return all(np.array_equal(a[at : at + CHUNK], b[at : at + CHUNK]) for at in range(0, a.size, CHUNK))


def _hash(data: Bytes) -> bytes:
    return hashlib.sha1(data.data, usedforsecurity=False).digest()
