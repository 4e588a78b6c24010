"""How large pools should be: by the guide's formulas, or by what was measured.

Little's law: on average, as many are in use as arrive in a second times the seconds that each
stays. Whoever waits counts as well, or a pool that is too small would always seem large enough.
To that average the square-root rule adds room for arrivals that come in bursts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

__all__ = ["LEAST", "check_profile", "connection_pool_by_guide", "recommend"]

LEAST = 20
"""So often must a pool have been used that its measurements say something."""

_BURSTS = 2.0
"""Standard deviations of the number in use that there is room for."""


def check_profile(profile: Mapping[str, Any]) -> tuple[bool, bool, int]:
    """What a workload's profile says: computing, waiting for others, requests at once."""
    if not isinstance(profile, Mapping):
        raise TypeError(f"a workload profile must be a mapping, got {type(profile).__qualname__}")
    requests = profile.get("concurrent_requests", 10)
    if isinstance(requests, bool) or not isinstance(requests, int):
        raise TypeError(f"concurrent_requests must be a whole number, got {requests!r}")
    if requests < 1:
        raise ValueError(f"concurrent_requests must be at least 1, got {requests}")
    return bool(profile.get("cpu_intensive", False)), bool(profile.get("io_intensive", False)), requests


def recommend(
    profile: Mapping[str, Any],
    connections: Mapping[str, Mapping[str, Any]],
    threads: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The recommendations for a workload.

    Args:
        profile: The workload, in the guide's words.
        connections: What connection pools have measured, by name.
        threads: What thread pools have measured, by name.

    Returns:
        The guide's dictionary. Every recommendation says in ``based_on`` whether it is
        ``"measured"`` or by the ``"guide"``, and in ``figures`` from what it follows.
    """
    computes, waits, requests = check_profile(profile)
    return {
        "connection_pools": {
            **(connection_pool_by_guide(requests) if waits else {}),
            **{name: _connection_pool(figures) for name, figures in connections.items() if _used(figures["usage"])},
        },
        "thread_pools": {
            **(_thread_pool_by_guide(requests) if computes else {}),
            **{
                name: _thread_pool(figures, computes) for name, figures in threads.items() if _used(figures["run_time"])
            },
        },
        "resource_limits": {
            "max_memory_mb": min(requests * 100, 2048),
            "max_concurrent_workflows": min(requests, 25),
            "request_timeout_seconds": 30 if waits else 60,
            "based_on": "guide",
            "figures": {"concurrent_requests": requests, "io_intensive": waits},
        },
    }


def connection_pool_by_guide(requests: int) -> dict[str, Any]:
    """The guide's formulas for two pools of connections."""
    by_guide = {"based_on": "guide", "figures": {"concurrent_requests": requests}}
    return {
        "database": {"pool_size": min(requests * 2, 20), "max_connections": min(requests * 4, 50), **by_guide},
        "external_api": {"pool_size": min(requests, 15), "max_connections": min(requests * 3, 40), **by_guide},
    }


def _thread_pool_by_guide(requests: int) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    return {
        "cpu_tasks": {
            "thread_count": min(cores, 8),
            "max_queue_size": requests * 2,
            "based_on": "guide",
            "figures": {"concurrent_requests": requests, "cpu_count": cores},
        }
    }


def _used(durations: Any) -> bool:
    return bool(durations.count >= LEAST)


def _room_for(average: float) -> int:
    return max(1, math.ceil(average + _BURSTS * math.sqrt(average)))


def _connection_pool(figures: Mapping[str, Any]) -> dict[str, Any]:
    usage, wait = figures["usage"], figures["wait"]
    rate = usage.count / figures["seconds"]
    # Waits are measured of those who had to; the others waited for nothing.
    waited = wait.mean * wait.count / usage.count
    average = rate * (usage.mean + waited)
    at_most = rate * (usage.p99 + waited)
    size = _room_for(average)
    return {
        "pool_size": size,
        "max_connections": max(size, _room_for(at_most)),
        "based_on": "measured",
        "figures": {
            "seconds": round(figures["seconds"], 3),
            "checkouts": usage.count,
            "checkouts_per_second": round(rate, 3),
            "usage_ms": usage.milliseconds(),
            "wait_ms": wait.milliseconds(),
            "in_use_or_waiting_on_average": round(average, 3),
        },
    }


def _thread_pool(figures: Mapping[str, Any], computes: bool) -> dict[str, Any]:
    run, wait = figures["run_time"], figures["queue_wait"]
    rate = run.count / figures["seconds"]
    waited = wait.mean * wait.count / run.count
    average = rate * (run.mean + waited)
    count = _room_for(average)
    if computes:
        # More threads than cores compute no faster.
        count = min(count, os.cpu_count() or 1)
    return {
        "thread_count": count,
        # As many as arrive while one waits for long.
        "max_queue_size": max(2 * count, math.ceil(2 * rate * wait.p99)),
        "based_on": "measured",
        "figures": {
            "seconds": round(figures["seconds"], 3),
            "tasks": run.count,
            "tasks_per_second": round(rate, 3),
            "run_ms": run.milliseconds(),
            "queue_wait_ms": wait.milliseconds(),
            "running_or_queued_on_average": round(average, 3),
            "thread_seconds": {name: round(seconds, 3) for name, seconds in figures["time"].items()},
        },
    }
