"""Recommendations: the guide's formulas where nothing was measured, Little's law where something was."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest

from nexus_core.durations import Durations
from nexus_core.resource_pool_manager import ResourcePoolManager
from nexus_core.resource_pools import allocation


def _durations(count: int, mean: float, p99: float | None = None) -> Durations:
    return Durations(count, count * mean, mean, mean, mean, p99 or mean, p99 or mean)


def _connections(
    count: int, usage: float, seconds: float, wait: Durations | None = None, p99: float | None = None
) -> Any:
    return {"seconds": seconds, "usage": _durations(count, usage, p99), "wait": wait or _durations(0, 0.0)}


@pytest.mark.parametrize("requests", [1, 5, 10, 20, 100])
def test_the_guides_formulas(requests: int) -> None:
    profile = {"cpu_intensive": True, "io_intensive": True, "concurrent_requests": requests}
    found = allocation.recommend(profile, {}, {})
    assert {name: (it["pool_size"], it["max_connections"]) for name, it in found["connection_pools"].items()} == {
        "database": (min(requests * 2, 20), min(requests * 4, 50)),
        "external_api": (min(requests, 15), min(requests * 3, 40)),
    }
    tasks = found["thread_pools"]["cpu_tasks"]
    assert (tasks["thread_count"], tasks["max_queue_size"]) == (min(os.cpu_count() or 1, 8), requests * 2)
    limits = found["resource_limits"]
    assert limits["max_memory_mb"] == min(requests * 100, 2048)
    assert limits["max_concurrent_workflows"] == min(requests, 25)
    assert limits["request_timeout_seconds"] == 30
    everything = [*found["connection_pools"].values(), tasks, limits]
    assert all(it["based_on"] == "guide" and it["figures"]["concurrent_requests"] == requests for it in everything)


def test_nothing_is_recommended_for_what_the_workload_does_not_do() -> None:
    found = allocation.recommend({}, {}, {})
    assert (found["connection_pools"], found["thread_pools"]) == ({}, {})
    assert found["resource_limits"]["request_timeout_seconds"] == 60


def test_connections_follow_from_littles_law() -> None:
    # 100 a second, each out for 40 ms: four at a time, and two standard deviations.
    measured = {"database": _connections(1000, 0.04, 10.0, p99=0.09)}
    found = allocation.recommend({"io_intensive": True, "concurrent_requests": 20}, measured, {})
    database = found["connection_pools"]["database"]
    assert database["based_on"] == "measured"
    assert database["pool_size"] == math.ceil(4 + 2 * 2)
    assert database["max_connections"] == math.ceil(9 + 2 * 3)
    assert database["figures"]["checkouts_per_second"] == 100
    assert database["figures"]["in_use_or_waiting_on_average"] == 4
    # Of the other pool the guide knows more.
    assert found["connection_pools"]["external_api"]["based_on"] == "guide"


def test_those_who_wait_count_too() -> None:
    # One connection, always out: without the line before it, one would seem enough.
    alone = _connections(1000, 0.01, 10.0)
    crowded = _connections(1000, 0.01, 10.0, wait=_durations(500, 0.16))
    sizes = [
        allocation.recommend({}, {"database": it}, {})["connection_pools"]["database"]["pool_size"]
        for it in (alone, crowded)
    ]
    assert sizes == [3, math.ceil(9 + 2 * 3)]


def test_threads_follow_from_littles_law() -> None:
    measured = {
        "seconds": 10.0,
        "run_time": _durations(1000, 0.09),
        "queue_wait": _durations(1000, 0.0, 0.2),
        "time": {"idle": 1.0, "interpreter": 0.5, "busy": 8.5},
    }
    waiting = allocation.recommend({"io_intensive": True}, {}, {"work": measured})["thread_pools"]["work"]
    assert (waiting["based_on"], waiting["thread_count"], waiting["max_queue_size"]) == ("measured", 15, 40)
    assert waiting["figures"]["thread_seconds"] == {"idle": 1.0, "interpreter": 0.5, "busy": 8.5}
    computing = allocation.recommend({"cpu_intensive": True}, {}, {"work": measured})["thread_pools"]
    assert computing["work"]["thread_count"] == min(15, os.cpu_count() or 1)
    assert computing["cpu_tasks"]["based_on"] == "guide"


def test_a_pool_that_was_hardly_used_was_not_measured() -> None:
    few = {"database": _connections(allocation.LEAST - 1, 0.04, 10.0)}
    assert allocation.recommend({}, few, {})["connection_pools"] == {}
    enough = {"database": _connections(allocation.LEAST, 0.04, 10.0)}
    assert list(allocation.recommend({}, enough, {})["connection_pools"]) == ["database"]


def test_pools_that_were_used_are_recommended_from_their_own_figures(manager: ResourcePoolManager) -> None:
    manager.create_connection_pool("database", 1, 5)
    manager.create_thread_pool("work", 2, 50)
    for _ in range(50):
        with manager.connection_pools["database"].connection() as connection:
            connection.execute("select 1").fetchone()
        manager.thread_pools["work"].submit_task(int).result(60)
    profile = {"cpu_intensive": False, "io_intensive": True, "concurrent_requests": 20}
    found = manager.optimize_resource_allocation(profile)
    database = found["connection_pools"]["database"]
    assert database["based_on"] == "measured"
    assert database["figures"]["checkouts"] == 50
    assert 1 <= database["pool_size"] <= database["max_connections"]
    assert found["connection_pools"]["external_api"]["based_on"] == "guide"
    work = found["thread_pools"]["work"]
    assert (work["based_on"], work["figures"]["tasks"]) == ("measured", 50)
    # Taken at its word, it makes pools.
    manager.create_connection_pool("again", database["pool_size"], database["max_connections"])
    manager.create_thread_pool("more", work["thread_count"], work["max_queue_size"])


@pytest.mark.parametrize(
    ("profile", "error", "said"),
    [
        ({"concurrent_requests": 0}, ValueError, "concurrent_requests must be at least 1, got 0"),
        ({"concurrent_requests": -3}, ValueError, "got -3"),
        ({"concurrent_requests": "many"}, TypeError, "must be a whole number, got 'many'"),
        ({"concurrent_requests": True}, TypeError, "got True"),
        (["io"], TypeError, "must be a mapping, got list"),
    ],
)
def test_a_senseless_profile_is_refused(profile: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        allocation.recommend(profile, {}, {})
