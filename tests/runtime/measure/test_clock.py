from pathlib import Path

import pytest

from scission.runtime.measure import clock as clocks
from scission.runtime.measure.clock import PROCESSOR, WALL, Clock, clock_for


@pytest.mark.parametrize(
    ("provider", "threads", "custom_ops", "fine", "clock"),
    [
        ("cpu", 1, (), True, PROCESSOR),
        ("cpu", 1, (), False, WALL),
        ("cpu", 2, (), True, WALL),
        ("cpu", None, (), True, WALL),
        ("cuda", 1, (), True, WALL),
        ("cpu", 1, (Path("ops.so"),), True, WALL),
    ],
)
def test_processor_time_where_one_thread_does_all_the_work(provider, threads, custom_ops, fine, clock, monkeypatch):
    monkeypatch.setattr(clocks, "_fine", lambda: fine)
    assert clock_for(provider, threads, custom_ops) is clock


@pytest.mark.parametrize("clock", [WALL, PROCESSOR])
def test_clocks_go_forwards(clock):
    seen = [clock.read() for _ in range(100)]
    assert seen == sorted(seen) and clock.cost() >= 0


@pytest.mark.parametrize(("ticks", "fine"), [([0.0], False), ([1e-6], True), ([0.0, 0.0156], False), ([0.01], False)])
def test_a_clock_that_ticks_slowly_is_not_used(ticks, fine, monkeypatch):
    steps = [ticks[place % len(ticks)] for place in range(100)]
    readings = iter(sum(steps[:place]) for place in range(100))
    monkeypatch.setattr(clocks, "PROCESSOR", Clock(name="cpu", read=lambda: next(readings)))
    assert clocks._fine.__wrapped__() is fine


def test_reading_a_clock_costs_the_least_of_several_steps():
    steps = iter([0.0, 5.0, 7.0, 7.5, *range(8, 60)])
    assert Clock(name="wall", read=lambda: next(steps)).cost() == 0.5
