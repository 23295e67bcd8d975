"""The initial checkpoint: the weights a model started from, matched to its linears."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.onnx_ir import onnx_ir as ir
from ..compare.rounding import limits
from .checkpoint_file import CheckpointError, Stored, named, read_stored
from .checkpoint_names import module_of, names_of, origin_of

__all__ = ["CheckpointError", "Initial", "Matched", "read_initial", "rounding"]

Array = npt.NDArray[Any]

CONV1D = frozenset({"c_attn", "q_attn", "c_proj", "c_fc"})  # GPT-2's linears, stored (in, out)
CLEAR = 6.0  # standard errors, 1/√(K·N) each, by which one orientation must be the likelier
CLOSE = 0.9  # a cosine that no accident reaches, however small the weight
ROWS = 1 << 22  # entries that are compared at a time


@dataclass(frozen=True, slots=True, eq=False)
class Initial(Mapping[str, Array]):
    """Initial weights by the address of their linear, canonical (K, N), read from the file whenever asked for.

    Reading raises CheckpointError when the file has changed or gone since.
    """

    path: Path
    readers: Mapping[str, Callable[[], Array]]

    def __getitem__(self, address: str) -> Array:
        reader = self.readers[address]
        with named(self.path):
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
    stored = read_stored(path)
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
            with named(path):
                readers[linear.address], note = _oriented(path, linear, tensor, constants)
            if note:
                turned[note] += 1
            if tensor.dtype != linear.dtype.numpy():
                turned[f"{tensor.dtype.name}, where the trained are {np.dtype(linear.dtype.numpy()).name}"] += 1
    if linears and not readers:
        raise CheckpointError(
            f"{path}: holds no initial weight of this model ({misses[linears[0].address]}); it has "
            f"{_some(tensor.called for tensor in stored) or 'no float matrix'}, the model has "
            f"{_some(name for linear in linears for name in names_of(linear)[0][:1] or [linear.address])}; "
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


def _by_name(linears: Sequence[Linear], stored: Sequence[Stored]) -> tuple[dict[str, Stored], dict[str, str]]:
    """(tensor, reason why there is none) of each linear, by address."""
    exact, local, ends = (defaultdict[str, list[Stored]](list) for _ in range(3))
    for tensor in stored:
        for name in tensor.names:
            exact[name].append(tensor)
            ends[(module_of(name) or ("",))[-1]].append(tensor)
        for name in tensor.local:
            local[name].append(tensor)
    found: dict[str, Stored] = {}
    misses: dict[str, str] = {}
    claims: defaultdict[object, set[frozenset[ir.Value]]] = defaultdict(set)
    for linear in linears:
        try:
            found[linear.address] = _match(linear, exact, ends, local)
            claims[found[linear.address].origin].add(origin_of(linear))
        except _MissError as miss:
            misses[linear.address] = str(miss)
    for address, tensor in list(found.items()):
        if len(claims[tensor.origin]) > 1:
            misses[address] = f"several different weights of the model would have to come from {tensor.called}"
            del found[address]
    return found, misses


_Index = Mapping[str, Sequence[Stored]]


def _match(linear: Linear, exact: _Index, ends: _Index, local: _Index) -> Stored:
    """The tensor that a linear started from, by its names. Raises _MissError with the reason."""
    names, own = names_of(linear)
    other: Stored | None = None  # of such a name, but of another shape
    groups: list[Sequence[Stored]] = [exact.get(name, ()) for name in names]
    groups += [_longest(module_of(name), ends, linear) for name in names]
    groups += [local.get(name, ()) for name in own]
    for group in groups:
        fitting = {tensor.origin: tensor for tensor in group if tensor.fits(linear)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if fitting:
            raise _MissError(f"several candidates: {_some(tensor.called for tensor in fitting.values())}")
        other = other or next(iter(group), None)
    if other is None:
        raise _MissError("no tensor of such a name")
    raise _MissError(f"shape differs: {other.called} is {_by(other.shape)}, the weight {_by(linear.shape)}")


def _longest(parts: tuple[str, ...], ends: _Index, linear: Linear) -> Sequence[Stored]:
    """The tensors whose module is the same below a prefix that one of the two has, by the longest common end.

    Those of the right shape come first, so that a module of the same name elsewhere does not stand in the way.
    """
    ranked: dict[tuple[bool, int], list[Stored]] = {}
    for tensor in ends.get(parts[-1], ()) if parts else ():
        for other in map(module_of, tensor.names):
            common = min(len(parts), len(other))
            if common and parts[-common:] == other[-common:]:
                ranked.setdefault((tensor.fits(linear), common), []).append(tensor)
    return ranked[max(ranked)] if ranked else ()


def _by_position(linears: Sequence[Linear], stored: Sequence[Stored], found: Mapping[str, Stored]) -> dict[str, Stored]:
    """The k-th linear of a shape started from the k-th of that shape, where both models have equally many of each."""
    if Counter(linear.shape for linear in linears) != Counter(tensor.shape for tensor in stored):
        return {}
    queues: defaultdict[tuple[int, ...], deque[Stored]] = defaultdict(deque)
    for tensor in stored:
        queues[tensor.shape].append(tensor)
    paired = {linear.address: queues[linear.shape].popleft() for linear in linears}
    if any(paired[address] is not tensor for address, tensor in found.items()):  # then the order is another one
        return {}
    return {address: tensor for address, tensor in paired.items() if address not in found}


def _oriented(path: Path, linear: Linear, tensor: Stored, constants: Constants) -> tuple[Callable[[], Array], str]:
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
        module = (module_of(tensor.called) or ("",))[-1]
        transposed = linear.transposed if path.suffix.lower() == ".npz" else module not in CONV1D
        usual = "(out, in)" if transposed else "(in, out)"
        note = f"square, taken as {usual}, as is usual; the trained weight correlates with neither orientation"
    return partial(_turned, tensor, linear.shape, transposed), note


def _turned(tensor: Stored, shape: tuple[int, int], transposed: bool) -> Array:
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
