"""Nodes get pooled connections through the runtime's resource registry."""

from __future__ import annotations

import asyncio
import gc
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from kailash.resources import ResourceRegistry
from kailash.runtime.async_local import AsyncLocalRuntime as StockRuntime
from kailash.workflow.builder import WorkflowBuilder

from nexus_core import ConnectionPool, ThreadPool
from nexus_core.errors import PoolError
from nexus_core.resources import PooledResourceFactory, asyncpg_factory, lend, psycopg_factory, sqlite_factory
from nexus_core.runtime import AsyncLocalRuntime
from servers.postgres import PostgresServer

_NODE = """
    _pool = await get_resource('db')
    async with _pool.aconnection() as _connection:
        answer = _connection.execute('select 6 * 7').fetchone()[0]
    result = {'answer': answer}
"""


def _workflow(code: str, nodes: int = 1) -> Any:
    builder = WorkflowBuilder()
    for number in range(nodes):
        builder.add_node("AsyncPythonCodeNode", f"node{number}", {"code": textwrap.dedent(code)})
    return builder.build()


def _run(registry: ResourceRegistry, workflow: Any, runtime_class: type = AsyncLocalRuntime) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        runtime = runtime_class(resource_registry=registry)
        try:
            results, _ = await runtime.execute_workflow_async(workflow, {})
            found: dict[str, Any] = results
            return found
        finally:
            runtime.close()

    return asyncio.run(run())


def _gone(postgres: PostgresServer, application: str) -> None:
    """Its connections are closed; the server's side ends a moment later."""
    end = time.monotonic() + 60
    while postgres.backends(application):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("runtime_class", [AsyncLocalRuntime, StockRuntime])
def test_a_node_gets_a_connection(tmp_path: Path, runtime_class: type) -> None:
    registry = ResourceRegistry()
    PooledResourceFactory(sqlite_factory(tmp_path / "app.db"), max_size=2).register(registry, "db")
    results = _run(registry, _workflow(_NODE), runtime_class)
    assert results["node0"]["result"] == {"answer": 42}
    asyncio.run(registry.cleanup())


def test_nodes_of_many_runs_share_a_few_connections(postgres: PostgresServer) -> None:
    registry = ResourceRegistry()
    factory = psycopg_factory(postgres.conninfo("app", application_name="registry"))
    PooledResourceFactory(factory, max_size=2, name="db").register(registry, "db")

    async def run_many() -> Any:
        runtime = AsyncLocalRuntime(resource_registry=registry)
        try:
            workflow = _workflow(_NODE, nodes=3)
            await asyncio.gather(*(runtime.execute_workflow_async(workflow, {}) for _ in range(10)))
            pool = await registry.get_resource("db")
            # They are reset on the pool's own threads.
            while (stats := pool.get_stats())["pool_available"] < stats["pool_size"]:
                await asyncio.sleep(0.001)
            return stats, postgres.backends("registry")
        finally:
            runtime.close()
            await registry.cleanup()

    stats, backends = asyncio.run(run_many())
    assert stats["requests_num"] == 30
    assert stats["requests_errors"] == 0
    assert stats["pool_available"] == stats["pool_size"] == len(backends) <= 2
    _gone(postgres, "registry")


def test_asyncpg_connections_through_aconnection(postgres: PostgresServer) -> None:
    node = """
        _pool = await get_resource('db')
        async with _pool.aconnection() as _connection:
            answer = await _connection.fetchval('select 6 * 7')
        result = {'answer': answer}
    """

    async def run() -> tuple[Any, Any]:
        registry = ResourceRegistry()
        factory = asyncpg_factory(
            host="127.0.0.1", port=postgres.port, user="app", database="postgres",
            server_settings={"application_name": "registry-asyncpg"},
        )  # fmt: skip
        PooledResourceFactory(factory, name="asyncpg", max_size=2).register(registry, "db")
        runtime = AsyncLocalRuntime(resource_registry=registry)
        try:
            workflow = _workflow(node)
            runs = await asyncio.gather(*(runtime.execute_workflow_async(workflow, {}) for _ in range(8)))
            stats = (await registry.get_resource("db")).get_stats()
            return [results["node0"]["result"]["answer"] for results, _ in runs], stats
        finally:
            runtime.close()
            await registry.cleanup()

    answers, stats = asyncio.run(run())
    assert answers == [42] * 8
    assert stats["requests_num"] == 8
    assert stats["pool_size"] <= 2
    _gone(postgres, "registry-asyncpg")


