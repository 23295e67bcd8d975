"""The tensors of a checkpoint file: what they are called, their shapes and types, and how they are read."""

from __future__ import annotations

import importlib.util
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError, ScissionError
from ...ir.files.archive import PackedArrays
from ...ir.files.reading import WEIGHTS, open_file, path_of
from ...ir.graph.functions import weight_takers
from ...ir.graph.linear import Linear
from ...ir.graph.view import glance
from ...ir.io.load import first_line, load
from ..weights.many_arrays import KeptOpen, packed_arrays, safetensors
from ..weights.source import WeightError, numpy_errors, safetensors_errors
from .checkpoint_names import names_of, origin_of

__all__ = ["CheckpointError", "Stored", "named", "read_stored"]

Array = npt.NDArray[Any]

NESTED = ("state_dict", "model_state_dict", "model", "module", "params", "net")  # where trainers put a state dict
TORCH = frozenset({".pt", ".pth", ".bin", ".ckpt"})
SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class CheckpointError(ScissionError):
    """An initial checkpoint that cannot be read or fits nothing; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """One tensor of a checkpoint; `local` names hold in an identical export only; `origin` tells shared ones."""

    names: tuple[str, ...]
    local: tuple[str, ...] = ()
    origin: object
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Array]
    canonical: bool = False

    @property
    def called(self) -> str:
        """What to call it in a message."""
        return (*self.names, *self.local)[0]

    def fits(self, linear: Linear) -> bool:
        """Whether it can be the weight of a linear, in one orientation or the other."""
        K, N = linear.shape
        if self.canonical:
            return self.shape == (K, N)
        return self.shape[:2] in ((K, N), (N, K)) and math.prod(self.shape) == K * N


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turns what reading a file raises into a CheckpointError that names it."""
    try:
        yield
    except (WeightError, ModelError) as error:
        raise CheckpointError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (OSError, EOFError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "too large for the memory of this machine"
        raise CheckpointError(f"{path}: {reason}; give a readable checkpoint") from None


def read_stored(path: Path) -> list[Stored]:
    """Every float tensor of at least two dimensions in the file; of an .onnx model the weights of its linears.

    Raises CheckpointError when the file cannot be read, or needs a package that is not installed.
    """
    with named(path):
        if path.is_dir():
            raise CheckpointError(f"{path}: is a folder; give the checkpoint file in it")
        suffix = path.suffix.lower()
        if suffix == ".onnx":
            return _from_onnx(path)
        reader = _from_torch if suffix in TORCH else {".npz": _from_npz, ".safetensors": _from_safetensors}.get(suffix)
        if reader is None:
            known = ".onnx, .safetensors, .npz, .pt, .pth, .bin or .ckpt"
            raise CheckpointError(f"{path}: is no checkpoint that can be read; give {known}")
        tensors = reader(path)
    return [
        Stored(names=(name,), origin=name, shape=shape, dtype=dtype, read=read)
        for name, (shape, dtype, read) in tensors.items()
        if len(shape) >= 2 and (dtype.kind == "f" or dtype.name in vars(ml_dtypes))
    ]


_Tensors = dict[str, tuple[tuple[int, ...], np.dtype[Any], Callable[[], Array]]]


def _from_npz(path: Path) -> _Tensors:
    kept = KeptOpen(path, packed_arrays)
    try:
        archive = kept.get()
    except OSError:
        raise
    except Exception as error:  # numpy raises whatever its parsers of headers and archives raise
        raise CheckpointError(f"{path}: not an .npz file ({first_line(error)}); save it with numpy.savez") from None
    with numpy_errors(path):
        return {name: (*archive.form(name), partial(_packed, kept, path, name)) for name in archive.files}


def _packed(kept: KeptOpen[PackedArrays], path: Path, name: str) -> Array:
    with numpy_errors(path):
        return kept.get()[name]


def _from_safetensors(path: Path) -> _Tensors:
    if importlib.util.find_spec("safetensors") is None:
        raise CheckpointError(f"{path}: needs the package safetensors; pip install safetensors")
    kept = KeptOpen(path, safetensors)
    tensors: _Tensors = {}
    with safetensors_errors(path):
        file = kept.get()
        for name in file.keys():  # noqa: SIM118 - no mapping
            part = file.get_slice(name)
            dtype = SAFETENSORS.get(part.get_dtype())
            if dtype:
                tensors[name] = (tuple(part.get_shape()), np.dtype(dtype), partial(_tensor, kept, path, name))
    return tensors


def _tensor(kept: KeptOpen[Any], path: Path, name: str) -> Array:
    with safetensors_errors(path):
        found: Array = kept.get().get_tensor(name)
        return found


def _from_torch(path: Path) -> _Tensors:
    if importlib.util.find_spec("torch") is None:
        raise CheckpointError(f"{path}: needs PyTorch; pip install torch, or save the weights as .safetensors")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever is wrong with the file is said once, below
            with open_file(path, WEIGHTS) as file:
                mapped = zipfile.is_zipfile(file)  # what torch wrote before 1.6 cannot be mapped
                loaded = torch.load(path_of(file), map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the unpickler raises whatever a damaged stream leads it to
        raise CheckpointError(
            f"{path}: cannot be read as tensors alone ({first_line(error)}), and other objects are never unpickled; "
            "save model.state_dict() with torch.save"
        ) from None
    tensors: _Tensors = {}
    for name, tensor in _state_dict(loaded).items():
        dtype = _numpy_type(str(tensor.dtype).removeprefix("torch."))
        if dtype is not None and tensor.layout == torch.strided and tensor.device.type == "cpu":
            tensors[name] = (tuple(tensor.shape), dtype, partial(_from_tensor, tensor, dtype))
    return tensors


def _state_dict(loaded: object) -> dict[str, Any]:
    """The tensors of a state dict, which trainers put into a larger dict; empty when there is none."""
    import torch

    if not isinstance(loaded, dict):
        return {}
    tensors = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if any(tensor.ndim >= 2 for tensor in tensors.values()):
        return {str(name): tensor for name, tensor in tensors.items()}
    return next(filter(None, (_state_dict(loaded.get(key)) for key in NESTED)), {})


def _numpy_type(name: str) -> np.dtype[Any] | None:
    try:
        return np.dtype(getattr(ml_dtypes, name, name))
    except TypeError:  # quantized and packed types
        return None


def _from_tensor(tensor: Any, dtype: np.dtype[Any]) -> Array:
    import torch

    bits = {1: torch.uint8, 2: torch.int16}.get(dtype.itemsize)
    plain = tensor.detach().contiguous()
    array: Array = (plain if bits is None else plain.view(bits)).numpy().view(dtype)
    return array


def _from_onnx(path: Path) -> list[Stored]:
    model = load(path)
    found = glance(model.graph, sorted(weight_takers(model.graph)[0])).found
    stored: list[Stored] = []
    for linear in found.linears:
        names, local = names_of(linear)
        stored.append(
            Stored(
                names=names,
                local=local,
                origin=origin_of(linear),
                shape=linear.shape,
                dtype=np.dtype(linear.dtype.numpy()),
                read=partial(linear.canonical, found.constants),
                canonical=True,
            )
        )
    return stored
