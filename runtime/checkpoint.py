"""The initial checkpoint: the weights a model started from, matched to its linears."""

from __future__ import annotations

import ast
import importlib.util
import math
import os
import re
import stat
import warnings
import zipfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ..ir.constant import Constants
from ..ir.errors import ScissionError
from ..ir.functions import weight_takers
from ..ir.linear import Linear
from ..ir.model import ModelError, first_line, load
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.view import glance
from .rounding import limits
from .weight_source import READERS, WeightError

__all__ = ["CheckpointError", "Initial", "Matched", "read_initial", "rounding"]

Array = npt.NDArray[Any]

NESTED = ("state_dict", "model_state_dict", "model", "module", "params", "net")  # where trainers put a state dict
TORCH = frozenset({".pt", ".pth", ".bin", ".ckpt"})
LEAVES = frozenset({"weight", "kernel", "W", "w"})  # what libraries call the matrix of a layer
CONV1D = frozenset({"c_attn", "q_attn", "c_proj", "c_fc"})  # GPT-2's linears, stored (in, out)
GENERATED = re.compile(r"val_\d+|onnx::\w+|\d+|node_\w+|_v_\d+|constant\w*")  # names that exporters make up
FOLDED = "pkg.onnxscript.optimizer.folded_from"
SCOPES = "pkg.torch.onnx.name_scopes"
SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
CLEAR = 6.0  # standard errors, 1/√(K·N) each, by which one orientation must be the likelier
CLOSE = 0.9  # a cosine that no accident reaches, however small the weight
ROWS = 1 << 22  # entries that are compared at a time


