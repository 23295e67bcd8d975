"""Memory: what running models on inputs of some size takes, and how much of it may be taken."""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ...ir.errors import ScissionError, option
from ...ir.graph.shapes import Inference
from ...ir.io.tensors import constant_tensors, graphs
from ...ir.onnx_ir import onnx_ir as ir
from ..notes import LoweredWarning

__all__ = [
    "COMPARED",
    *("Footprint", "MemoryLimit", "NoMemoryError"),
    *(
        "fitting",
        "footprint",
        "release",
        "free_bytes",
        "given_back_at_once",
        "halvings",
        "limit_of",
        "parse_bytes",
        "room_beside",
        "session_bytes",
        "shown_bytes",
    ),
    *("tell_lowered", "weight_bytes"),
]

UNASKED = 1 << 30  # bytes beside the weights of the model that a command takes without being asked for more
MODELS = 4  # the original and its rewritten form, once as they are and once with values in between as outputs
COMPARED = 12  # times the bytes of an output that comparing it in float64 takes
LEAST = 16  # the part of a limit that is left to activations, however large the weights
WIDTH = 4  # bytes of an element of unknown type, unless those of an input are wider
TEXT = 64  # bytes of a text and its reference
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
CGROUPS = (  # limit and usage, in the two versions of control groups
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
LITTLE = 1 << 29  # bytes of a process of which nothing need be handed back
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
T = TypeVar("T")


class NoMemoryError(ScissionError):
    """Inputs that cannot be run within the memory that may be used, or a size of memory that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes that one run of a model takes beside its weights.

    inputs, outputs: of the graph; values: of its inputs and of everything that nodes compute, as if nothing were freed;
    live: of what is alive at a time at the most, as if it were freed after its last use.
    """

    inputs: int
    outputs: int
    values: int
    live: int

    @property
    def compared(self) -> int:
        """Bytes of running and comparing the model and a rewritten one, none of which is thrown away in between."""
        return MODELS * self.values + COMPARED * self.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """Bytes that may be used: usual, which sizes are lowered to; most, beyond which nothing runs. None for no limit."""

    usual: int | None
    most: int | None


def parse_bytes(text: str) -> int:
    """Bytes of a size such as '2GB', '500 MB', '0.5GiB' or '1000000'. Raises NoMemoryError for anything else.

    >>> [parse_bytes(text) for text in ("2GB", "0.5 GiB", "500m", "4096")]
    [2000000000, 536870912, 500000000, 4096]
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]I?)?B?", text.strip().upper())
    count = int(float(found[1]) * UNITS[found[2] or ""]) if found else 0
    if count < 1:
        raise NoMemoryError(f"{text!r} is no size of memory; say it as 2GB, 500MB or 0.5GiB")
    return count


def shown_bytes(count: float) -> str:
    """A number of bytes for people.

    >>> shown_bytes(12_240_000_000), shown_bytes(512), shown_bytes(999_999)
    ('12.2 GB', '512 bytes', '1 MB')
    """
    for factor, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= factor * 0.9995:
            part = count / factor
            return f"{part:.3g} {unit}" if part < 999 else f"{part:.0f} {unit}"
    return f"{count:.0f} bytes"


def free_bytes() -> int | None:
    """Bytes that are free on this machine and in the control group of this process; None where nothing tells."""
    known = [free for free in (_machine(), *(_group(*one) for one in CGROUPS)) if free is not None]
    return max(min(known), 0) if known else None


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group(limit: Path, usage: Path) -> int | None:
    try:
        return int(limit.read_text(encoding="ascii")) - int(usage.read_text(encoding="ascii"))
    except (OSError, ValueError):  # 'max' is no limit
        return None


def limit_of(memory: int | None, *, asked: bool, weights: int = 0) -> MemoryLimit:
    """What may be used: `memory` where the user says so, else half of what is free; and without sizes that were asked
    for no more than `UNASKED` beside weights of so many bytes."""
    if memory is not None:
        return MemoryLimit(usual=memory, most=memory)
    free = free_bytes()
    half = None if free is None else free // 2
    if asked:
        return MemoryLimit(usual=half, most=half)
    unasked = UNASKED + weights
    return MemoryLimit(usual=unasked if half is None else min(half, unasked), most=half)


def release(*models: ir.Model) -> None:
    """Hand back to the system what is no longer used: glibc keeps freed weights of closed sessions for itself.

    models: whose weights that were read from files go as well, until they are read again. A process that holds little
    keeps it: to walk through its heap takes longer than most small models run.
    """
    for tensor in (one for model in models for one in constant_tensors(model)):
        mapped = getattr(tensor, "raw", None)
        if isinstance(mapped, mmap.mmap) and not mapped.closed and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)  # views of it stay valid: their pages come from the file again
    if _resident() < LITTLE:
        return
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def given_back_at_once() -> Iterator[None]:
    """Blocks of 1 MiB and more that are freed inside the context go back to the system at once, on glibc.

    It keeps blocks of up to 32 MiB for itself once one of them was freed, between what is still used; with the weights
    of a model, each held twice while it is opened, that is half of the model again.
    """
    option = _glibc("mallopt")
    if option is None:
        yield
        return
    option(M_MMAP_THRESHOLD, 1 << 20)
    try:
        yield
    finally:  # what glibc comes to by itself in a process that frees large blocks
        option(M_MMAP_THRESHOLD, 32 << 20)
        option(M_TRIM_THRESHOLD, 64 << 20)


def _resident() -> float:
    """Bytes of this process in memory; infinite where nothing tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return float("inf")
    return pages * mmap.PAGESIZE


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None where there is another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def footprint(model: ir.Model, shapes: Mapping[str, Sequence[int]], inference: Inference | None = None) -> Footprint:
    """What one run of a model takes on inputs of these shapes, by name; of others a dimension that is open counts 1.

    A value of unknown shape is taken to be as large as the largest that is known. Local functions and the turns of
    loops are not looked into. inference: of the model, where it is asked at several sizes.
    """
    fed = [value for value in model.graph.inputs if value.const_value is None]
    stated = {value.name or "": [dim if isinstance(dim, int) else 1 for dim in value.shape or ()] for value in fed}
    given = {name: tuple(shapes.get(name, own)) for name, own in stated.items()}
    widest = max([WIDTH, *(_width(value.dtype) for value in fed if value.dtype is not None)])
    found = (inference or Inference(model)).at(given)
    sizes = {value: _bytes(value, given[value.name or ""], widest) for value in fed}
    inputs = sum(sizes.values())
    sizes |= {value: _bytes(value, shape, widest) for value, shape in found.items() if None not in shape}
    largest = max(sizes.values(), default=0)
    sizes |= {
        value: largest for graph in graphs(model) for node in graph for value in node.outputs if value not in sizes
    }
    return Footprint(
        inputs=inputs,
        outputs=sum(sizes.get(value, 0) for value in model.graph.outputs),
        values=sum(sizes.values()),
        live=_live(model.graph, sizes),
    )


def weight_bytes(model: ir.Model) -> int:
    """Bytes of the tensors that a model holds."""
    return sum(int(tensor.nbytes) for tensor in constant_tensors(model))


def _bytes(value: ir.Value, shape: Sequence[int | None], otherwise: int) -> int:
    width = otherwise if value.dtype is None else _width(value.dtype)
    return math.prod(extent or 0 for extent in shape) * width


def _live(graph: ir.Graph, sizes: Mapping[ir.Value, int]) -> int:
    """The most that is alive at a time, where each value goes after the last node that reads it."""
    nodes = list(graph)
    place = {node: at for at, node in enumerate(nodes)}
    kept = set(graph.inputs) | set(graph.outputs)
    ends: dict[int, int] = {}
    current = sum(sizes.get(value, 0) for value in graph.inputs)
    most = current
    for at, node in enumerate(nodes):
        for value in node.outputs:
            current += sizes[value]
            if value not in kept:
                last = max((place.get(user, len(nodes)) for user in value.consumers()), default=at)
                ends[last] = ends.get(last, 0) + sizes[value]
        most = max(most, current)
        current -= ends.pop(at, 0)
    return most


def halvings(sizes: Mapping[str, int], free: Sequence[str]) -> Iterator[dict[str, int]]:
    """Smaller and smaller sizes: the largest of the free dimensions is halved each time, until all of them are 1.

    >>> list(halvings({"N": 5, "time": 3, "past": 9}, ["N", "time"]))
    [{'N': 2, 'time': 3, 'past': 9}, {'N': 2, 'time': 1, 'past': 9}, {'N': 1, 'time': 1, 'past': 9}]
    """
    current = dict(sizes)
    while left := [name for name in free if current.get(name, 1) > 1]:
        name = max(left, key=lambda one: current[one])
        current[name] //= 2
        yield dict(current)


def room_beside(held: int, limit: MemoryLimit) -> int | None:
    """Bytes that sessions which hold so many bytes leave, never less than a `LEAST` of the limit."""
    return None if limit.usual is None else max(limit.usual - held, limit.usual // LEAST)


def session_bytes(*models: ir.Model) -> int:
    """Bytes that open sessions of these models hold at the most: weights as kernels want them, and besides the largest
    tensor once more while it is read. Sessions of one and of many tensors, 15 to 950 MB, held 1.00 times their
    weights."""
    sizes = [[int(tensor.nbytes) for tensor in constant_tensors(model)] for model in models]
    return sum(map(sum, sizes)) + max((size for own in sizes for size in own), default=0)


def fitting(
    first: T,
    others: Iterable[T],
    need: Callable[[T], tuple[int, int]],
    limit: MemoryLimit,
    held: int,
    what: str,
    *,
    sized: bool = True,
) -> tuple[T, int]:
    """The first setting that fits, or the last one where none does but it could still run, and what `first` needs.

    need: bytes of a setting, beside what sessions hold as they usually are, and at the very least with weights; held:
    bytes that sessions hold; what: is run, for the message; sized: whether there are sizes to be given. Raises
    NoMemoryError where even the last needs more than may be used.
    """
    usual, least = need(first)
    room = room_beside(held, limit)
    chosen, wanted = first, usual
    for other in others if room is not None and usual > room else ():
        chosen = other
        wanted, least = need(other)
        if room is None or wanted <= room:
            break
    if limit.most is not None and least > limit.most:
        needed = f"{what} needs {shown_bytes(least)} of memory at the least and {shown_bytes(limit.most)} may be used; "
        smaller = ("give smaller sizes with ", option("sizes", flag="--size"), ", or ")
        raise NoMemoryError(
            needed, *(smaller if sized else ("its sizes are fixed: ",)), "allow more with ", option("memory")
        )
    return chosen, usual + held


def tell_lowered(before: Mapping[str, int], after: Mapping[str, int], need: int, limit: MemoryLimit) -> None:
    """Warn that sizes were lowered, in one sentence."""
    changed = (f"{name} {after[name]} instead of {size}" for name, size in before.items() if after[name] != size)
    allowed = shown_bytes(limit.usual or 0)
    told = f"{', '.join(changed)}: that would need {shown_bytes(need)}, {allowed} may be used; allow more with "
    warnings.warn(LoweredWarning(told, option("memory")), stacklevel=2)


def _width(dtype: ir.DataType) -> int:
    """Bytes of an element; a text takes what an object of Python does."""
    return TEXT if dtype == ir.DataType.STRING else max(1, math.ceil(dtype.itemsize))
