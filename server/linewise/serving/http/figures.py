"""What a scheduler counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Protocol, runtime_checkable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from linewise.serving.statistics import BOUNDS, SchedulerStatistics, Times


@runtime_checkable
class Scheduling(Protocol):
    """An engine that keeps several documents' caches, and counts: `linewise.serving.scheduler.Scheduler`."""

    def statistics(self) -> SchedulerStatistics:
        """How things stand, and what was counted since the start."""
        ...

    def forget(self, slot: str) -> None:
        """Keep nothing of a slot in the cache."""
        ...


class SchedulerFigures(Collector):
    """Asks a scheduler whenever Prometheus asks."""

    def __init__(self, scheduler: Scheduling) -> None:
        self._scheduler = scheduler

    def collect(self) -> Iterator[Metric]:
        """Everything that is counted, under names that begin with `linewise_`."""
        found = self._scheduler.statistics()
        gauges = {
            "lanes": (found.lanes, "Generations that can run at once"),
            "slots": (found.slots, "Documents whose caches can be kept"),
            "running_generations": (found.running, "Generations that run"),
            "queue_length": (found.waiting, "Generations that wait"),
            "cached_documents": (len(found.cached_tokens), "Documents of which the cache has tokens"),
            "cached_tokens": (sum(found.cached_tokens.values()), "Tokens in the cache"),
        }
        for name, (value, text) in gauges.items():
            yield GaugeMetricFamily(f"linewise_{name}", text, value=value)
        counters = {
            "prompt_tokens": (found.prompt_tokens, "Tokens of prompts"),
            "cache_hit_tokens": (found.reused_tokens, "Tokens of prompts that the cache had"),
            "tokens": (found.generated_tokens, "Tokens generated"),
            "drafted_tokens": (found.drafted_tokens, "Tokens that speculation proposed"),
            "accepted_tokens": (found.accepted_tokens, "Proposed tokens that the model chose"),
            "refused": (found.refused, "Generations that the bounded queue did not take"),
            "preempted": (found.preempted, "Generations that made room for more urgent ones"),
            "evicted": (found.evicted, "Documents whose cache was given to another"),
        }
        for name, (value, text) in counters.items():
            yield CounterMetricFamily(f"linewise_{name}", text, value=value)
        ended = CounterMetricFamily("linewise_ended", "Generations by how they ended", labels=["ending"])
        for ending, count in found.requests.items():
            ended.add_metric([ending.replace(" ", "_")], count)
        yield ended
        yield _histogram("queue_seconds", "Time that generations waited", found.queued)
        yield _histogram("first_token_seconds", "Time to the first token", found.first_token)
        yield _histogram("token_seconds", "Mean time between the tokens of a generation", found.per_token)


def _histogram(name: str, text: str, times: Times) -> HistogramMetricFamily:
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    buckets = list(zip(bounds, accumulate(times.counts), strict=True))
    return HistogramMetricFamily(f"linewise_{name}", text, buckets=buckets, sum_value=times.sum_seconds)
