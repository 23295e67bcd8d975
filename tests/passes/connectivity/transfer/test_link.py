import pytest
import torch
from digraphs import on_cuda

from scission.passes.connectivity.transfer.link import link_to


class Stream:
    """Pretends to be one of CUDA; counts what is asked of it."""

    def __init__(self, *_):
        self.events, self.awaited = 0, []

    def record_event(self):
        self.events += 1
        return self

    def wait_event(self, event):
        self.awaited.append(event)

    def synchronize(self):
        self.awaited.append("host")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def pretended(monkeypatch):
    """CUDA without a device: streams that count, memory of the host."""
    current, real = Stream(), torch.empty
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    monkeypatch.setattr(torch, "empty", lambda size, dtype, device=None, pin_memory=False: real(size, dtype=dtype))
    return current


def test_what_is_computed_waits_for_the_copy_and_the_host_for_nothing(pretended):
    link = link_to(torch.device("cuda"))
    source, target = link.memory(8), link.room(8)
    source.fill_(7)
    event = link.copy(source, target)
    link.arrive(target, event)
    assert pretended.awaited == [event] and torch.equal(source, target)
    link.wait(event)
    assert event.awaited == ["host"]


@pytest.mark.parametrize(("told", "raised"), [("CUDA error: out of memory", False), ("something else", True)])
def test_memory_that_cannot_be_pinned_is_plain_memory(monkeypatch, pretended, told, raised):
    plain = torch.empty

    def refused(size, dtype, pin_memory=False):
        if pin_memory:
            raise RuntimeError(told)
        return plain(size, dtype=dtype)

    link = link_to(torch.device("cuda"))
    monkeypatch.setattr(torch, "empty", refused)
    if raised:
        with pytest.raises(RuntimeError, match=told):
            link.memory(4)
    else:
        assert link.memory(4).numel() == 4


@on_cuda
def test_copies_arrive_on_cuda():
    link = link_to(torch.device("cuda"))
    source, target = link.memory(1 << 20), link.room(1 << 20)
    assert source.is_pinned() and target.is_cuda
    source.copy_(torch.arange(1 << 20).to(torch.uint8))
    event = link.copy(source, target)
    link.arrive(target, event)
    assert torch.equal(target.cpu(), source)
    link.wait(event)
