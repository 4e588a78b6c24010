"""What to do about what was seen, with the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nexus_core.metrics.model import ProcessMetrics, RuntimeMetrics
from nexus_core.metrics.totals import WorkflowTotals
from nexus_core.monitoring.measurements import memory_limit, processors
from nexus_core.monitoring.trends import shown_confidence

__all__ = ["Seen", "recommend"]

# Below a threshold, but so near to it on average that it is worth a word: the guide's 3,000 of
# 5,000 ms, 70 of 80 % and 2 of 5 %.
_NEAR = {
    "response_time_ms": (5000.0, 0.6),
    "memory_usage_percent": (80.0, 0.875),
    "cpu_usage_percent": (85.0, 0.9),
    "error_rate_percent": (5.0, 0.4),
}
# A loop that is late by so much on average makes every request wait.
_LATE_MS = 50.0
# Memory that will be full within it.
_SOON_MINUTES = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What recommendations are made from.

    Attributes:
        summary: As of ``get_performance_summary``.
        alerts: Those that are active.
        thresholds: By metric.
        workflows: What the workflows came to in the time that the summary covers, by what they call themselves.
        names: By what workflows call themselves the names that they are shown under, where they differ.
        runtime: The attached runtime's figures, or ``None``.
        process: The process's.
    """

    summary: Mapping[str, Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    thresholds: Mapping[str, float]
    workflows: Mapping[str, WorkflowTotals]
    names: Mapping[str, str]
    runtime: RuntimeMetrics | None
    process: ProcessMetrics

    def near(self, metric: str) -> float | None:
        """The average of a metric, if it is near its threshold or beyond it."""
        found = self.summary.get(metric)
        default, share = _NEAR[metric]
        if found is None or found["avg"] <= share * self.thresholds.get(metric, default):
            return None
        return float(found["avg"])


def recommend(seen: Seen) -> list[str]:
    """Sentences, the most urgent first; none if nothing was seen that asks for any.

    Args:
        seen: What was seen.
    """
    return [
        *_of_alerts(seen),
        *_of_errors(seen),
        *_of_response_times(seen),
        *_of_queue(seen),
        *_of_loop(seen),
        *_of_memory(seen),
        *_of_processor(seen),
    ]


def _of_alerts(seen: Seen) -> Iterator[str]:
    critical = [alert["message"] for alert in seen.alerts if alert["severity"] == "critical"]
    if critical:
        yield f"Address critical alerts immediately: {'; '.join(critical)}"


def _of_errors(seen: Seen) -> Iterator[str]:
    rate = seen.near("error_rate_percent")
    if rate is None:
        return
    worst = sorted(seen.workflows.items(), key=lambda item: item[1].failed, reverse=True)
    named = [
        f"{seen.names.get(own, own)} failed in {totals.failed} of {totals.runs} runs ({_errors(totals.failures)})"
        for own, totals in worst[:3]
        if totals.failed
    ]
    where = f": {'; '.join(named)}" if named else ""
    yield f"{rate:.1f} % of runs failed{where}. Fix what raises, and retry what passes by itself"


def _of_response_times(seen: Seen) -> Iterator[str]:
    took = seen.near("response_time_ms")
    found = seen.summary.get("response_time_ms")
    if took is not None:
        yield (
            f"Runs took {took:.0f} ms on average{_slowest(seen)}. Where the same is asked for again, cache it "
            "(nexus_core.attach(app, cache=True)); otherwise speed up the queries and calls in there"
        )
    if found is not None and found["trend"] == "increasing":
        yield (
            f"Response times rise by {found['slope_per_minute']:.3g} ms a minute (confidence {shown_confidence(found['confidence'])}), "
            f"to {found['current']:.4g} ms now{_slowest(seen) if took is None else ''}. See what grows with them"
        )


def _of_queue(seen: Seen) -> Iterator[str]:
    found = seen.summary.get("queue_size")
    if found is None or found["avg"] < 1:
        return
    places = seen.runtime.places if seen.runtime is not None else None
    room = f" for one of {places.limit} places, {places.thread_limit} of them on threads" if places else ""
    yield (
        f"{found['avg']:.1f} runs stood in line on average, {found['max']:.0f} at most{room}. Let more nodes run at once "
        "(ParallelExecutionManager(app).optimize_for_throughput(...) says how many), or scale out"
    )


def _of_loop(seen: Seen) -> Iterator[str]:
    found = seen.summary.get("event_loop_lag_ms")
    if found is not None and found["avg"] >= _LATE_MS:
        yield (
            f"The event loop was late by {found['avg']:.0f} ms on average, {found['max']:.0f} ms in the worst interval: "
            "something blocks it. Move what computes or waits in asynchronous nodes to synchronous ones"
        )


def _of_memory(seen: Seen) -> Iterator[str]:
    found = seen.summary.get("memory_usage_percent")
    limit, resident = memory_limit(seen.process), seen.process.resident_bytes
    if found is None or not limit or resident is None:
        return
    used = f"{_megabytes(resident)} of {_megabytes(limit)} MB"
    if (share := seen.near("memory_usage_percent")) is not None:
        yield f"Memory was at {share:.1f} % on average ({used} now). Raise its limit, or keep less: caches, large results"
    if found["trend"] == "increasing":
        minutes = max(0.0, 100 - found["current"]) / found["slope_per_minute"]
        if minutes <= _SOON_MINUTES:
            yield (
                f"Memory grows by {found['slope_per_minute']:.2g} % of the limit a minute (confidence "
                f"{shown_confidence(found['confidence'])}), and is full in {minutes:.0f} minutes at this rate ({used} now). Find what keeps it"
            )


def _of_processor(seen: Seen) -> Iterator[str]:
    share, available = seen.near("cpu_usage_percent"), processors(seen.process)
    if share is not None and available:
        yield (
            f"The process used {share:.0f} % of {available:g} processors on average{_slowest(seen)}. Give it more, "
            "run more processes, or make the nodes there cheaper"
        )


def _slowest(seen: Seen) -> str:
    """Which workflow took most of the time, and which node of it."""
    workflows = seen.workflows
    own = max(workflows, key=lambda each: workflows[each].seconds, default=None)
    if own is None or not workflows[own].runs:
        return ""
    totals, altogether = workflows[own], sum(each.seconds for each in workflows.values())
    text = (
        f", {100 * totals.seconds / altogether:.0f} % of it in {seen.names.get(own, own)} "
        f"({totals.runs} runs, {1000 * totals.seconds / totals.runs:.4g} ms each"
    )
    figures = seen.runtime.workflows.get(own) if seen.runtime is not None else None
    if figures is not None and figures.nodes:
        nodes = figures.nodes
        slowest = max(nodes, key=lambda each: nodes[each].duration.total)
        text += f"; its node {slowest} takes {1000 * nodes[slowest].duration.mean:.4g} ms"
    return text + ")"


def _errors(failures: Mapping[str, int]) -> str:
    most = sorted(failures.items(), key=lambda item: item[1], reverse=True)[:3]
    return ", ".join(f"{count} × {error}" for error, count in most)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"
