"""Requests on machines, event by event.

    client ──► front of some machine ──► calls of parts, each on one of the machines that hold it ──► answer
               one thread for all of      those that read what others make wait for these;
               the machine's requests     of two machines picked at random the one that is free sooner

A machine has cores, on which fronts and parts run one after another as they come. The heap holds only what has not
happened yet, so that a request costs a few steps of the heap and memory does not grow with the trace. A simulation of
processes with SimPy takes about eight times as long for the same two stages (42 microseconds a request against 5).

Of two machines at random: M. Mitzenmacher, The power of two choices in randomized load balancing, 2001; routers of
replicas do it so.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .times import ServiceTimes
from .trace import Trace

__all__ = ["Machines", "Outcome", "Traffic", "happened"]

Floats = npt.NDArray[np.float64]

START, FRONT, RUN, CALL, BACK = range(5)  # what happens


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Machines of so many cores. holders: which of them hold each part; levels: how many parts go before each part at
    least; hop: seconds that a message takes from one machine to another."""

    machines: int
    cores: int
    holders: Sequence[tuple[int, ...]]
    levels: Sequence[int]
    hop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests that come. count: of them, those of the trace over and over; speed: how many times faster than in it;
    clients: who send the next one when they have an answer, whatever time the trace says; beside: whether these run on
    the first machine."""

    trace: Trace
    count: int
    speed: float = 1.0
    clients: int | None = None
    beside: bool = False

    def at(self, number: int) -> float:
        """When a request comes, in seconds."""
        rounds, place = divmod(number, len(self.trace.at))
        gap = self.trace.at[-1] / max(len(self.trace.at) - 1, 1)
        return float(self.trace.at[place] + rounds * (self.trace.at[-1] + gap)) / self.speed


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What happened. seconds: from the first request to the last answer; latencies: of every request; busy: seconds
    that the cores of each machine ran; part_calls, part_seconds: of each part."""

    seconds: float
    latencies: Floats
    busy: Floats
    part_calls: npt.NDArray[np.int64]
    part_seconds: Floats


def happened(fleet: Machines, traffic: Traffic, times: ServiceTimes, seed: int) -> Outcome:
    """Let all requests come and be answered."""
    return _Happening(fleet, traffic, times, random.Random(seed)).outcome()


class _Happening:
    """What is known at one moment."""

    def __init__(self, fleet: Machines, traffic: Traffic, times: ServiceTimes, rng: random.Random) -> None:
        self.fleet, self.traffic, self.times, self.random = fleet, traffic, times, rng.random
        self.free = [[0.0] * fleet.cores for _ in range(fleet.machines)]  # when each core is, a heap a machine
        self.front = [0.0] * fleet.machines
        self.busy = [0.0] * fleet.machines
        self.calls, self.spent = [0] * len(fleet.holders), [0.0] * len(fleet.holders)
        self.latencies = np.zeros(traffic.count)
        self.began = [0.0] * traffic.count
        self.awaited: dict[int, list[list[int]]] = {}  # levels of parts that are still to be called
        self.missing: dict[int, int] = {}  # answers of parts
        self.events: list[tuple[float, int, int, int, int]] = []  # when, its number, what, request, machine or part
        self.number = self.next = 0
        self.ended = 0.0

    def outcome(self) -> Outcome:
        for _ in range(self.traffic.clients or 1):
            self._send(0.0)
        happens = (self._start, self._front, self._run, self._call, self._back)
        while self.events:
            at, _, what, request, place = heapq.heappop(self.events)
            happens[what](at, request, place)
        return Outcome(self.ended, self.latencies, np.array(self.busy), np.array(self.calls), np.array(self.spent))

    def _push(self, at: float, what: int, request: int, place: int) -> None:
        self.number += 1
        heapq.heappush(self.events, (at, self.number, what, request, place))

    def _send(self, now: float) -> None:
        """The next request, when its time has come: its clients' or the trace's."""
        if self.next < self.traffic.count:
            at = now if self.traffic.clients else self.traffic.at(self.next)
            self._push(at, START, self.next, 0)
            self.next += 1

    def _taken(self, machine: int, at: float, seconds: float) -> float:
        """When a core of a machine is done with work that comes now."""
        cores = self.free[machine]
        end = max(at, cores[0]) + seconds
        heapq.heapreplace(cores, end)
        self.busy[machine] += seconds
        return end

    def _start(self, at: float, request: int, _: int) -> None:
        self.began[request] = at
        if not self.traffic.clients:
            self._send(at)
            asked = at
        elif self.traffic.beside:
            asked = self._taken(0, at, self.times.client)
        else:
            asked = at + self.times.client
        self._push(asked + self._one(self.times.wait), FRONT, request, request % self.fleet.machines)

    def _front(self, at: float, request: int, home: int) -> None:
        """The one thread that does all but the parts takes requests in turn."""
        begins = max(at, self.front[home])
        self.front[home] = begins + self.times.front
        self._push(begins, RUN, request, home)

    def _run(self, at: float, request: int, home: int) -> None:
        end = self._taken(home, at, self.times.front)
        self.front[home] = max(self.front[home], end)
        parts = self.traffic.trace.parts[request % len(self.traffic.trace.parts)]
        if self.fleet.machines == 1:  # a worker runs them in turn
            self._push(end, CALL, request, -1)
            return
        levels: dict[int, list[int]] = {}
        for part in parts:
            levels.setdefault(self.fleet.levels[part], []).append(part)
        self.awaited[request] = [levels[level] for level in sorted(levels, reverse=True)]
        self._fan_out(end, request)

    def _fan_out(self, at: float, request: int) -> None:
        """Call the parts of the next level at once; without one the request is answered."""
        if not self.awaited[request]:
            del self.awaited[request]
            self._answered(at, request)
            return
        parts = self.awaited[request].pop()
        self.missing[request] = len(parts)
        for part in parts:
            self._push(at + self.fleet.hop, CALL, request, part)

    def _call(self, at: float, request: int, part: int) -> None:
        if part < 0:
            parts = self.traffic.trace.parts[request % len(self.traffic.trace.parts)]
            end = self._taken(0, at, sum(map(self._drawn, parts)))
            self._push(end, BACK, request, part)
            return
        holders = self.fleet.holders[part]
        machine = holders[int(self.random() * len(holders))]
        other = holders[int(self.random() * len(holders))]
        if self.free[other][0] < self.free[machine][0]:
            machine = other
        self._push(self._taken(machine, at, self._drawn(part)) + self.fleet.hop, BACK, request, part)

    def _back(self, at: float, request: int, part: int) -> None:
        if part < 0:
            self._answered(at, request)
            return
        self.missing[request] -= 1
        if not self.missing[request]:
            del self.missing[request]
            self._fan_out(at, request)

    def _drawn(self, part: int) -> float:
        """One of the seconds that were measured of a part."""
        seconds = self._one(self.times.parts[part])
        self.calls[part] += 1
        self.spent[part] += seconds
        return seconds

    def _one(self, seen: Sequence[float]) -> float:
        return seen[int(self.random() * len(seen))]

    def _answered(self, at: float, request: int) -> None:
        self.latencies[request] = at - self.began[request]
        self.ended = max(self.ended, at)
        if self.traffic.clients:
            self._send(at)
