from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.simulate.engine import Machines, Traffic, happened
from scission.runtime.simulate.times import ServiceTimes
from scission.runtime.simulate.trace import Trace

TIMES = ServiceTimes(plan="", front=0.0, client=0.0, wait=(0.0,), parts=((1.0,),), whole=(1.0,))
ONE = Machines(machines=1, cores=1, holders=[(0,)], levels=[0], hop=0.0)


def trace(gaps, parts=((0,),)):
    at = np.concatenate([[0.0], np.cumsum(gaps)])
    return Trace(at, tuple(parts[index % len(parts)] for index in range(len(at))))


@given(st.lists(st.floats(0, 3), max_size=30), st.integers(1, 4), st.floats(0.1, 3))
def test_requests_wait_for_the_first_core_that_is_free(gaps, cores, seconds):
    """Of c servers that take requests in turn: J. Kiefer and J. Wolfowitz, On the theory of queues with many servers,
    1955; here as lists that are sorted."""
    came = trace(gaps)
    free, expected = [0.0] * cores, []
    for at in came.at:
        free.sort()
        free[0] = max(free[0], at) + seconds
        expected.append(free[0] - at)
    times = replace(TIMES, parts=((seconds,),))
    found = happened(replace(ONE, cores=cores), Traffic(trace=came, count=len(came.at)), times, 0)
    assert np.allclose(found.latencies, expected)
    assert np.isclose(found.busy.sum(), seconds * len(came.at))


def test_a_queue_without_memory_waits_as_long_as_is_known():
    """M/M/1 at 70 %: 1 / (rate of service - rate of arrival) on average."""
    rng = np.random.default_rng(0)
    came = trace(rng.exponential(1 / 0.7, 200_000))
    times = replace(TIMES, parts=(tuple(rng.exponential(1.0, 50_000)),))
    found = happened(ONE, Traffic(trace=came, count=len(came.at)), times, 0)
    assert found.latencies.mean() == pytest.approx(1 / 0.3, rel=0.1)


@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.lists(st.sets(st.integers(0, 3)).map(lambda own: tuple(sorted(own))), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(1, 5)),
    st.floats(0, 0.5),
    st.booleans(),
)
def test_nothing_is_lost_and_nothing_faster_than_its_work(machines, cores, parts, clients, hop, beside):
    times = replace(TIMES, front=0.1, client=0.2, wait=(0.05,), parts=((1.0,), (2.0,), (0.5,), (0.25,)))
    holders = [tuple(range(part % machines + 1)) for part in range(4)]
    fleet = Machines(machines=machines, cores=cores, holders=holders, levels=[0, 0, 1, 2], hop=hop)
    came = trace([0.3] * (len(parts) - 1), parts)
    traffic = Traffic(trace=came, count=3 * len(parts), clients=clients, beside=beside)
    found = happened(fleet, traffic, times, 1)
    counts = 3 * came.counts(4)
    seconds = np.array([1.0, 2.0, 0.5, 0.25])
    assert found.part_calls.tolist() == counts.tolist()
    assert np.allclose(found.part_seconds, counts * seconds)
    own = traffic.count * (0.2 if clients and beside else 0.0)
    assert np.isclose(found.busy.sum(), own + traffic.count * 0.1 + (counts * seconds).sum())
    for number, latency in enumerate(found.latencies):
        own_parts = came.parts[number % len(parts)]
        if machines == 1:
            work = sum(seconds[list(own_parts)])
        else:  # those of one level at once
            levels = {0: [], 1: [], 2: []}
            for part in own_parts:
                levels[fleet.levels[part]].append(seconds[part] + 2 * hop)
            work = sum(max(level, default=0) for level in levels.values())
        assert latency >= 0.15 + work + (0.2 if clients else 0) - 1e-9
    assert (found.busy <= cores * found.seconds + 1e-9).all()


def test_one_client_waits_for_nobody():
    times = replace(TIMES, front=0.1, client=0.2, wait=(0.05,))
    found = happened(ONE, Traffic(trace=trace([]), count=50, clients=1, beside=True), times, 0)
    assert np.allclose(found.latencies, 0.1 + 0.2 + 0.05 + 1.0)
    assert found.seconds == pytest.approx(50 * 1.35)


def test_the_front_of_a_machine_is_one_thread():
    times = replace(TIMES, front=1.0, parts=((0.0,),))
    found = happened(replace(ONE, cores=8), Traffic(trace=trace([0.0] * 4), count=5), times, 0)
    assert np.allclose(np.sort(found.latencies), [1, 2, 3, 4, 5])


def test_a_trace_comes_again():
    traffic = Traffic(trace=trace([1.0, 2.0]), count=7, speed=2.0)
    assert [traffic.at(number) for number in range(7)] == [0, 0.5, 1.5, 2.25, 2.75, 3.75, 4.5]
