"""Pools in an app that answers over HTTP: resources of its workflows, figures in its metrics, closed with it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nexus_core
from nexus_core.connection_factories import asyncpg_factory, psycopg_factory
from nexus_core.errors import PoolError
from nexus_core.resource_pool_manager import ResourcePoolManager
from servers.postgres import PostgresServer

from .support import Served, async_node, served, until

_COUNT = """
    _pool = await get_resource('database')
    async with _pool.aconnection() as _connection:
        _connection.execute('create table if not exists counted (value integer)')
        _connection.execute('insert into counted values (?)', (value,))
        _connection.commit()
        total = _connection.execute('select sum(value) from counted').fetchone()[0]
    result = {'total': total}
"""

_PID = """
    _pool = await get_resource('database')
    with _pool.connection() as _connection:
        pid = _connection.execute('select pg_backend_pid()').fetchone()[0]
    result = {'pid': pid}
"""

_THREADS = """
    import asyncio
    _loop = asyncio.get_running_loop()
    _pool = await get_resource('work')
    answer = await _loop.run_in_executor(_pool, pow, 2, value)
    result = {'answer': answer}
"""


def _result(outputs: dict[str, Any], name: str) -> Any:
    found = outputs["node"]
    return found["result"][name] if "result" in found else found[name]


@pytest.mark.parametrize("attached", ["before", "after"])
def test_nodes_get_the_pools_by_name(make_app: Callable[[], Any], tmp_path: Path, attached: str) -> None:
    app = make_app()
    app.register("early", async_node(_COUNT))
    if attached == "before":
        nexus_core.attach(app)
    manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
    manager.create_connection_pool("database", 1, 4)
    if attached == "after":
        nexus_core.attach(app)
    manager.create_thread_pool("work", 2, 10)
    app.register("late", async_node(_COUNT))
    app.register("threads", async_node(_THREADS))
    with served(app) as server:
        assert _result(server.execute("early", value=40), "total") == 40
        assert _result(server.execute("late", value=2), "total") == 42
        assert _result(server.execute("threads", value=5), "answer") == 32
        assert manager.connection_pools["database"].get_pool_stats()["active"] == 0
        assert manager.thread_pools["work"].get_pool_stats()["stats"]["tasks_completed"] == 1
        assert set(server.get("/enterprise/resources").json()["resources"]) == {"database", "work"}


def test_requests_share_a_few_connections(manager: ResourcePoolManager, app: Any, postgres: PostgresServer) -> None:
    factory = psycopg_factory(postgres.conninfo("app", application_name="in-an-app"))
    manager.create_connection_pool("database", 1, 3, factory)
    app.register("pid", async_node(_PID))
    seen: list[int] = []
    with served(app) as server:

        def ask() -> None:
            for _ in range(5):
                seen.append(_result(server.execute("pid"), "pid"))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(seen) == 30
        assert set(seen) <= set(postgres.backends("in-an-app"))
        assert len(set(seen)) <= 3
        assert manager.connection_pools["database"].get_pool_stats()["active"] == 0
    # The app has stopped, and they with it.
    until(lambda: postgres.backends("in-an-app") == [])


_ASYNC = """
    _pool = await get_resource('database')
    async with _pool.aconnection() as _connection:
        pid = await _connection.fetchval('select pg_backend_pid()')
    result = {'pid': pid}
