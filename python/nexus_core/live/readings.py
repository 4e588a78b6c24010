"""An app's figures at one moment, from the app itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus_core.metrics.process import process_metrics
from nexus_core.metrics.reading import read_raw

__all__ = ["BOUNDS", "Histogram", "NodeCounts", "Pool", "Reading", "WorkflowCounts", "read_app"]

#: Seconds, from 10 µs to 300 s, each a third more than the one before.
BOUNDS = tuple(1e-5 * 1.33**step for step in range(61))

_RESOURCE_POOLS = "nexus-core-resource-pools"


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, since the beginning.

    Attributes:
        count: How often it was measured.
        total: Seconds altogether.
        bounds: Seconds, rising.
        at_most: How many did not exceed each bound.
    """

    count: float = 0
    total: float = 0.0
    bounds: Sequence[float] = ()
    at_most: Sequence[float] = ()

    def since(self, earlier: Histogram) -> Histogram:
        """What came between an earlier one and this one; all of this one, if they do not belong together."""
        if earlier.count > self.count or tuple(earlier.bounds) != tuple(self.bounds):
            return self
        between = [now - then for now, then in zip(self.at_most, earlier.at_most, strict=True)]
        return Histogram(self.count - earlier.count, self.total - earlier.total, self.bounds, between)

    def quantile(self, share: float) -> float | None:
        """Seconds that this share did not exceed, read off between the bounds; ``None`` if it is empty.

        Example:
            >>> Histogram(4, 2.0, (0.1, 1.0), (2, 4)).quantile(0.75)
            0.55
        """
        if not self.count:
            return None
        wanted, before, lower = share * self.count, 0.0, 0.0
        for bound, count in zip(self.bounds, self.at_most, strict=True):
            if count >= wanted and count > before:
                return lower + (bound - lower) * max(wanted - before, 0.0) / (count - before)
            before, lower = count, bound
        return lower  # beyond the last bound: at least that

    @classmethod
    def sum(cls, parts: Sequence[Histogram]) -> Histogram:
        """All together; those of other bounds than the first's are left out."""
        if not parts:
            return cls()
        bounds = parts[0].bounds
        alike = [part for part in parts if tuple(part.bounds) == tuple(bounds)]
        counts = [sum(column) for column in zip(*(part.at_most for part in alike), strict=True)]
        return cls(sum(part.count for part in alike), sum(part.total for part in alike), bounds, counts)


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """A node since the beginning: executions, failed ones, seconds, and quantiles where they are known."""

    executions: float = 0
    failed: float = 0
    seconds: float = 0.0
    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCounts:
    """A workflow since the beginning; what a cache has answered is not among the runs."""

    completed: float = 0
    failed: float = 0
    cancelled: float = 0
    delegated: float = 0
    duration: Histogram = field(default_factory=Histogram)
    cached: float = 0

    @property
    def runs(self) -> float:
        """Runs that have ended."""
        return self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool at one moment: how many of its members are at work, how many there are and may be, and who waits."""

    kind: str
    name: str
    busy: float
    size: float
    limit: float | None
    waiting: float
    served: float
    errors: float
    wait_p99: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one moment. Counts only grow from reading to reading; ``None`` is what is not known.

    ``at`` is the time of day, which may be set back; ``clock`` is what lengths of time are taken from.
    """

    at: float
    workflows: Mapping[str, WorkflowCounts]
    nodes: Mapping[tuple[str, str], NodeCounts]
    queue_wait: Histogram
    gil_wait: Histogram
    loop_lag: Histogram
    active: float
    waiting: float | None
    places_taken: float | None
    places: float | None
    cache: Mapping[str, float] | None
    process: Mapping[str, float | None]
    pools: Sequence[Pool] = ()
    alerts: Sequence[Mapping[str, Any]] = ()
    clock: float | None = None

    def seconds_since(self, earlier: Reading) -> float:
        """Seconds between two readings, by a clock that nobody sets, where both have one."""
        if self.clock is None or earlier.clock is None:
            return self.at - earlier.at
        return self.clock - earlier.clock


