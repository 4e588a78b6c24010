"""The guide's fourth block: connections are connections, threads are threads, and the figures follow them."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from nexus_core import ResourcePoolManager

from .flows import until


@pytest.fixture
def manager(app: Any, tmp_path: Path) -> ResourcePoolManager:
    return ResourcePoolManager(app, data_path=tmp_path / "app.db")


def test_pools_are_made_and_their_figures_follow_what_is_taken(manager: ResourcePoolManager) -> None:
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(sqlite3.connect(":memory:", check_same_thread=False))
        return made[-1]

    reply = manager.create_connection_pool("database", 4, 8, factory=connect)
    assert (reply["pool_name"], reply["pool_size"], reply["max_size"]) == ("database", 4, 8)
    pool = manager.connection_pools["database"]
    until(lambda: pool.get_pool_stats()["available"] == 4)
    assert pool.total_created == len(made) == 4
    held = [pool.get_connection() for _ in range(6)]
    assert all(each.execute("select 1").fetchone() == (1,) for each in held)
    stats = manager.get_overall_performance_stats()["connection_pools"]["database"]
    assert (stats["active"], pool.active_connections) == (6, 6)
    assert (stats["total_created"], len({id(each) for each in held})) == (len(made), 6)
    assert stats["utilization_percent"] == 75.0
    for each in held:
        pool.return_connection(each)
    assert pool.active_connections == 0
    assert manager.get_overall_performance_stats()["overall_health"] == "good"


def test_threads_do_what_they_are_given_and_count_it(manager: ResourcePoolManager) -> None:
    reply = manager.create_thread_pool("workflow_execution", 2, 50)
    assert reply["stats"] == {"tasks_submitted": 0, "tasks_completed": 0, "tasks_failed": 0}
    pool = manager.thread_pools["workflow_execution"]
    ran_on: set[int] = set()
    together = threading.Barrier(2, timeout=60)

    def task(number: int) -> int:
        if number < 2:
            together.wait()
        ran_on.add(threading.get_ident())
        if number == 5:
            raise ValueError("task 5 was to fail")
        return number

    for number in range(6):
        pool.submit_task(task, number)
    results = [pool.get_result(60) for _ in range(6)]
    assert sorted(value for kind, value in filter(None, results) if kind == "success") == [0, 1, 2, 3, 4]
    assert ("error", "task 5 was to fail") in results
    assert len(ran_on) == 2 and threading.get_ident() not in ran_on
    assert pool.stats == {"tasks_submitted": 6, "tasks_completed": 5, "tasks_failed": 1}
    stats = manager.get_overall_performance_stats()["thread_pools"]["workflow_execution"]
    assert (stats["queue_size"], stats["efficiency"]) == (0, pytest.approx(500 / 6))


def test_recommendations_for_the_guides_workload(manager: ResourcePoolManager) -> None:
    profile = {"cpu_intensive": True, "io_intensive": True, "concurrent_requests": 20}
    found = manager.optimize_resource_allocation(profile)
    database, api = (found["connection_pools"][name] for name in ("database", "external_api"))
    assert (database["pool_size"], database["max_connections"]) == (20, 50)
    assert (api["pool_size"], api["max_connections"]) == (15, 40)
    assert found["thread_pools"]["cpu_tasks"]["max_queue_size"] == 40
    limits = found["resource_limits"]
    assert (limits["max_memory_mb"], limits["max_concurrent_workflows"]) == (2000, 20)
    assert limits["request_timeout_seconds"] == 30
    # No pool has done anything: these are the guide's formulas, and say so.
    assert {database["based_on"], api["based_on"], limits["based_on"]} == {"guide"}