"""


def test_asynchronous_connections_belong_to_the_apps_loop_and_end_with_it(
    manager: ResourcePoolManager, app: Any, postgres: PostgresServer
) -> None:
    factory = asyncpg_factory(
        host="127.0.0.1", port=postgres.port, user="app", database="postgres",
        server_settings={"application_name": "in-an-app-async"},
    )  # fmt: skip
    manager.create_connection_pool("database", 1, 3, factory)
    app.register("pid", async_node(_ASYNC))
    with served(app) as server:
        seen = {_result(server.execute("pid"), "pid") for _ in range(5)}
        assert seen <= set(postgres.backends("in-an-app-async"))
        assert manager.get_overall_performance_stats()["connection_pools"]["database"]["active"] == 0
    assert manager.closed
    until(lambda: postgres.backends("in-an-app-async") == [])


def _metrics(server: Served) -> dict[str, float]:
    lines = [line for line in server.get("/metrics").text.splitlines() if line.startswith("nexus_core_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_their_figures_are_in_the_apps_metrics(manager: ResourcePoolManager, app: Any) -> None:
    manager.create_connection_pool("database", 1, 4)
    manager.create_thread_pool("work", 2, 10)
    app.register("count", async_node(_COUNT))
    app.register("threads", async_node(_THREADS))
    with served(app) as server:
        for value in range(3):
            server.execute("count", value=value)
        server.execute("threads", value=3)
        seen = _metrics(server)
        labels = 'app="nexus",pool="database"'
        assert seen[f"nexus_core_connection_pool_checkouts_total{{{labels}}}"] == 3
        assert seen[f"nexus_core_connection_pool_max_connections{{{labels}}}"] == 4
        assert seen[f'nexus_core_connection_pool_connections{{{labels},state="in_use"}}'] == 0
        assert seen[f'nexus_core_connection_pool_usage_seconds{{{labels},quantile="0.99"}}'] > 0
        assert seen['nexus_core_thread_pool_tasks_finished_total{app="nexus",outcome="done",pool="work"}'] == 1
        # What is asked for by clients makes no series.
        before = len(seen)
        for value in range(5):
            server.execute("count", value=value)
        assert len(_metrics(server)) == before
    assert manager.closed


def test_two_apps_have_series_of_their_own(make_app: Callable[[], Any], tmp_path: Path) -> None:
    from prometheus_client import REGISTRY, generate_latest

    managers = []
    for number in range(2):
        app = make_app()
        managers.append(ResourcePoolManager(app, data_path=tmp_path / f"{number}.db"))
        managers[-1].create_connection_pool("database", 0, number + 1)

    def limits() -> list[str]:
        text = generate_latest(REGISTRY).decode()
        return sorted(re.findall(r"max_connections\{app=\"(.*?)\",pool=\"database\"\} (\S+)", text))

    assert limits() == [("nexus", "1.0"), ("nexus-2", "2.0")]
    managers[0].close()
    assert limits() == [("nexus-2", "2.0")]
    managers[1].close()
    assert limits() == []
    assert "nexus_core" not in generate_latest(REGISTRY).decode()


def test_an_app_keeps_its_series_whichever_app_ends(make_app: Callable[[], Any], tmp_path: Path) -> None:
    from prometheus_client import REGISTRY, generate_latest

    def apps() -> list[str]:
        lines = generate_latest(REGISTRY).decode().splitlines()
        prefix = "nexus_core_connection_pool_max_connections{app="
        return sorted(line.split('"')[1] for line in lines if line.startswith(prefix))

    def managed(name: str) -> tuple[Any, ResourcePoolManager]:
        app = make_app()
        app.name = name
        manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
        manager.create_connection_pool("database", 0, 1)
        return app, manager

    first, _ = managed("shop")
    managed("shop")
    managed("shop-2")
    assert apps() == ["shop", "shop-2", "shop-2-2"]
    first.close()
    assert apps() == ["shop-2", "shop-2-2"]
    managed("shop")
    assert apps() == ["shop", "shop-2", "shop-2-2"]


@pytest.mark.parametrize("how", ["app.close", "app.stop", "manager.close", "server"])
def test_they_close_with_the_app(make_app: Callable[[], Any], tmp_path: Path, how: str) -> None:
    app = make_app()
    nexus_core.attach(app)
    manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
    manager.create_connection_pool("database", 2, 4)
    manager.create_thread_pool("work", 2, 10)
    database, work = manager.connection_pools["database"], manager.thread_pools["work"]
    work.submit_task(int).result(60)
    if how == "server":
        with served(app):
            pass
    else:
        {"app.close": app.close, "app.stop": app.stop, "manager.close": manager.close}[how]()
    assert manager.closed
    with pytest.raises(PoolError, match="database"):
        database.get_connection(timeout=0.1)
    with pytest.raises(PoolError, match="work"):
        work.submit_task(int)
    with pytest.raises(PoolError, match="pool 'another' was not made: the app's pools are closed"):
        manager.create_connection_pool("another")
    assert not app._http_transport.gateway.resource_registry.has_factory("database")
    manager.close()
    app.close()


def test_a_closed_manager_makes_room_for_another(app: Any, tmp_path: Path) -> None:
    for _ in range(3):
        manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
        manager.create_connection_pool("database", 1, 2)
        manager.close()
    app.close()
    assert app.runtime is None


def test_attached_and_managed_in_any_order_the_app_closes_both(make_app: Callable[[], Any], tmp_path: Path) -> None:
    for attach_first in (True, False):
        app = make_app()
        if attach_first:
            runtime = nexus_core.attach(app).runtime
            manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
        else:
            manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
            runtime = nexus_core.attach(app).runtime
        manager.create_connection_pool("database", 1, 2)
        app.close()
        assert manager.closed
        assert runtime.ref_count == 0
        assert app.runtime is None
        app.close()


def test_a_runtime_with_resources_of_its_own_keeps_them(make_app: Callable[[], Any], tmp_path: Path) -> None:
    from kailash.resources import ResourceRegistry

    from nexus_core.resources import PooledResourceFactory, sqlite_factory
    from nexus_core.runtime import AsyncLocalRuntime

    registry = ResourceRegistry()
    PooledResourceFactory(sqlite_factory(tmp_path / "own.db"), max_size=1).register(registry, "own")
    runtime = AsyncLocalRuntime(resource_registry=registry)
    app = make_app()
    nexus_core.attach(app, runtime)
    manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
    with pytest.raises(ValueError, match="the app has a resource 'own' already"):
        manager.create_connection_pool("own")
    manager.create_connection_pool("database", 1, 2)
    assert registry.list_resources() == {"own", "database"}
    app.close()
    assert runtime.resource_registry is registry
    assert registry.list_resources() == {"own"}
    runtime.close()