def read_app(app: Any, runtime: Any, alerts: Sequence[Mapping[str, Any]] = ()) -> Reading:
    """Reads an attached app.

    Args:
        app: The app.
        runtime: The runtime that it is attached to.
        alerts: What a monitor of the app warns of.

    Returns:
        Its figures.
    """
    raw = read_raw(runtime, BOUNDS)
    found = _by_registered_name(app, raw["workflows"])
    places = getattr(runtime, "_places", None)
    taken, waiting = places.occupancy() if places is not None else (None, None)
    seen = process_metrics()
    return Reading(
        at=time.time(),
        clock=time.monotonic(),
        workflows={name: _workflow(each) for name, each in found.items()},
        nodes=dict(_nodes(found)),
        queue_wait=_histogram(raw["queue_wait"]),
        gil_wait=_histogram(raw["lock_wait"]),
        loop_lag=_histogram(raw["loop_lag"]),
        active=raw["active"][0],
        waiting=waiting,
        places_taken=taken,
        places=places.places if places is not None else None,
        cache=_cache(runtime),
        process={
            "cpu_seconds": seen.cpu_seconds,
            "memory": seen.resident_bytes,
            "memory_limit": seen.memory_limit_bytes,
            "threads": seen.threads,
            "open_files": seen.open_files,
            "uptime": seen.uptime_seconds,
            "cpus": seen.cpu_limit or seen.cpus,
        },
        pools=tuple(_pools(app)),
        alerts=tuple(alerts),
    )


def _by_registered_name(app: Any, workflows: Mapping[str, Any]) -> dict[str, Any]:
    """The figures under the names that people gave: a workflow that is built without one has a name by chance."""
    registered: dict[str, list[str]] = {}
    for name, workflow in list(app._workflows.items()):
        registered.setdefault(getattr(workflow, "name", name), []).append(name)
    named: dict[str, Any] = {}
    for own, found in workflows.items():
        names = registered.get(own, ())
        better = names[0] if len(names) == 1 and names[0] not in workflows else own
        named[better] = found
    return named


def _histogram(found: Mapping[str, Any]) -> Histogram:
    durations = found["durations"]
    return Histogram(durations["count"], durations["total"], BOUNDS, found["at_most"])


def _workflow(found: Mapping[str, Any]) -> WorkflowCounts:
    failed = sum(found["failures"].values())
    return WorkflowCounts(
        found["completed"],
        failed,
        found["cancelled"],
        found["delegated"],
        _histogram(found["duration"]),
        found["cached"],
    )


def _nodes(workflows: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], NodeCounts]]:
    for workflow, found in workflows.items():
        for node_id, _, executions, _, _, failures, seconds in found["nodes"]:
            if executions:
                durations = seconds["durations"]
                yield (
                    (workflow, node_id),
                    NodeCounts(
                        executions,
                        sum(failures.values()),
                        durations["mean"] * executions,
                        durations["p50"],
                        durations["p99"],
                    ),
                )


def _cache(runtime: Any) -> dict[str, float] | None:
    runs = runtime._cached_runs
    if runs is None:
        return None
    found = runs.cache.statistics()
    parts = (found["runs"], found["nodes"])
    return {
        "hits": sum(part["hits"] + part["waited"] for part in parts),
        "misses": sum(part["misses"] for part in parts),
        "entries": found["entries"],
        "bytes": found["bytes"],
    }


def _pools(app: Any) -> Iterator[Pool]:
    membership = app._plugins.get(_RESOURCE_POOLS)
    if membership is None:
        return
    manager = membership._manager
    for name, managed in list(manager.connection_pools.items()):
        seen = managed.figures()
        size = seen["idle"] + seen["in_use"]
        yield Pool(
            "connections", name, seen["in_use"], size, managed.max_size, seen["waiting"],
            seen["checkouts"], seen["checkout_errors"] + seen["connection_errors"], seen["wait"].p99,
        )  # fmt: skip
    for name, managed in list(manager.thread_pools.items()):
        seen = managed.figures()
        yield Pool(
            "threads", name, seen["running"], seen["threads"], None, seen["queued"],
            seen["done"], seen["failed"] + seen["rejected"], seen["queue_wait"].p99,
        )  # fmt: skip
