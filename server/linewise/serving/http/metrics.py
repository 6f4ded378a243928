"""What the server counts of its work, for Prometheus to read. No text of any document is among it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]


class Metrics:
    """Counters of one server, as its clients see it; thread-safe. Times are in seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "linewise_requests",
            "Requests for a generation, by priority and by how they ended",
            ["priority", "ending"],
            registry=self._registry,
        )
        self._first = Histogram(
            "linewise_request_first_token_seconds",
            "Time from when a request is handed to the engine to its first token",
            ["priority"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._unknown = Counter(
            "linewise_unknown_prefixes", "Prompts that had to be sent as a whole", registry=self._registry
        )

    def generated(self, priority: str, ending: str, first: float | None) -> None:
        """A generation has ended; `first` is the time to its first token, where one came."""
        self._requests.labels(priority, ending).inc()
        if first is not None:
            self._first.labels(priority).observe(first)

    def prefix_was_unknown(self) -> None:
        """A client named a beginning of a prompt that is not held."""
        self._unknown.inc()

    def watch(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Tell, whenever asked, what `read` returns as the gauge `name`."""
        Gauge(name, documentation, registry=self._registry).set_function(read)

    def add(self, collector: Collector) -> None:
        """Tell also what `collector` collects."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
