"""What is counted while a model is served, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .watch.status import PartStatus

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Metrics:
    """The counters of one server, of which every process may have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "scission_requests", "Requests answered, by status of HTTP", ("model", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "scission_request_seconds",
            "Seconds from the first byte of a request to its answer",
            ("model",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.run_seconds = Histogram(
            "scission_run_seconds", "Seconds that the model ran", ("model",), buckets=BUCKETS, registry=self.registry
        )
        self.waiting = Gauge("scission_waiting", "Requests that wait for a worker", ("model",), registry=self.registry)
        self.running = Gauge("scission_running", "Requests that a worker computes", ("model",), registry=self.registry)

    def watch_parts(self, model: str, statuses: Callable[[], Sequence[PartStatus]]) -> None:
        """Tell of the parts of a model as well, by what `statuses` says of them whenever somebody asks."""
        self.registry.register(_Parts(model, statuses))

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)


class _Parts(Collector):
    """The parts of a model: what is known of them elsewhere is told in Prometheus' words, and counted once."""

    def __init__(self, model: str, statuses: Callable[[], Sequence[PartStatus]]) -> None:
        self._model, self._statuses = model, statuses

    def collect(self) -> Iterator[Metric]:
        labels = ("model", "part")
        calls = CounterMetricFamily("scission_part_activations", "Calls of a part", labels=labels)
        seconds = CounterMetricFamily("scission_part_seconds", "Seconds that a part ran", labels=labels)
        replicas = GaugeMetricFamily("scission_part_replicas", "Replicas of a part that may be called", labels=labels)
        for part in self._statuses():
            own = (self._model, part.name)
            calls.add_metric(own, part.calls)
            seconds.add_metric(own, part.calls * part.seconds)
            replicas.add_metric(own, part.replicas)
        yield from (calls, seconds, replicas)
