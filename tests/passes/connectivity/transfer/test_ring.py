import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from late_link import LateLink

from scission.passes.connectivity.transfer.link import PlainLink
from scission.passes.connectivity.transfer.ring import AHEAD, Job, Ring, spans


def writer(octets):
    def fill(buffer):
        buffer[:] = octets

    return fill


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_spans_cut_everything_into_pieces_of_like_size(size, most):
    found = list(spans(size, most))
    assert [place for start, stop in found for place in range(start, stop)] == list(range(size))
    lengths = {stop - start for start, stop in found}
    assert not lengths or (max(lengths) <= most and max(lengths) - min(lengths) <= 1 and min(lengths) > 0)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=40), st.integers(1, 4))
def test_pieces_arrive_whole_and_in_order_however_late_copies_are(seed, sizes, threads):
    rng = np.random.default_rng(seed)
    pieces = [rng.integers(0, 256, size).astype(np.uint8) for size in sizes]
    for link in (LateLink(), PlainLink(torch.device("cpu"))):
        rooms = [link.room(size) for size in sizes]
        jobs = (Job(number, piece.size, writer(piece)) for number, piece in enumerate(pieces))
        events = {}

        def send(number, octets, link=link, rooms=rooms, events=events):
            events[number] = link.copy(octets, rooms[number])
            return events[number]

        order = list(Ring(link, threads).run(jobs, send))
        assert order == list(range(len(sizes)))
        for number, piece in enumerate(pieces):
            link.arrive(rooms[number], events[number])
            np.testing.assert_array_equal(rooms[number].numpy(), piece)


def test_memory_is_bounded_and_jobs_are_taken_as_buffers_become_free():
    link, taken, threads = LateLink(), [], 2

    def jobs():
        for number in range(100):
            taken.append(number)
            yield Job(number, 64, lambda buffer: None)

    for number in Ring(link, threads).run(jobs(), lambda number, octets: link.copy(octets, octets.clone())):
        assert len(taken) - number <= threads + AHEAD + 1
    assert link.held <= (threads + AHEAD) * 64


def test_threads_fill_at_the_same_time_and_beside_what_is_sent():
    """Two jobs meet in the middle, which they can only do side by side; a third is filled while the first is sent."""
    meeting, third = threading.Barrier(2, timeout=20), threading.Event()

    def meet(buffer):
        meeting.wait()

    jobs = [Job(0, 1, meet), Job(1, 1, meet), Job(2, 1, lambda buffer: third.set())]
    sent = []

    def send(number, octets):
        assert third.wait(20)
        sent.append(number)

    assert list(Ring(PlainLink(torch.device("cpu")), 2).run(jobs, send)) == sent == [0, 1, 2]


def test_what_a_job_raises_is_raised_and_nothing_hangs():
    def broken(buffer):
        raise OSError("gone")

    jobs = [
        Job(0, 4, lambda buffer: time.sleep(0.01)),
        Job(1, 4, broken),
        *(Job(n, 4, lambda b: None) for n in range(20)),
    ]
    sent = []
    with pytest.raises(OSError, match="gone"):
        list(Ring(LateLink(), 2).run(jobs, lambda number, octets: sent.append(number)))
    assert sent == [0]


def test_whoever_stops_asking_leaves_no_thread_behind():
    before = threading.active_count()
    run = Ring(LateLink(), 3).run((Job(n, 4, lambda b: None) for n in range(99)), lambda number, octets: None)
    assert next(run) == 0
    run.close()
    assert threading.active_count() == before
