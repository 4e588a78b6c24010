"""The ready factories: what they make works, is checked, reset and closed, and is described without secrets."""

from __future__ import annotations

import asyncio
import http.server
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nexus_core.connection_factories import (
    ConnectionFactory,
    asyncpg_factory,
    httpx_factory,
    psycopg_factory,
    sqlite_factory,
)
from servers.postgres import PostgresServer

# --- SQLite ---------------------------------------------------------------------------


def test_sqlite_connections_share_a_file(tmp_path: Path) -> None:
    with sqlite_factory(tmp_path / "app.db").pool(max_size=2) as pool, pool.connection() as writer:
        writer.execute("create table seen (value)")
        writer.execute("insert into seen values (42)")
        writer.commit()
        with pool.connection() as reader:
            assert reader is not writer
            assert reader.execute("select value from seen").fetchall() == [(42,)]


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    with sqlite_factory(tmp_path / "app.db", timeout=0.05).pool(max_size=2) as pool, pool.connection() as writer:
        writer.execute("create table seen (value)")
        writer.commit()
        writer.execute("insert into seen values (42)")
        with pool.connection() as reader:
            assert reader.execute("select value from seen").fetchall() == []
        writer.commit()


def test_an_open_transaction_is_rolled_back_when_its_connection_comes_back(tmp_path: Path) -> None:
    with sqlite_factory(tmp_path / "app.db").pool(max_size=1) as pool:
        with pool.connection() as connection:
            connection.execute("create table seen (value)")
            connection.commit()
        first = pool.getconn()
        first.execute("insert into seen values (1)")
        pool.putconn(first)
        with pool.connection() as connection:
            assert connection is first
            assert not connection.in_transaction
            assert connection.execute("select count(*) from seen").fetchone() == (0,)


def test_a_closed_sqlite_connection_is_replaced(tmp_path: Path) -> None:
    with sqlite_factory(tmp_path / "app.db").pool(max_size=1, timeout=30) as pool:
        first = pool.getconn()
        first.close()
        pool.putconn(first)
        with pool.connection() as connection:
            assert connection is not first
            assert connection.execute("select 1").fetchone() == (1,)


def test_sqlite_connections_may_change_threads(tmp_path: Path) -> None:
    with sqlite_factory(tmp_path / "app.db").pool(max_size=1) as pool:
        answers: list[Any] = []

        def ask() -> None:
            with pool.connection() as connection:
                answers.append(connection.execute("select 1").fetchone())

        ask()
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(60)
        assert answers == [(1,), (1,)]


@pytest.mark.parametrize("path", ["", ":memory:", "file::memory:"])
def test_a_database_of_each_connections_own_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="a database of its own"):
        sqlite_factory(path)


def test_a_database_in_memory_with_a_name_is_refused_too() -> None:
    with pytest.raises(ValueError, match="a database of its own"):
        sqlite_factory("file:mine?mode=memory", uri=True)


def test_a_shared_database_in_memory_is_not() -> None:
    factory = sqlite_factory("file:shared-in-memory?mode=memory&cache=shared", uri=True)
    with factory.pool(max_size=2) as pool, pool.connection() as one, pool.connection() as two:
        one.execute("create table seen (value)")
        one.commit()
        assert two.execute("select count(*) from seen").fetchone() == (0,)


