"""What lies between two readings: rates, quantiles, and tables of what is slowest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from nexus_core.live.readings import Histogram, NodeCounts, Reading, WorkflowCounts

__all__ = ["MOST_NODES", "MOST_POOLS", "MOST_WORKFLOWS", "sample", "tables"]

#: Rows of the tables.
MOST_WORKFLOWS = 20
MOST_NODES = 15
MOST_POOLS = 20
MOST_ALERTS = 20

_NO_NODE, _NO_WORKFLOW = NodeCounts(), WorkflowCounts()

Sample = dict[str, float | None]


def sample(earlier: Reading, later: Reading) -> Sample:
    """What happened between two readings, as a flat dict for charts.

    Args:
        earlier: The first.
        later: The second, of the same app.

    Returns:
        Rates by the second, times in seconds, shares from 0 to 1; ``None`` where nothing happened
        that they would be of, or it is not known.
    """
    seconds = max(later.seconds_since(earlier), 1e-6)
    runs = failed = 0.0
    durations = []
    for name, now in later.workflows.items():
        before = earlier.workflows.get(name, _NO_WORKFLOW)
        runs += max(now.runs - before.runs, 0)
        failed += max(now.failed - before.failed, 0)
        durations.append(now.duration.since(before.duration))
    took = Histogram.sum(durations)
    lag, queued = later.loop_lag.since(earlier.loop_lag), later.queue_wait.since(earlier.queue_wait)
    return {
        "at": later.at,
        "seconds": seconds,
        "throughput": runs / seconds,
        "failures": failed / seconds,
        "error_rate": failed / runs if runs else None,
        "p50": took.quantile(0.5),
        "p90": took.quantile(0.9),
        "p99": took.quantile(0.99),
        "active": later.active,
        "waiting": later.waiting,
        "places_taken": later.places_taken,
        "queue_p99": queued.quantile(0.99),
        "gil_p99": later.gil_wait.since(earlier.gil_wait).quantile(0.99),
        "lag_p99": lag.quantile(0.99),
        "hit_ratio": _hit_ratio(earlier, later),
        "cpu": _cpu(earlier, later, seconds),
        "memory": later.process.get("memory"),
        "threads": later.process.get("threads"),
    }


def tables(earlier: Reading, later: Reading) -> dict[str, Any]:
    """What is there now, and which workflows and nodes take longest.

    Args:
        earlier: Since when rates and means are taken.
        later: Now.

    Returns:
        ``workflows``, ``nodes``, ``pools`` and ``alerts`` as lists of dicts, the first
        ones of each, and ``seconds``, ``places``, ``runs`` of all workflows, ``cached``: how many more a cache of
        results has answered, ``cache`` and ``process``.
    """
    seconds = max(later.seconds_since(earlier), 1e-6)
    return {
        "seconds": seconds,
        "places": later.places,
        "runs": sum(each.runs for each in later.workflows.values()),
        "cached": sum(each.cached for each in later.workflows.values()),
        "workflows": _workflows(earlier, later, seconds),
        "workflow_count": len(later.workflows),
        "nodes": _nodes(earlier, later, seconds),
        "node_count": len(later.nodes),
        "pools": [asdict(pool) for pool in later.pools[:MOST_POOLS]],
        "cache": None if later.cache is None else dict(later.cache),
        "process": dict(later.process),
        "alerts": [dict(alert) for alert in later.alerts[-MOST_ALERTS:]][::-1],
    }


def _workflows(earlier: Reading, later: Reading, seconds: float) -> list[dict[str, Any]]:
    rows = []
    for name, now in later.workflows.items():
        before = earlier.workflows.get(name, _NO_WORKFLOW)
        runs, failed = max(now.runs - before.runs, 0), max(now.failed - before.failed, 0)
        recent = now.duration.since(before.duration) if runs else now.duration
        rows.append(
            {
                "name": name,
                "runs": now.runs,
                "failed": now.failed,
                "delegated": now.delegated,
                "cached": now.cached,
                "throughput": runs / seconds,
                "error_rate": failed / runs if runs else None,
                "p50": recent.quantile(0.5),
                "p99": recent.quantile(0.99),
                "recent": runs > 0,
            }
        )
    return _first(rows, MOST_WORKFLOWS, lambda row: (row["throughput"] * (row["p50"] or 0), row["runs"]))


def _nodes(earlier: Reading, later: Reading, seconds: float) -> list[dict[str, Any]]:
    rows = []
    for (workflow, node), now in later.nodes.items():
        before = earlier.nodes.get((workflow, node), _NO_NODE)
        executions, spent = now.executions - before.executions, now.seconds - before.seconds
        recent = executions > 0 and spent >= 0
        if not recent:
            executions, spent = now.executions, now.seconds
        rows.append(
            {
                "workflow": workflow,
                "node": node,
                "mean": spent / executions if executions else 0.0,
                "p50": now.p50,
                "p99": now.p99,
                "per_second": executions / seconds if recent else 0.0,
                "busy": spent / seconds if recent else 0.0,
                "failed": now.failed,
                "recent": recent,
            }
        )
    return _first(rows, MOST_NODES, lambda row: (row["recent"], row["mean"]))


def _first(rows: list[dict[str, Any]], most: int, key: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    return sorted(rows, key=key, reverse=True)[:most]


def _hit_ratio(earlier: Reading, later: Reading) -> float | None:
    if later.cache is None:
        return None
    before = earlier.cache or {}
    hits = later.cache["hits"] - before.get("hits", 0)
    asked = hits + later.cache["misses"] - before.get("misses", 0)
    return hits / asked if asked > 0 else None


def _cpu(earlier: Reading, later: Reading, seconds: float) -> float | None:
    """Processors that were busy."""
    before, now = earlier.process.get("cpu_seconds"), later.process.get("cpu_seconds")
    return None if before is None or now is None else max(now - before, 0.0) / seconds
