"""The guide's methods and reply keys, with real figures behind them."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from nexus_core.errors import PoolTimeout
from nexus_core.resource_pool_manager import ResourcePoolManager

from .support import until

_CONNECTION_KEYS = [
    "pool_name", "pool_size", "max_size", "available", "active", "total_created", "utilization_percent",
]  # fmt: skip
_THREAD_KEYS = ["pool_name", "thread_count", "queue_size", "stats", "efficiency"]


def test_the_guides_example(manager: ResourcePoolManager) -> None:
    database = manager.create_connection_pool("database", 10, 30)
    api = manager.create_connection_pool("external_api", 5, 15)
    work = manager.create_thread_pool("workflow_execution", 4, 50)
    assert list(database) == list(api) == _CONNECTION_KEYS
    assert (database["pool_name"], database["pool_size"], database["max_size"]) == ("database", 10, 30)
    assert list(work) == _THREAD_KEYS
    assert list(work["stats"]) == ["tasks_submitted", "tasks_completed", "tasks_failed"]
    assert (work["pool_name"], work["thread_count"], work["queue_size"]) == ("workflow_execution", 4, 0)
    assert list(manager.connection_pools) == ["database", "external_api"]
    assert list(manager.thread_pools) == ["workflow_execution"]

    profile = {"cpu_intensive": True, "io_intensive": True, "concurrent_requests": 20}
    recommended = manager.optimize_resource_allocation(profile)
    assert list(recommended) == ["connection_pools", "thread_pools", "resource_limits"]
    stats = manager.get_overall_performance_stats()
    assert list(stats) == ["connection_pools", "thread_pools", "overall_health"]
    assert stats["overall_health"] == "good"
    assert list(stats["connection_pools"]["database"]) == _CONNECTION_KEYS
    assert manager.resource_stats == stats


def test_connections_are_there_before_they_are_asked_for(manager: ResourcePoolManager) -> None:
    manager.create_connection_pool("database", 3, 5)
    pool = manager.connection_pools["database"]
    until(lambda: pool.get_pool_stats()["available"] == 3)
    assert pool.get_pool_stats()["total_created"] == 3


def test_a_connection_counts_as_created_once_it_is_made(manager: ResourcePoolManager) -> None:
    may_connect = threading.Event()

    def connect() -> sqlite3.Connection:
        may_connect.wait(60)
        return sqlite3.connect(":memory:", check_same_thread=False)

    # More than the pool has threads: some are not begun.
    reply = manager.create_connection_pool("slow", 6, 8, factory=connect)
    assert reply["total_created"] == 0
    may_connect.set()
    pool = manager.connection_pools["slow"]
    until(lambda: pool.get_pool_stats()["available"] == 6)
    assert pool.get_pool_stats()["total_created"] == 6


def test_figures_follow_a_pool_that_is_resized(manager: ResourcePoolManager) -> None:
    manager.create_connection_pool("database", 1, 2)
    pool = manager.connection_pools["database"]
    pool.pool.resize(0, 4)
    held = [pool.get_connection() for _ in range(3)]
    stats = pool.get_pool_stats()
    assert (stats["pool_size"], stats["max_size"], stats["utilization_percent"]) == (0, 4, 75.0)
    for connection in held:
        pool.return_connection(connection)
    manager.create_thread_pool("work", 1, 5)
    work = manager.thread_pools["work"]
    work.pool.resize(3)
    assert work.get_pool_stats()["thread_count"] == 3


def test_figures_follow_the_connections(manager: ResourcePoolManager) -> None:
    manager.create_connection_pool("database", 1, 4)
    pool = manager.connection_pools["database"]
    held = [pool.get_connection() for _ in range(4)]
    stats = pool.get_pool_stats()
    assert (stats["active"], stats["available"], stats["total_created"]) == (4, 0, 4)
    assert stats["utilization_percent"] == 100.0
    with pytest.raises(PoolTimeout, match="database"):
        pool.get_connection(timeout=0.01)
    assert manager.get_overall_performance_stats()["overall_health"] == "needs_attention"
    assert any("4 of 4 connections are in use" in problem for problem in manager.health_problems())
    for connection in held:
        pool.return_connection(connection)
    stats = pool.get_pool_stats()
    assert (stats["active"], stats["available"]) == (0, 4)
    assert stats["utilization_percent"] == 0.0


def test_without_a_factory_connections_are_to_sqlite_at_the_apps_data_path(
    manager: ResourcePoolManager, tmp_path: Path
) -> None:
    manager.create_connection_pool("database", 1, 2)
    with manager.connection_pools["database"].connection() as connection:
        assert isinstance(connection, sqlite3.Connection)
        connection.execute("create table seen (value)")
        connection.execute("insert into seen values (42)")
        connection.commit()
    manager.create_connection_pool("reports", 1, 2)
    with manager.connection_pools["reports"].connection() as connection:
        assert connection.execute("select value from seen").fetchall() == [(42,)]
    with sqlite3.connect(tmp_path / "data" / "app.db") as connection:
        assert connection.execute("select value from seen").fetchall() == [(42,)]
    connection.close()


def test_the_data_path_is_beside_kailashs_own_by_default(app: Any) -> None:
    manager = ResourcePoolManager(app)
    assert manager.data_path == Path.home() / ".kailash" / "nexus" / "nexus.db"
    manager.create_connection_pool("database", 1, 2)
    with manager.connection_pools["database"].connection() as connection:
        connection.execute("create table if not exists seen (value)")
    assert manager.data_path.exists()


def test_results_come_in_the_order_in_which_calls_ended(manager: ResourcePoolManager) -> None:
    manager.create_thread_pool("work", 2, 10)
    pool = manager.thread_pools["work"]
    go_on = threading.Event()

    def slow() -> str:
        assert go_on.wait(60)
        return "slow"

    def fail() -> None:
        raise ValueError("no")

    slow_future = pool.submit_task(slow)
    assert pool.submit_task(max, 3, 4).result(60) == 4
    assert pool.get_result(60) == ("success", 4)
    pool.submit_task(fail)
    assert pool.get_result(60) == ("error", "no")
    assert pool.get_result(timeout=0) is None
    go_on.set()
    assert slow_future.result(60) == "slow"
    assert pool.get_result(60) == ("success", "slow")
    stats = pool.get_pool_stats()
    assert stats["stats"] == {"tasks_submitted": 3, "tasks_completed": 2, "tasks_failed": 1}
    assert stats["efficiency"] == pytest.approx(200 / 3)


def test_keyword_arguments_reach_the_call(manager: ResourcePoolManager) -> None:
    manager.create_thread_pool("work", 1, 10)
    assert manager.thread_pools["work"].submit_task(sorted, [1, 3, 2], reverse=True).result(60) == [3, 2, 1]


def test_only_so_many_results_are_kept() -> None:
    from nexus_core import ThreadPool
    from nexus_core.resource_pools import ManagedThreadPool

    with ThreadPool(1) as pool:
        managed = ManagedThreadPool(pool, max_results=3)
        for number in range(6):
            managed.submit_task(int, number).result(60)
        assert [managed.get_result(60) for _ in range(3)] == [("success", number) for number in (3, 4, 5)]
        assert managed.get_result(0) is None


def test_a_pool_whose_tasks_fail_needs_optimization(manager: ResourcePoolManager) -> None:
    manager.create_thread_pool("work", 2, 10)
    pool = manager.thread_pools["work"]
    assert pool.get_pool_stats()["efficiency"] == 100.0
    assert manager.get_overall_performance_stats()["overall_health"] == "good"

    def fail() -> None:
        raise ValueError("no")

    for _ in range(4):
        pool.submit_task(fail)
        pool.submit_task(int)
    for _ in range(8):
        assert pool.get_result(60) is not None
    assert pool.get_pool_stats()["efficiency"] == 50.0
    assert manager.get_overall_performance_stats()["overall_health"] == "needs_optimization"
    assert manager.health_problems() == ["thread pool 'work': 4 of 8 tasks failed"]
