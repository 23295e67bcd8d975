"""Interleaved rounds: every model runs in each, in an order that is drawn anew and then turned round.

What the machine does in the meantime falls on either of two models as by the toss of a coin, which is all that the
intervals of `sequential` need, and what being first, last or second costs cancels within a round. Of the readings of a
round the fastest counts, since whatever else runs on the machine only adds to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from ..ort.session import Bound
from .clock import Clock
from .sequential import least_samples

__all__ = ["WARM_UP", "Schedule", "Taken", "schedule", "take_rounds"]

WARM_UP = 3
ROUNDS = 1000  # that the time is cut into: short ones, so that a neighbour who comes and goes is beside both models
MOST_READINGS = 32  # of one model in a row
CLOCKED = 20  # times what reading the clock costs that a reading takes, so that it is no part of it
LATEST = 300.0  # seconds after which slow models are left, however few rounds that were
LOOKS = 1.1  # rounds at one look at the results over those at the look before

Calls = Mapping[str, Callable[[], None]]
Steer = Callable[[Mapping[str, Sequence[float]], Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What one round is: passes over all models, 2 of which the second goes backwards, readings of the clock of each
    model in a row, and runs of each model in one reading."""

    passes: int
    readings: int
    runs: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Seconds of one run of each model: the fastest reading of each round in which it took part, and all readings."""

    rounds: Mapping[str, Sequence[float]]
    readings: Mapping[str, Sequence[float]]


def schedule(seconds: Mapping[str, float], limit: float, cost: float) -> Schedule:
    """The rounds that suit models of so many seconds a run, when all of it is to take `limit` seconds.

    cost: seconds that reading the clock takes, which the seconds of a run have in them. Fast models run several times
    in a round, slow ones once.

    >>> schedule({"a": 0.001, "b": 0.0005}, 1.0, 0.0)
    Schedule(passes=2, readings=1, runs={'a': 1, 'b': 1})
    >>> schedule({"a": 1.2e-5, "b": 2.2e-5}, 1.0, 2e-6)
    Schedule(passes=2, readings=6, runs={'a': 4, 'b': 2})
    """
    own = {name: max(one - cost, cost / CLOCKED, 1e-9) for name, one in seconds.items()}
    runs = {name: max(1, math.ceil(CLOCKED * cost / one - 1e-9)) for name, one in own.items()}
    once = sum(runs[name] * one for name, one in own.items())
    if 2 * once * least_samples() > limit:
        return Schedule(passes=1, readings=1, runs=runs)
    readings = int(limit / ROUNDS / (2 * once))
    return Schedule(passes=2, readings=min(max(readings, 1), MOST_READINGS), runs=runs)


def take_rounds(
    calls: Calls, clock: Clock, seconds: float, repeats: int | None, steer: Steer, rng: np.random.Generator
) -> Taken:
    """Warm up, then run rounds until `steer` leaves fewer than two models or the time is over.

    seconds: on the wall, but at least as many rounds as an interval needs, unless those take too long; repeats: exactly
    so many rounds instead, in which each model runs once; steer: given the seconds of all rounds so far and the models
    that run, those that go on.
    """
    typical = _warmed_up(calls, clock, seconds)
    plan = Schedule(passes=1, readings=1, runs=dict.fromkeys(calls, 1))
    if repeats is None:
        plan = schedule(typical, seconds, clock.cost())
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    readings: dict[str, list[float]] = {name: [] for name in calls}
    running: Sequence[str] = list(calls)
    stop = clock.limit() + seconds
    latest = math.inf if repeats is not None else clock.limit() + max(seconds, LATEST)
    done, look = 0, least_samples()
    while done < (repeats or least_samples()) or (repeats is None and clock.limit() < stop):
        if done and clock.limit() >= latest:
            break
        for name, taken in _round(calls, running, clock, plan, rng).items():
            rounds[name].append(min(taken))
            readings[name] += taken
        done += 1
        if done >= look:
            look = math.ceil(done * LOOKS)
            running = steer(rounds, running)
            if len(running) < min(2, len(calls)):
                break
    return Taken(rounds=rounds, readings=readings)


def _warmed_up(calls: Calls, clock: Clock, seconds: float) -> dict[str, float]:
    """The fastest of a few runs of each model; of models that take long there is one."""
    least = dict.fromkeys(calls, math.inf)
    start = clock.limit()
    for _ in range(WARM_UP):
        for name, call in calls.items():
            with _told(call):
                before = clock.read()
                call()
                least[name] = min(least[name], clock.read() - before)
        if clock.limit() - start > seconds:
            break
    return least


def _round(
    calls: Calls, running: Sequence[str], clock: Clock, plan: Schedule, rng: np.random.Generator
) -> dict[str, list[float]]:
    order = [running[place] for place in rng.permutation(len(running))]
    taken: dict[str, list[float]] = {name: [] for name in running}
    for names in (order, order[::-1])[: plan.passes]:
        for name in names:
            taken[name] += _readings(calls[name], clock, plan.readings, plan.runs[name])
    return taken


def _readings(call: Callable[[], None], clock: Clock, readings: int, runs: int) -> Iterable[float]:
    taken = []
    with _told(call):
        for _ in range(readings):
            before = clock.read()
            for _ in range(runs):
                call()
            taken.append((clock.read() - before) / runs)
    return taken


def _told(call: Callable[[], None]) -> AbstractContextManager[None]:
    """Tells which model runs, around what is timed and never inside of it."""
    return call.session.told() if isinstance(call, Bound) else nullcontext()
