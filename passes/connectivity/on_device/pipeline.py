"""Components and permutations of many weights on a torch device: one is copied there while another is analysed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ....ir.foreign import is_out_of_memory
from ..bipartite import Components, components
from .components import Pending, edges_on_device, finish, is_supported, join
from .permutation import as_components, permutation

if TYPE_CHECKING:
    import torch

__all__ = ["stream_components"]

Tensor: TypeAlias = "torch.Tensor"
Array: TypeAlias = "npt.NDArray[Any]"
Key = TypeVar("Key")
FLIGHT = 4  # weights on the device at once
STAGES = 3  # pinned buffers that weights are copied into, by as many threads
ENOUGH = 0.8  # of the device's free memory


@dataclass(frozen=True, slots=True, eq=False)
class _InFlight(Generic[Key]):
    """A weight whose components are being searched; `pending` is None where the CPU does it when its turn comes."""

    key: Key
    weight: Array
    pending: Pending | None = None
    edges: Tensor | None = None
    host: tuple[Tensor, ...] | None = None  # the orders of inputs and outputs, their sizes, the counts of `pending`
    done: Any = None  # the CUDA event after which they have arrived


def stream_components(
    weights: Iterable[tuple[Key, Array]], device: torch.device
) -> Iterator[tuple[Key, Array, Components]]:
    """(key, weight, its components) for every (key, weight (K, N)), in order; the same as `components` gives.

    Weights are read from the iterable a few ahead, copied once, and freed when their turn is over. What the device
    cannot hold, or is of another type, the CPU analyses.
    """
    queue: deque[_InFlight[Key]] = deque()
    for started in _started(weights, device):
        queue.append(started)
        if len(queue) >= FLIGHT:
            yield _finished(queue.popleft())
    while queue:
        yield _finished(queue.popleft())


def _started(weights: Iterable[tuple[Key, Array]], device: torch.device) -> Iterator[_InFlight[Key]]:
    if device.type != "cuda":
        import torch

        for key, weight in weights:
            if not is_supported(weight):
                yield _InFlight(key, weight)
                continue
            stored = _stored(weight)
            octets = torch.from_numpy(np.array(stored).view(np.uint8).reshape(-1)).to(device)
            yield _launched(key, weight, octets)
        return
    yield from _copied(weights, device)


def _copied(weights: Iterable[tuple[Key, Array]], device: torch.device) -> Iterator[_InFlight[Key]]:
    """Weights through pinned buffers: threads fill them, a stream of its own copies them, the main one computes."""
    import torch

    copying = torch.cuda.Stream(device)
    buffers: list[Tensor] = [torch.empty(0, dtype=torch.uint8)] * STAGES
    free: list[Any] = [None] * STAGES  # the event after which a buffer may be filled again
    waiting: deque[tuple[Key, Array, int, Future[None] | None]] = deque()

    def fill(slot: int, stored: Array) -> None:
        if free[slot] is not None:
            free[slot].synchronize()
        if buffers[slot].numel() < stored.nbytes:
            buffers[slot] = torch.empty(stored.nbytes, dtype=torch.uint8, pin_memory=True)
        buffers[slot].numpy()[: stored.nbytes] = stored.view(np.uint8).reshape(-1)

    def launch(key: Key, weight: Array, slot: int, filled: Future[None] | None) -> _InFlight[Key]:
        if filled is None:
            return _InFlight(key, weight)
        try:
            filled.result()
            with torch.cuda.stream(copying):
                octets = torch.empty(weight.nbytes, dtype=torch.uint8, device=device)
                octets.copy_(buffers[slot][: weight.nbytes], non_blocking=True)
                free[slot] = copying.record_event()
            current = torch.cuda.current_stream(device)
            current.wait_event(free[slot])
            octets.record_stream(current)
            return _launched(key, weight, octets)
        except RuntimeError as error:
            _refuse_unless_full(error)
            torch.cuda.empty_cache()
            return _InFlight(key, weight)

    with ThreadPoolExecutor(STAGES) as pool:
        slot = 0
        for key, weight in weights:
            if len(waiting) == STAGES:
                yield launch(*waiting.popleft())
            fits = is_supported(weight) and _fits(weight, device)
            waiting.append((key, weight, slot, pool.submit(fill, slot, _stored(weight)) if fits else None))
            slot = (slot + 1) % STAGES
        while waiting:
            yield launch(*waiting.popleft())


def _stored(weight: Array) -> Array:
    """The weight as it lies in memory, row after row: itself, or its transpose."""
    return weight.T if _is_turned(weight) else np.ascontiguousarray(weight)


def _is_turned(weight: Array) -> bool:
    return weight.flags.f_contiguous and not weight.flags.c_contiguous


def _fits(weight: Array, device: torch.device) -> bool:
    import torch

    smaller = min(weight.shape)
    needed = weight.nbytes + (weight.dtype.itemsize + 4) * weight.size + 12 * smaller * smaller
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free: int = torch.cuda.mem_get_info(device)[0] + unused
    return bool(FLIGHT * needed < ENOUGH * free)


def _refuse_unless_full(error: RuntimeError) -> None:
    """Memory that somebody else took, on the device or for pinned buffers, is no reason to fail: the CPU is there."""
    if not is_out_of_memory(error):
        raise error


def _launched(key: Key, weight: Array, octets: Tensor) -> _InFlight[Key]:
    import torch

    shape = weight.shape[::-1] if _is_turned(weight) else weight.shape
    edges = edges_on_device(octets, (shape[0], shape[1]), weight.dtype.itemsize)
    pending = join(edges)
    ends = (pending.columns, pending.rows) if _is_turned(weight) else (pending.rows, pending.columns)
    found = (*permutation(*ends, min(shape)).tensors(), pending.counts)
    if octets.device.type != "cuda":
        return _InFlight(key, weight, pending, edges, tuple(tensor.cpu() for tensor in found))
    # Copied now: reading them later would wait for everything that is queued behind.
    host = tuple(torch.empty(t.shape, dtype=t.dtype, pin_memory=True).copy_(t, non_blocking=True) for t in found)
    event = torch.cuda.current_stream(octets.device).record_event()
    return _InFlight(key, weight, pending, edges, host, event)


def _finished(flight: _InFlight[Key]) -> tuple[Key, Array, Components]:
    if flight.pending is None or flight.host is None or flight.edges is None:
        return flight.key, flight.weight, components(flight.weight)
    if flight.done is not None:
        flight.done.synchronize()
    inputs, outputs, sizes, (nonzeros, grew) = (tensor.numpy().copy() for tensor in flight.host)
    if grew:  # one squaring was not enough
        try:
            rows, columns = finish(flight.pending, flight.edges)
            ends = (columns, rows) if _is_turned(flight.weight) else (rows, columns)
            found = permutation(*ends, min(flight.weight.shape)).tensors()
            inputs, outputs, sizes = (tensor.cpu().numpy() for tensor in found)
        except RuntimeError as error:
            _refuse_unless_full(error)
            return flight.key, flight.weight, components(flight.weight)
    return flight.key, flight.weight, as_components(inputs, outputs, sizes, int(nonzeros))
