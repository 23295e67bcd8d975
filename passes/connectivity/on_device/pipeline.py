"""Components and permutations of many weights on a torch device: one is copied there while another is analysed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ....ir.foreign import is_out_of_memory
from ..bipartite import Components, components
from ..transfer.link import Event, Link, link_to
from ..transfer.ring import Job, Ring, spans
from .components import Pending, edges_on_device, finish, is_supported, join
from .permutation import as_components, permutation

if TYPE_CHECKING:
    import torch

__all__ = ["stream_components"]

Tensor: TypeAlias = "torch.Tensor"
Array: TypeAlias = "npt.NDArray[Any]"
Key = TypeVar("Key")
FLIGHT = 4  # weights on the device at once
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

    Weights are taken from the iterable a few ahead, as far as a ring of buffers reaches, copied once, and freed when
    their turn is over. What the device cannot hold, or is of another type, the CPU analyses.
    """
    queue: deque[_InFlight[Key]] = deque()
    for started in _started(weights, device):
        queue.append(started)
        if len(queue) >= FLIGHT:
            yield _finished(queue.popleft())
    while queue:
        yield _finished(queue.popleft())


@dataclass(slots=True, eq=False)
class _Arriving(Generic[Key]):
    """A weight on its way: where it is to lie on the device, and the event of the last copy."""

    key: Key
    weight: Array
    fits: bool
    octets: Tensor | None = None
    event: Event = None


@dataclass(frozen=True, slots=True, eq=False)
class _Part(Generic[Key]):
    """Some consecutive octets of a weight."""

    owner: _Arriving[Key]
    start: int
    stop: int
    last: bool


def _started(weights: Iterable[tuple[Key, Array]], device: torch.device) -> Iterator[_InFlight[Key]]:
    """Weights in pieces through a ring: threads read them, copies run beside what is computed of the one before."""
    link = link_to(device)

    def send(part: _Part[Key], octets: Tensor) -> Event:
        owner = part.owner
        if not owner.fits:
            return None
        try:
            if owner.octets is None:
                owner.octets = link.room(owner.weight.nbytes)
            owner.event = link.copy(octets, owner.octets[part.start : part.stop])
        except RuntimeError as error:
            _refuse_unless_full(error)
            owner.fits, owner.octets = False, None
        return owner.event

    for part in Ring(link).run(_jobs(weights, device), send):
        if part.last:
            yield _launched_or_left(part.owner, link)


def _jobs(weights: Iterable[tuple[Key, Array]], device: torch.device) -> Iterator[Job[_Part[Key]]]:
    for key, weight in weights:
        owner = _Arriving(key, weight, is_supported(weight) and _fits(weight, device))
        octets = _stored(weight).view(np.uint8).reshape(-1) if owner.fits else np.zeros(0, np.uint8)
        for start, stop in spans(octets.size) if owner.fits else ((0, 0),):
            yield Job(_Part(owner, start, stop, stop == octets.size), stop - start, _reader(octets[start:stop]))


def _reader(octets: npt.NDArray[np.uint8]) -> Callable[[npt.NDArray[np.uint8]], None]:
    """What reads octets into a buffer: out of a file, where they are mapped."""

    def fill(buffer: npt.NDArray[np.uint8]) -> None:
        buffer[:] = octets

    return fill


def _launched_or_left(arrived: _Arriving[Key], link: Link) -> _InFlight[Key]:
    if arrived.octets is None:
        return _InFlight(arrived.key, arrived.weight)
    try:
        link.arrive(arrived.octets, arrived.event)
        return _launched(arrived.key, arrived.weight, arrived.octets)
    except RuntimeError as error:
        _refuse_unless_full(error)
        return _InFlight(arrived.key, arrived.weight)


def _stored(weight: Array) -> Array:
    """The weight as it lies in memory, row after row: itself, or its transpose."""
    return weight.T if _is_turned(weight) else np.ascontiguousarray(weight)


def _is_turned(weight: Array) -> bool:
    return weight.flags.f_contiguous and not weight.flags.c_contiguous


def _fits(weight: Array, device: torch.device) -> bool:
    import torch

    if device.type != "cuda":
        return True
    smaller = min(weight.shape)
    needed = weight.nbytes + (weight.dtype.itemsize + 4) * weight.size + 12 * smaller * smaller
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free: int = torch.cuda.mem_get_info(device)[0] + unused
    return bool(FLIGHT * needed < ENOUGH * free)


def _refuse_unless_full(error: RuntimeError) -> None:
    """Memory of the device that somebody else took is no reason to fail: the CPU is there."""
    import torch

    if not is_out_of_memory(error):
        raise error
    torch.cuda.empty_cache()


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
