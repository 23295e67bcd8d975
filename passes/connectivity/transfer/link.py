"""The way to a device: memory that it copies from, copies beside what it computes, and when they have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ....ir.foreign import is_out_of_memory

if TYPE_CHECKING:
    import torch

__all__ = ["Link", "link_to"]

Tensor: TypeAlias = "torch.Tensor"
Event: TypeAlias = Any  # torch.cuda.Event, or None where a copy is done when it returns


class Link(Protocol):
    """What a ring asks of a device."""

    def memory(self, size: int) -> Tensor:
        """Octets on the host that copies start from, (size,) uint8."""

    def room(self, size: int) -> Tensor:
        """Octets on the device, (size,) uint8; raises RuntimeError where there is none."""

    def copy(self, source: Tensor, target: Tensor) -> Event:
        """Queue a copy; `source` may be filled again after the event."""

    def wait(self, event: Event) -> None:
        """Keep this thread until an event has happened."""

    def arrive(self, target: Tensor, event: Event) -> None:
        """Let all that is computed from now on with `target` wait for the event on the device."""


class PlainLink:
    """Copies that are done when they return: to any device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def memory(self, size: int) -> Tensor:
        """Memory like all other."""
        import torch

        return torch.empty(size, dtype=torch.uint8)

    def room(self, size: int) -> Tensor:
        """Memory of the device."""
        import torch

        return torch.empty(size, dtype=torch.uint8, device=self._device)

    def copy(self, source: Tensor, target: Tensor) -> Event:
        """Copy."""
        target.copy_(source)

    def wait(self, event: Event) -> None:
        """Nothing is ever to be waited for."""

    def arrive(self, target: Tensor, event: Event) -> None:
        """It is there."""


class CudaLink:
    """Copies from pinned memory on a stream of their own, beside what the current stream computes."""

    def __init__(self, device: torch.device) -> None:
        import torch

        self._device, self._stream = device, torch.cuda.Stream(device)

    def memory(self, size: int) -> Tensor:
        """Pinned memory, or any other where no more can be pinned: a copy from there is only slower."""
        import torch

        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return torch.empty(size, dtype=torch.uint8)

    def room(self, size: int) -> Tensor:
        """Memory that belongs to the stream of copies."""
        import torch

        with torch.cuda.stream(self._stream):
            return torch.empty(size, dtype=torch.uint8, device=self._device)

    def copy(self, source: Tensor, target: Tensor) -> Event:
        """Queue it on the stream of copies."""
        import torch

        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        return self._stream.record_event()

    def wait(self, event: Event) -> None:
        """On the host."""
        event.synchronize()

    def arrive(self, target: Tensor, event: Event) -> None:
        """The current stream waits, and holds the memory until it is done with it."""
        import torch

        current = torch.cuda.current_stream(self._device)
        current.wait_event(event)
        target.record_stream(current)


def link_to(device: torch.device) -> Link:
    """The way to a device of torch."""
    return CudaLink(device) if device.type == "cuda" else PlainLink(device)