class CheckpointError(ScissionError):
    """An initial checkpoint that cannot be read or fits nothing; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Initial(Mapping[str, Array]):
    """Initial weights by the address of their linear, canonical (K, N), read from the file whenever asked for.

    Reading raises CheckpointError when the file has changed or gone since.
    """

    path: Path
    readers: Mapping[str, Callable[[], Array]]

    def __getitem__(self, address: str) -> Array:
        reader = self.readers[address]
        with _named(self.path):
            return reader()

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """What a checkpoint says about a model's linears: their initial weights, and what is worth knowing.

    mismatches: 'ADDRESS: reason' for every linear without one; notes: orientations that were chosen, types that
    differ, matches by position.
    """

    initial: Initial
    mismatches: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stored:
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


class _MissError(Exception):
    """Why a linear has no initial weight."""


def read_initial(path: str | os.PathLike[str], linears: Sequence[Linear], constants: Constants) -> Matched:
    """Find the initial weight of each linear in a checkpoint: .onnx, .safetensors, .npz, or .pt, .pth, .bin, .ckpt.

    linears and constants: those of the trained model, from its survey. Names are compared from the most to the least
    trustworthy: the same name; the same module (as initializer names, exporter metadata and scopes of node names tell)
    below a different prefix; for .onnx also the address, and then the position among linears of equal shape.
    A square tensor is turned the way that correlates with the trained weight. PyTorch files are read with
    weights_only=True; nothing else is ever unpickled.
    Raises CheckpointError when the file cannot be read, or holds no weight of any linear.
    """
    path = Path(path)
    stored = _read(path)
    found, misses = _by_name(linears, stored)
    notes: list[str] = []
    if stored and stored[0].canonical:
        by_position = _by_position(linears, stored, found)
        found |= by_position
        if by_position:
            notes.append(f"{len(by_position)} initial weights were matched by position: {_some(by_position)}")
    readers: dict[str, Callable[[], Array]] = {}
    turned: Counter[str] = Counter()
    for linear in linears:
        if linear.address in found:
            tensor = found[linear.address]
            with _named(path):
                readers[linear.address], note = _oriented(path, linear, tensor, constants)
            if note:
                turned[note] += 1
            if tensor.dtype != linear.dtype.numpy():
                turned[f"{tensor.dtype.name}, where the trained are {np.dtype(linear.dtype.numpy()).name}"] += 1
    if linears and not readers:
        raise CheckpointError(
            f"{path}: holds no initial weight of this model ({misses[linears[0].address]}); it has "
            f"{_some(tensor.called for tensor in stored) or 'no float matrix'}, the model has "
            f"{_some(name for linear in linears for name in _names(linear)[0][:1] or [linear.address])}; "
            "give the checkpoint that this model was trained from"
        )
    lost = tuple(f"{address}: {why}" for address, why in misses.items() if address not in readers)
    notes += [f"{count} of {len(readers)} initial weights: {note}" for note, count in turned.items()]
    return Matched(Initial(path, readers), lost, tuple(notes))


def rounding(initial: npt.DTypeLike, trained: npt.DTypeLike) -> tuple[float, float]:
    """(relative, absolute): |W - W0| ≤ relative · |W0| + absolute can be the conversion of one float type alone.

    (0, 0) for equal types: any difference is an update. Where one type holds every number of the other it is one
    rounding to the narrower; between float16 and bfloat16 it is one to each. Beyond the largest number of the narrower
    type nothing is promised. Raises CheckpointError for types that are no floats.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.1.

    >>> rounding("float32", "float32")
    (0.0, 0.0)
    >>> rounding("float32", "float16")[0] == 2**-11 / (1 - 2**-11)
    True
    """
    types = np.dtype(initial), np.dtype(trained)
    try:
        facts = [limits(kind) for kind in types]
    except ValueError:
        raise CheckpointError(f"no rounding is known between {types[0]} and {types[1]}; give float weights") from None
    if types[0] == types[1]:
        return 0.0, 0.0
    (u, tiny, large), (v, small, huge) = facts
    if (u <= v and tiny <= small and large >= huge) or (u >= v and tiny >= small and large <= huge):
        steps = [(max(u, v), max(tiny, small))]
    else:
        steps = [(u, tiny), (v, small)]
    return sum(unit / (1 - unit) for unit, _ in steps), sum(subnormal for _, subnormal in steps) / 2


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns what reading a file raises into an error that names it."""
    try:
        yield
    except (WeightError, ModelError) as error:
        raise CheckpointError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (OSError, EOFError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "too large for the memory of this machine"
        raise CheckpointError(f"{path}: {reason}; give a readable checkpoint") from None


def _read(path: Path) -> list[_Stored]:
    """Every float tensor of at least two dimensions in the file."""
    with _named(path):
        if path.is_dir():
            raise CheckpointError(f"{path}: is a folder; give the checkpoint file in it")
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise CheckpointError(f"{path}: is not a regular file; give a checkpoint file")
        suffix = path.suffix.lower()
        if suffix == ".onnx":
            return _from_onnx(path)
        reader = _from_torch if suffix in TORCH else {".npz": _from_npz, ".safetensors": _from_safetensors}.get(suffix)
        if reader is None:
            known = ".onnx, .safetensors, .npz, .pt, .pth, .bin or .ckpt"
            raise CheckpointError(f"{path}: is no checkpoint that can be read; give {known}")
        tensors = reader(path)
    return [
        _Stored(names=(name,), origin=name, shape=shape, dtype=dtype, read=read)
        for name, (shape, dtype, read) in tensors.items()
        if len(shape) >= 2 and (dtype.kind == "f" or dtype.name in vars(ml_dtypes))
    ]


_Tensors = dict[str, tuple[tuple[int, ...], np.dtype[Any], Callable[[], Array]]]


def _from_npz(path: Path) -> _Tensors:
    reader = READERS[".npz"]
    tensors: _Tensors = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            names = list(file.files)
    except Exception as error:  # numpy raises whatever its parsers of headers and archives raise
        raise CheckpointError(f"{path}: not an .npz file ({first_line(error)}); save it with numpy.savez") from None
    for name in names:
        array = reader(path, name)
        tensors[name] = (array.shape, array.dtype, partial(reader, path, name))
    return tensors


def _from_safetensors(path: Path) -> _Tensors:
    if importlib.util.find_spec("safetensors") is None:
        raise CheckpointError(f"{path}: needs the package safetensors; pip install safetensors")
    from safetensors import SafetensorError, safe_open

    reader = READERS[".safetensors"]
    tensors: _Tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_slice(name)
                dtype = SAFETENSORS.get(part.get_dtype())
                if dtype:
                    tensors[name] = (tuple(part.get_shape()), np.dtype(dtype), partial(reader, path, name))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file, or cut short ({first_line(error)})") from None
    return tensors


def _from_torch(path: Path) -> _Tensors:
    if importlib.util.find_spec("torch") is None:
        raise CheckpointError(f"{path}: needs PyTorch; pip install torch, or save the weights as .safetensors")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever is wrong with the file is said once, below
            mapped = zipfile.is_zipfile(path)  # what torch wrote before 1.6 cannot be mapped
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
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


def _from_onnx(path: Path) -> list[_Stored]:
    model = load(path)
    found = glance(model.graph, sorted(weight_takers(model.graph)[0])).found
    stored: list[_Stored] = []
    for linear in found.linears:
        names, local = _names(linear)
        stored.append(
            _Stored(
                names=names,
                local=local,
                origin=_origin(linear),
                shape=linear.shape,
                dtype=np.dtype(linear.dtype.numpy()),
                read=partial(linear.canonical, found.constants),
                canonical=True,
            )
        )
    return stored


def _roots(value: ir.Value) -> Iterator[ir.Value]:
    """The initializers and Constant nodes that a constant is computed from."""
    stack = [value]
    seen: set[ir.Value] = set()
    while stack:
        top = stack.pop()
        node = top.producer()
        if node is None or not node.inputs:
            yield top
            continue
        fresh = [source for source in node.inputs if source is not None and source not in seen]
        seen.update(fresh)
        stack += fresh


def _origin(linear: Linear) -> frozenset[ir.Value]:
    return frozenset(_roots(linear.weight))


def _names(linear: Linear) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a linear's weight may be called in a checkpoint, the most trustworthy first; and in this export alone."""
    names: list[str] = []
    local = [linear.address]
    values = dict.fromkeys((linear.weight, *_roots(linear.weight)))
    for value in values:
        (local if GENERATED.fullmatch(value.name or "") else names).append(value.name or "")
    names += [name for value in values for name in _listed(value.metadata_props.get(FOLDED))]
    names += [f"{module}.weight".lstrip(".") for module in _listed(linear.node.metadata_props.get(SCOPES))[-2:-1]]
    path, slash, _ = (linear.node.name or "").rpartition("/")
    if slash:
        names.append(".".join((*_parts(path), "weight")))
    return tuple(dict.fromkeys(filter(None, names))), tuple(dict.fromkeys(filter(None, local)))


def _listed(text: str | None) -> list[str]:
    """The list of texts that an exporter left in a node's metadata."""
    try:
        listed = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []


def _parts(name: str) -> tuple[str, ...]:
    """The module that a weight belongs to: 'a.b.weight', 'a/b/kernel:0' and '/a/a.b' are all of ('a', 'b')."""
    scopes = [scope for scope in re.sub(r":\d+$", "", name).split("/") if scope]
    scopes = [scope for scope, inner in pairwise([*scopes, ""]) if not inner.startswith(f"{scope}.")]
    parts = [part for part in ".".join(scopes).split(".") if part]
    return tuple(parts[:-1] if parts and parts[-1] in LEAVES else parts)


def _by_name(linears: Sequence[Linear], stored: Sequence[_Stored]) -> tuple[dict[str, _Stored], dict[str, str]]:
    """(tensor, reason why there is none) of each linear, by address."""
    exact, local, ends = (defaultdict[str, list[_Stored]](list) for _ in range(3))
    for tensor in stored:
        for name in tensor.names:
            exact[name].append(tensor)
            ends[(_parts(name) or ("",))[-1]].append(tensor)
        for name in tensor.local:
            local[name].append(tensor)
    found: dict[str, _Stored] = {}
    misses: dict[str, str] = {}
    claims: defaultdict[object, set[frozenset[ir.Value]]] = defaultdict(set)
    for linear in linears:
        try:
            found[linear.address] = _match(linear, exact, ends, local)
            claims[found[linear.address].origin].add(_origin(linear))
        except _MissError as miss:
            misses[linear.address] = str(miss)
    for address, tensor in list(found.items()):
        if len(claims[tensor.origin]) > 1:
            misses[address] = f"several different weights of the model would have to come from {tensor.called}"
            del found[address]
    return found, misses


_Index = Mapping[str, Sequence[_Stored]]


def _match(linear: Linear, exact: _Index, ends: _Index, local: _Index) -> _Stored:
    """The tensor that a linear started from, by its names. Raises _MissError with the reason."""
    names, own = _names(linear)
    why = "no tensor of such a name"
    groups: list[Sequence[_Stored]] = [exact.get(name, ()) for name in names]
    groups += [_longest(_parts(name), ends, linear) for name in names]
    groups += [local.get(name, ()) for name in own]
    for group in groups:
        fitting = {tensor.origin: tensor for tensor in group if tensor.fits(linear)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if fitting:
            raise _MissError(f"several candidates: {_some(tensor.called for tensor in fitting.values())}")
        if group and why.startswith("no"):
            why = f"shape differs: {group[0].called} is {_by(group[0].shape)}, the weight {_by(linear.shape)}"
    raise _MissError(why)


def _longest(parts: tuple[str, ...], ends: _Index, linear: Linear) -> Sequence[_Stored]:
    """The tensors whose module is the same below a prefix that one of the two has, by the longest common end.

    Those of the right shape come first, so that a module of the same name elsewhere does not stand in the way.
    """
    ranked: dict[tuple[bool, int], list[_Stored]] = {}
    for tensor in ends.get(parts[-1], ()) if parts else ():
        for other in map(_parts, tensor.names):
            common = min(len(parts), len(other))
            if common and parts[-common:] == other[-common:]:
                ranked.setdefault((tensor.fits(linear), common), []).append(tensor)
    return ranked[max(ranked)] if ranked else ()


def _by_position(
    linears: Sequence[Linear], stored: Sequence[_Stored], found: Mapping[str, _Stored]
) -> dict[str, _Stored]:
    """The k-th linear of a shape started from the k-th of that shape, where both models have equally many of each."""
    if Counter(linear.shape for linear in linears) != Counter(tensor.shape for tensor in stored):
        return {}
    queues: defaultdict[tuple[int, ...], deque[_Stored]] = defaultdict(deque)
    for tensor in stored:
        queues[tensor.shape].append(tensor)
    paired = {linear.address: queues[linear.shape].popleft() for linear in linears}
    if any(paired[address] is not tensor for address, tensor in found.items()):  # then the order is another one
        return {}
    return {address: tensor for address, tensor in paired.items() if address not in found}


def _oriented(path: Path, linear: Linear, tensor: _Stored, constants: Constants) -> tuple[Callable[[], Array], str]:
    """A reader of the canonical weight, and a note where the orientation was a choice."""
    K, N = linear.shape
    if tensor.canonical:
        return tensor.read, ""
    if K != N or K == 1:
        return partial(_turned, tensor, linear.shape, tensor.shape[:2] != (K, N)), ""
    kept, turned = _cosines(linear.canonical(constants), _turned(tensor, linear.shape, False))
    if abs(kept - turned) > CLEAR / K or (kept != turned and max(kept, turned) > CLOSE):
        transposed = turned > kept
        note = (
            f"square, taken as {'(out, in)' if transposed else '(in, out)'}, which correlates with the trained weight"
        )
    else:
        module = (_parts(tensor.called) or ("",))[-1]
        transposed = linear.transposed if path.suffix.lower() == ".npz" else module not in CONV1D
        usual = "(out, in)" if transposed else "(in, out)"
        note = f"square, taken as {usual}, as is usual; the trained weight correlates with neither orientation"
    return partial(_turned, tensor, linear.shape, transposed), note


def _turned(tensor: _Stored, shape: tuple[int, int], transposed: bool) -> Array:
    """The tensor as a canonical weight, shape (K, N)."""
    array = tensor.read().reshape(shape[::-1] if transposed else shape)
    return array.T if transposed else array


def _cosines(trained: Array, initial: Array) -> tuple[float, float]:
    """The cosine between two square weights, and between the first and the transpose of the second."""
    sums = np.zeros(4)
    n = len(trained)
    with np.errstate(all="ignore"):
        for start in range(0, n, step := max(1, ROWS // n)):
            rows = slice(start, start + step)
            parts = (np.asarray(part, np.float64) for part in (trained[rows], initial[rows], initial[:, rows].T))
            a, b, c = (np.where(np.isfinite(part), part, 0).ravel() for part in parts)
            sums += a @ b, a @ c, a @ a, b @ b
    size = math.sqrt(sums[2]) * math.sqrt(sums[3])
    return (float(sums[0] / size), float(sums[1] / size)) if size else (0.0, 0.0)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (", …" if len(listed) > 4 else "")
