"""What times of a server are made of, with clocks and servers that say what the test wants them to."""

import contextlib
import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.simulate import measuring


@dataclass
class Clock:
    """Both clocks of a process, that stand still but where they are moved; idle: seconds of a call that are no work."""

    now: float = 0.0
    worked: float = 0.0

    def pass_(self, seconds, idle=0.0):
        self.worked += seconds
        self.now += seconds + idle

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.worked


seconds = st.floats(1e-5, 1e-2)


@given(
    spent=st.lists(seconds, min_size=1, max_size=4),
    own=seconds,
    asking=seconds,
    idle=seconds,
    order=st.lists(st.sets(st.integers(0, 3), max_size=4), min_size=1, max_size=6),
)
def test_nothing_that_a_server_does_is_lost(spent, own, asking, idle, order):
    """Front and calls of parts are all that a server works, and with the client and waits all that a request takes."""
    trace = SimpleNamespace(parts=[tuple(index for index in sorted(one) if index < len(spent)) for one in order])
    clock, calls, cpu, asked = Clock(), [0] * len(spent), [0.0], [0]

    def ask(_connection, _name, activated, *_):
        work = own + sum(spent[index] for index in activated)
        for index in activated:
            calls[index] += 1
        cpu[0] += work
        asked[0] += 1
        clock.pass_(asking)
        clock.pass_(0, work + idle)

    def status(_address):
        # What the server tells of the seconds of its parts is longer: there they wait for the lock of Python.
        parts = [SimpleNamespace(calls=count, seconds=9.9) for count in calls]
        return SimpleNamespace(parts=parts, cpu=cpu[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "_server", lambda *_: contextlib.nullcontext("http://127.0.0.1:1"))
        patch.setattr(measuring, "infer_request", lambda _, activated: (activated, {}))
        patch.setattr(measuring, "_ask", ask)
        patch.setattr(measuring, "asked", status)
        patch.setattr(measuring, "time", clock)
        requests = SimpleNamespace(of=tuple, manifest=None)
        folder = SimpleNamespace(resolve=lambda: SimpleNamespace(name="m"))
        front, client, wait = measuring._of_server(folder, requests, trace, None, 1.0, spent)
    assert front == pytest.approx(own) and client == pytest.approx(asking)
    assert len(wait) <= measuring.KEPT and sum(wait) / len(wait) == pytest.approx(idle, rel=0.3, abs=3 * sum(spent))


def test_calls_are_timed_on_both_clocks(monkeypatch):
    """Seconds of a call are those that pass, and those of the processor are told beside them; the first warms up."""
    clock = Clock()
    monkeypatch.setattr(measuring, "time", clock)

    class Runs:
        name, reads, writes = "part", (), ()

        def __init__(self, work, idle):
            self.work, self.idle, self.calls = work, idle, 0

        def run(self, _fed, _how):
            self.calls += 1
            clock.pass_(self.work if self.calls > 1 else 100.0, self.idle)
            return self.calls

    @dataclass(frozen=True)
    class Parts:
        runs: tuple

        def run(self, activated):
            for index in activated:
                self.runs[index].run({}, None)

    parts = Parts((Runs(0.25, 0.5), Runs(2.0, 0.0)))
    requests = SimpleNamespace(of=tuple)
    took, spent = measuring._of_parts(parts, requests, SimpleNamespace(parts=[(0,), (0, 1)]), 20.0)
    assert set(took[0]) == {0.75} and set(took[1]) == {2.0} and min(map(len, took)) >= 3
    assert spent == [0.25, 2.0]
    assert len(took[0]) > len(took[1])  # as the trace asks for them


def test_parts_that_are_timed_are_the_parts():
    runs = SimpleNamespace(name="part", reads=(1,), writes=(2,), run=lambda fed, how: (fed, how))
    timed = measuring._Timed(runs)
    assert (timed.name, timed.reads, timed.writes) == ("part", (1,), (2,))
    assert timed.run(3, 4) == (3, 4) and len(timed.took) == len(timed.spent) == 1
    for _ in itertools.repeat(None, measuring.KEPT):
        timed.run(3, 4)
    assert len(timed.took) == len(timed.spent) == measuring.KEPT
