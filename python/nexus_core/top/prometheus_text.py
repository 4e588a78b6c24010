"""Reads an app's ``/metrics`` back into figures."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nexus_core.live.readings import Histogram, NodeCounts, Pool, Reading, WorkflowCounts

__all__ = ["Series", "parse", "reading_of"]

_LINE = re.compile(
    r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)"
    r"(?:\{(?P<labels>(?:[^\"}]|\"(?:\\.|[^\"\\])*\")*)\})?"
    r"\s+(?P<value>[^\s#]+)"
)
_LABEL = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*\"((?:\\.|[^\"\\])*)\"\s*,?")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_OURS = "nexus_core_"


class Series(NamedTuple):
    """One line: a name, its labels and its value."""

    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> Iterator[Series]:
    """The series of a text in Prometheus's format; comments and lines that are none are left out.

    Args:
        text: What ``/metrics`` answers.

    Example:
        >>> list(parse('up{job="a\\\\"b"} 1'))
        [Series(name='up', labels={'job': 'a"b'}, value=1.0)]
    """
    # By newlines alone: what else ends a line elsewhere may be part of a label.
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        labels = {name: _unescaped(raw) for name, raw in _LABEL.findall(match["labels"] or "")}
        yield Series(match["name"], labels, value)


def _unescaped(raw: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), raw) if "\\" in raw else raw


class _Found:
    """The series by name."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._by_name: dict[str, list[Series]] = defaultdict(list)
        for each in series:
            if each.name.startswith(_OURS):
                self._by_name[each.name.removeprefix(_OURS)].append(each)
        runtimes = {each.labels.get("runtime", "") for each in self._by_name["runtime_active_runs"]}
        self.one_runtime = len(runtimes) <= 1

    def __bool__(self) -> bool:
        return any(self._by_name.values())

    def of(self, name: str) -> list[Series]:
        return self._by_name.get(name, [])

    def sum(self, name: str, **labels: str) -> float | None:
        values = [e.value for e in self.of(name) if all(e.labels.get(k) == v for k, v in labels.items())]
        return sum(values) if values else None

    def workflow(self, labels: Mapping[str, str]) -> str:
        name = labels.get("workflow", "")
        return name if self.one_runtime else f"{labels.get('runtime', '')}/{name}"

    def histograms(self, name: str, per_workflow: bool = True) -> dict[str, Histogram]:
        buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        totals: dict[str, float] = defaultdict(float)
        for each in self.of(f"{name}_bucket"):
            key = self.workflow(each.labels) if per_workflow else ""
            try:
                bound = float(each.labels.get("le", "inf"))
            except ValueError:  # no bucket
                continue
            buckets[key][bound] += each.value
        for each in self.of(f"{name}_sum"):
            totals[self.workflow(each.labels) if per_workflow else ""] += each.value
        found = {}
        for key, counts in buckets.items():
            bounds = sorted(bound for bound in counts if math.isfinite(bound))
            count = counts.get(math.inf, 0.0)
            found[key] = Histogram(count, totals[key], tuple(bounds), [counts[bound] for bound in bounds])
        return found


def reading_of(text: str, at: float, clock: float | None = None) -> Reading | None:
    """What an attached app's ``/metrics`` tells.

    Args:
        text: The text.
        at: When it was read, in seconds since 1970.
        clock: The same by ``time.monotonic()``.

    Returns:
        The figures; ``None`` if nothing of nexus-core is among them.
    """
    found = _Found(parse(text))
    if not found:
        return None
    taken, free = found.sum("runtime_places", state="taken"), found.sum("runtime_places", state="free")
    return Reading(
        at=at,
        clock=clock,
        workflows=_workflows(found),
        nodes=_nodes(found),
        queue_wait=Histogram.sum(list(found.histograms("workflow_queue_wait_seconds").values())),
        gil_wait=Histogram.sum(list(found.histograms("workflow_gil_wait_seconds").values())),
        loop_lag=found.histograms("event_loop_lag_seconds", per_workflow=False).get("", Histogram()),
        active=found.sum("runtime_active_runs") or 0,
        waiting=found.sum("runtime_waiting_runs"),
        places_taken=taken,
        places=None if taken is None or free is None else taken + free,
        cache=_cache(found),
        process={
            "cpu_seconds": found.sum("process_cpu_seconds_total"),
            "memory": found.sum("process_resident_memory_bytes"),
            "memory_limit": found.sum("process_memory_limit_bytes"),
            "threads": found.sum("process_threads"),
            "open_files": found.sum("process_open_files"),
            "uptime": found.sum("process_uptime_seconds"),
            "cpus": found.sum("process_cpu_limit") or found.sum("process_cpus"),
        },
        pools=tuple(_pools(found)),
        alerts=tuple(_alerts(found)),
    )