def test_cleaning_up_closes_what_the_factory_has_made_and_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        registry = ResourceRegistry()
        PooledResourceFactory(sqlite_factory(tmp_path / "app.db"), max_size=2).register(registry, "made")
        with ConnectionPool(object, name="given") as given, ThreadPool(1, name="threads") as threads:
            PooledResourceFactory(given).register(registry, "given")
            PooledResourceFactory(threads).register(registry, "threads")
            made = await registry.get_resource("made")
            with made.connection(), (await registry.get_resource("given")).connection():
                pass
            assert (await registry.get_resource("threads")).submit(int).result(60) == 0
            await registry.cleanup()
            with pytest.raises(PoolError):
                made.getconn()
            with given.connection():
                pass
            assert threads.submit(int).result(60) == 0
            # Asked for again, it is made again.
            again = await registry.get_resource("made")
            with again.connection() as connection:
                assert connection.execute("select 1").fetchone() == (1,)
            await registry.cleanup()

    asyncio.run(run())


def test_a_node_can_say_that_a_connection_is_broken() -> None:
    with ConnectionPool(object) as pool:
        lent = lend(pool)
        with lent.connection() as connection:
            lent.discard(connection)
        assert pool.get_stats()["connections_closed"] == 1


def test_a_node_cannot_end_a_pool() -> None:
    with ConnectionPool(object, name="db") as pool, ThreadPool(1, name="work") as threads:
        for lent, ends in ((lend(pool), ("close", "drain", "resize")), (lend(threads), ("shutdown", "resize"))):
            for end in (*ends, "aclose", "cleanup", "disconnect"):
                assert not hasattr(lent, end)
            assert lent.name in repr(lent)
            assert "name" in dir(lent)


def test_a_pool_is_kept_as_long_as_the_registry_has_it(tmp_path: Path) -> None:
    async def run() -> None:
        registry = ResourceRegistry()
        PooledResourceFactory(sqlite_factory(tmp_path / "app.db")).register(registry, "db")
        first = repr(await registry.get_resource("db"))
        gc.collect()
        assert repr(await registry.get_resource("db")) == first
        await registry.cleanup()

    asyncio.run(run())


def test_its_configuration_is_json_without_secrets(tmp_path: Path) -> None:
    with ConnectionPool(object, name="given") as given:
        for factory in (
            PooledResourceFactory(sqlite_factory(tmp_path / "app.db"), max_size=3, check=None),
            PooledResourceFactory(psycopg_factory("host=db password=secret"), name="db"),
            PooledResourceFactory(object),
            PooledResourceFactory(given),
        ):
            text = json.dumps(factory.get_config())
            assert "secret" not in text
        assert PooledResourceFactory(given).get_config() == {
            "pool": "given", "kind": "ConnectionPool", "shared": True,
        }  # fmt: skip
    config = PooledResourceFactory(sqlite_factory(tmp_path / "app.db"), max_size=3, check=None).get_config()
    assert config == {"kind": "sqlite", "path": str(tmp_path / "app.db"), "max_size": 3, "shared": False}


def test_what_is_no_pool_is_refused() -> None:
    with pytest.raises(TypeError, match="got int"):
        PooledResourceFactory(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got object"):
        lend(object())  # type: ignore[call-overload]
    with ConnectionPool(object, name="given") as given, pytest.raises(TypeError, match=r"'given'.*max_size"):
        PooledResourceFactory(given, max_size=3)


def test_a_name_that_is_taken_is_refused() -> None:
    registry = ResourceRegistry()
    PooledResourceFactory(object).register(registry, "db")
    with pytest.raises(ValueError, match="there is a resource 'db' already"):
        PooledResourceFactory(object).register(registry, "db")