def test_a_connection_that_cannot_be_set_up_is_closed(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite_factory(tmp_path / "app.db")()


# --- PostgreSQL -----------------------------------------------------------------------


def test_psycopg_connections_are_reset(postgres: PostgresServer) -> None:
    with psycopg_factory(postgres.conninfo("app")).pool(max_size=1, timeout=30) as pool:
        first = pool.getconn()
        first.execute("create temporary table mine (value int)")
        pool.putconn(first)
        with pool.connection() as connection:
            assert connection is first
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("select * from mine")
        # It came back in a failed transaction.
        with pool.connection() as connection:
            assert connection is first
            assert connection.execute("select 1").fetchone() == (1,)


def test_a_psycopg_connection_that_the_server_has_ended_is_not_handed_out(postgres: PostgresServer) -> None:
    factory = psycopg_factory(postgres.conninfo("app", application_name="factories"))
    with factory.pool(min_size=3, max_size=3, timeout=30) as pool:
        pool.wait(30)
        pids = postgres.backends("factories")
        assert len(pids) == 3
        postgres.terminate(*pids)
        held = [pool.getconn() for _ in range(3)]
        for connection in held:
            assert connection.execute("select 1").fetchone() == (1,)
            assert connection.info.backend_pid not in pids
            pool.putconn(connection)


def test_what_the_server_says_to_an_idle_connection_does_not_cost_it(postgres: PostgresServer) -> None:
    with psycopg_factory(postgres.conninfo("app"), autocommit=True).pool(max_size=1, timeout=30) as pool:
        first = pool.getconn()
        first.execute("listen news")
        pool.putconn(first)
        postgres.query("notify news")
        with pool.connection() as connection:
            assert connection is first
            assert connection.execute("select 1").fetchone() == (1,)


def test_a_psycopg_connection_with_a_statement_running_is_replaced(postgres: PostgresServer) -> None:
    with psycopg_factory(postgres.conninfo("app")).pool(max_size=1, timeout=30) as pool:
        first = pool.getconn()
        first.pgconn.send_query(b"select pg_sleep(1)")
        pool.putconn(first)
        with pool.connection() as connection:
            assert connection is not first
            assert connection.execute("select 1").fetchone() == (1,)
    # A thread of the pool has closed it by the time that the pool is closed.
    assert first.closed


# --- PostgreSQL, asynchronously ---------------------------------------------------------


def test_asyncpg_connections_are_reset_and_replaced(postgres: PostgresServer) -> None:
    async def run() -> None:
        factory = asyncpg_factory(
            host="127.0.0.1", port=postgres.port, user="app", database="postgres",
            server_settings={"application_name": "factories-asyncpg"},
        )  # fmt: skip
        async with factory.pool(min_size=1, max_size=1, timeout=30) as pool:
            async with pool.aconnection() as first:
                await first.execute("set search_path = elsewhere")
                await first.execute("begin")
            async with pool.aconnection() as connection:
                assert connection is first
                assert not connection.is_in_transaction()
                assert await connection.fetchval("show search_path") != "elsewhere"
            for _ in range(3):
                postgres.terminate(*postgres.backends("factories-asyncpg"))
                await asyncio.sleep(0.05)
                async with pool.aconnection() as connection:
                    assert await connection.fetchval("select 1") == 1
            assert pool.get_stats()["pool_size"] == 1

    asyncio.run(run())


# --- HTTP -----------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    peers: set[tuple[str, int]]

    def do_GET(self) -> None:
        self.peers.add(self.client_address)
        body = json.dumps({"path": self.path, "cookie": self.headers.get("Cookie")}).encode()
        self.send_response(200)
        self.send_header("Set-Cookie", "session=secret")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server that says what it was asked, and sets a cookie."""
    _Handler.peers = set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_http_clients_keep_their_connection_and_forget_cookies(web: http.server.ThreadingHTTPServer) -> None:
    with httpx_factory(f"http://127.0.0.1:{web.server_port}/v1").pool(max_size=1) as pool:
        for _ in range(3):
            with pool.connection() as client:
                assert client.get("/items").json() == {"path": "/v1/items", "cookie": None}
                assert client.get("/more").json() == {"path": "/v1/more", "cookie": "session=secret"}
    assert len(_Handler.peers) == 1


def test_cookies_that_were_given_stay(web: http.server.ThreadingHTTPServer) -> None:
    factory = httpx_factory(f"http://127.0.0.1:{web.server_port}", cookies={"mine": "yes"})
    with factory.pool(max_size=1) as pool:
        for _ in range(2):
            with pool.connection() as client:
                assert client.get("/").json()["cookie"] == "mine=yes"


def test_a_closed_http_client_is_replaced(web: http.server.ThreadingHTTPServer) -> None:
    with httpx_factory(f"http://127.0.0.1:{web.server_port}").pool(max_size=1, timeout=30) as pool:
        with pool.connection() as first:
            first.close()
        with pool.connection() as second:
            assert second is not first
            assert second.get("/").status_code == 200
    assert second.is_closed


# --- in general -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (sqlite_factory("app.db"), "kind='sqlite', path='app.db'"),
        (
            psycopg_factory("postgresql://me:secret@db:5433/app?sslpassword=secret", password="secret"),
            "kind='postgresql', host='db', port='5433', dbname='app', user='me'",
        ),
        (
            asyncpg_factory("postgresql://me:secret@db:5433/app", password="secret"),
            "kind='postgresql', host='db', port=5433, dbname='app', user='me'",
        ),
        (
            asyncpg_factory("postgresql://me:secret@one:5432,two:5433/app"),
            "kind='postgresql', host='one:5432,two:5433', dbname='app', user='me'",
        ),
        (httpx_factory("https://me:secret@api/v1", headers={"key": "secret"}), "kind='http', base_url='https://"),
    ],
)
def test_they_are_described_without_secrets(factory: ConnectionFactory[Any], said: str) -> None:
    assert said in repr(factory)
    assert "secret" not in repr(factory) + json.dumps(factory.described)


def test_hooks_can_be_replaced(tmp_path: Path) -> None:
    factory = sqlite_factory(tmp_path / "app.db")
    assert set(factory.arguments({})) == {"reset", "close"}
    assert psycopg_factory().arguments({})["check_in"] == "caller"
    assert "check_in" not in psycopg_factory().arguments({"check": None})
    closed: list[sqlite3.Connection] = []

    def close(connection: sqlite3.Connection) -> None:
        closed.append(connection)
        connection.close()

    with factory.pool(max_size=1, close=close) as pool, pool.connection() as connection:
        pass
    assert closed == [connection]


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("psycopg", "psycopg_factory('')"),
        ("asyncpg", "asyncpg_factory('')"),
        ("httpx", "httpx_factory('http://x')"),
    ],
)
def test_it_says_what_to_install(module: str, call: str) -> None:
    program = (
        "import sys\n"
        f"sys.modules[{module!r}] = None\n"
        "import nexus_core\n"
        "from nexus_core.connection_factories import *\n"
        f"try: {call}\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert f"{module} is not installed: pip install nexus-core-rs[{module}]" in done.stdout, done.stderr


def test_nothing_of_it_is_needed_to_import_the_package() -> None:
    program = (
        "import sys\n"
        "for name in ('kailash', 'nexus', 'sqlalchemy', 'psycopg', 'httpx', 'asyncpg', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
        "import nexus_core\n"
        "from nexus_core import ConnectionPool, ThreadPool\n"
        "from nexus_core.connection_factories import sqlite_factory\n"
        "from nexus_core.resource_pool_manager import ResourcePoolManager\n"
        "try: import nexus_core.resources\n"
        "except ImportError as error: print(error)\n"
        "try: ResourcePoolManager(object())\n"
        "except nexus_core.errors.NexusCoreError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.count("pip install nexus-core-rs[nexus]") == 2, done.stderr