def _workflows(found: _Found) -> dict[str, WorkflowCounts]:
    counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for each in found.of("workflow_runs_total"):
        counts[found.workflow(each.labels)][each.labels.get("outcome", "")] += each.value
    for each in found.of("workflow_delegated_runs_total"):
        counts[found.workflow(each.labels)]["delegated"] += each.value
    for each in found.of("workflow_cached_runs_total"):
        counts[found.workflow(each.labels)]["cached"] += each.value
    durations = found.histograms("workflow_run_seconds")
    return {
        name: WorkflowCounts(
            own["completed"],
            own["failed"],
            own["cancelled"],
            own["delegated"],
            durations.get(name, Histogram()),
            own["cached"],
        )
        for name, own in counts.items()
    }


def _nodes(found: _Found) -> dict[tuple[str, str], NodeCounts]:
    counts: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def own(labels: Mapping[str, str]) -> dict[str, float]:
        return counts[found.workflow(labels), labels.get("node", "")]

    for each in found.of("node_executions_total"):
        own(each.labels)[each.labels.get("outcome", "")] += each.value
    for each in found.of("node_seconds_total"):
        own(each.labels)["seconds"] += each.value
    for each in found.of("node_duration_seconds"):
        own(each.labels)[f"q{each.labels.get('quantile')}"] = each.value
    return {
        key: NodeCounts(ran, node["failed"], node["seconds"], node.get("q0.5"), node.get("q0.99"))
        for key, node in counts.items()
        if (ran := node["completed"] + node["failed"])
    }


def _cache(found: _Found) -> dict[str, float] | None:
    if not found.of("result_cache_answers_total"):
        return None

    def answers(answer: str) -> float:
        return found.sum("result_cache_answers_total", answer=answer) or 0

    return {
        "hits": answers("hit") + answers("waited"),
        "misses": answers("miss"),
        "entries": found.sum("result_cache_entries") or 0,
        "bytes": found.sum("result_cache_bytes") or 0,
    }


def _pools(found: _Found) -> Iterator[Pool]:
    for each in found.of("connection_pool_max_connections"):
        own = {name: each.labels.get(name, "") for name in ("app", "pool")}

        def total(name: str, own: dict[str, str] = own, **labels: str) -> float:
            return found.sum(f"connection_pool_{name}", **own, **labels) or 0

        busy = total("connections", state="in_use")
        yield Pool(
            "connections", own["pool"], busy, busy + total("connections", state="idle"), each.value, total("waiting"),
            total("checkouts_total"), total("checkout_errors_total") + total("connection_errors_total"),
            total("wait_seconds", quantile="0.99"),
        )  # fmt: skip
    for each in found.of("thread_pool_threads"):
        own = {name: each.labels.get(name, "") for name in ("app", "pool")}

        def count(name: str, own: dict[str, str] = own, **labels: str) -> float:
            return found.sum(f"thread_pool_{name}", **own, **labels) or 0

        yield Pool(
            "threads", own["pool"], count("tasks", state="running"), each.value, None, count("tasks", state="queued"),
            count("tasks_finished_total", outcome="done"),
            count("tasks_finished_total", outcome="failed") + count("tasks_finished_total", outcome="rejected"),
            count("queue_wait_seconds", quantile="0.99"),
        )  # fmt: skip


def _alerts(found: _Found) -> Iterator[dict[str, Any]]:
    for each in found.of("monitor_active_alerts"):
        if each.value:
            metric, severity = each.labels.get("metric", ""), each.labels.get("severity", "")
            yield {
                "severity": severity,
                "metric": metric,
                "message": f"{metric} is beyond its threshold",
                "timestamp": None,
            }
