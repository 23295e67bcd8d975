"""Races that take no time: every model is as fast as a table says."""

from types import SimpleNamespace

from scission.runtime.measure.clock import Clock
from scission.runtime.measure.comparison import Comparison
from scission.runtime.ort.session import Session


def told(ratio, spread=1.01, pairs=50):
    """A comparison whose interval reaches a factor of `spread` up and down."""
    return Comparison(ratio=ratio, low=ratio / spread, high=ratio * spread, pairs=pairs)


class FakeRacer:
    """`speed(way, rows)` says how many times faster than dense a form is, `spread` how far the intervals reach up and
    down; `calls` keeps who ran on how many rows."""

    def __init__(self, speed, spread=1.01):
        self.speed, self.spread = speed, spread
        self.calls = []

    def __call__(self, models, feeds, **options):
        rows = next(iter(feeds.values())).shape[0]
        self.calls.append((tuple(models), rows))
        assert options["drop"] >= 1 and options["trials"].seconds > 0
        speeds = {name: 1.0 if name == "dense" else self.speed(name, rows) for name in models}

        def comparison(name, beside):
            return told(speeds[name] / speeds[beside], self.spread)

        return SimpleNamespace(comparison=comparison)


class SimulatedClock:
    """Time that passes only inside the models: `seconds` says by its bytes how long each takes, or tells it by how many
    calls there were; `calls` keeps who ran."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.calls = 0.0, []
        self.clock = Clock(name="wall", read=lambda: self.now, limit=lambda: self.now)

        def bind(session, feeds):
            name = session.source

            def call():
                self.calls.append(name)
                self.now += seconds[name](len(self.calls)) if callable(seconds[name]) else seconds[name]

            return call

        monkeypatch.setattr(Session, "bind", bind)
