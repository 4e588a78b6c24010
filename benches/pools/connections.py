"""The pools of connections."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pools import CONNECTIONS, Connections, PoolPeer, needs, postgres


class Cursor:
    def execute(self, *_: object) -> None: ...
    def close(self) -> None: ...


class Connection:
    """Does nothing at once."""

    def cursor(self) -> Cursor:
        return Cursor()

    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


def _of_queue(pool: Any) -> Connections:
    for _ in range(CONNECTIONS):
        pool.put(Connection())
    get, put = pool.get, pool.put

    def loop(count: int) -> None:
        for _ in range(count):
            put(get())

    return Connections(loop, get, put)


@contextmanager
def simple_queue() -> Iterator[Connections]:
    yield _of_queue(queue.SimpleQueue())


@contextmanager
def plain_queue() -> Iterator[Connections]:
    yield _of_queue(queue.Queue())


@contextmanager
def dbutils() -> Iterator[Connections]:
    try:
        from dbutils.pooled_db import PooledDB
    except ImportError as error:
        raise needs("DBUtils", error) from None
    # It asks the driver for these before it pools its connections.
    driver = type("Driver", (), {"threadsafety": 1, "Error": Exception, "connect": staticmethod(Connection)})
    for name in ("OperationalError", "InterfaceError", "InternalError"):
        setattr(driver, name, Exception)
    pool = PooledDB(driver, mincached=CONNECTIONS, maxconnections=CONNECTIONS, blocking=True)
    take = pool.connection

    def loop(count: int) -> None:
        for _ in range(count):
            take().close()

    yield Connections(loop, take, lambda connection: connection.close())


@contextmanager
def sqlalchemy(native: bool) -> Iterator[Connections]:
    try:
        from sqlalchemy.pool import QueuePool
    except ImportError as error:
        raise needs("SQLAlchemy", error) from None
    if native:
        from nexus_core.sqlalchemy import NativePool

        cls: Any = NativePool
    else:
        cls = QueuePool
    pool = cls(Connection, pool_size=CONNECTIONS, max_overflow=0)
    take = pool.connect

    def loop(count: int) -> None:
        for _ in range(count):
            take().close()

    yield Connections(loop, take, lambda connection: connection.close())
    pool.dispose()


def _of_getconn(pool: Any) -> Connections:
    getconn, putconn = pool.getconn, pool.putconn

    def loop(count: int) -> None:
        for _ in range(count):
            putconn(getconn())

    return Connections(loop, getconn, putconn)


@contextmanager
def psycopg_pool() -> Iterator[Connections]:
    try:
        from psycopg_pool import ConnectionPool
    except ImportError as error:
        raise needs("psycopg_pool", error) from None
    with (
        postgres() as conninfo,
        ConnectionPool(conninfo, min_size=CONNECTIONS, max_size=CONNECTIONS, open=True, timeout=120) as pool,
    ):
        pool.wait(timeout=60)
        yield _of_getconn(pool)


@contextmanager
def ours(blocks: bool = False) -> Iterator[Connections]:
    from nexus_core import ConnectionPool

    with ConnectionPool(Connection, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        pool.wait(60)
        if not blocks:
            yield _of_getconn(pool)
            return
        connection = pool.connection

        def loop(count: int) -> None:
            for _ in range(count):
                with connection():
                    pass

        yield Connections(loop, pool.getconn, pool.putconn)


@contextmanager
def ours_psycopg() -> Iterator[Connections]:
    from nexus_core.connection_factories import psycopg_factory

    with (
        postgres() as conninfo,
        psycopg_factory(conninfo).pool(min_size=CONNECTIONS, max_size=CONNECTIONS, timeout=120) as pool,
    ):
        pool.wait(60)
        yield _of_getconn(pool)


PEERS = {
    peer.key: peer
    for peer in (
        PoolPeer("simple_queue", "queue.SimpleQueue", simple_queue),
        PoolPeer("queue", "queue.Queue", plain_queue),
        PoolPeer("nexus_core", "nexus_core ConnectionPool, getconn and putconn", ours),
        PoolPeer("nexus_core_block", "nexus_core ConnectionPool, with block", lambda: ours(blocks=True)),
        PoolPeer("dbutils", "DBUtils PooledDB", dbutils),
        PoolPeer("nexus_core_sqlalchemy", "nexus_core NativePool, in SQLAlchemy", lambda: sqlalchemy(native=True)),
        PoolPeer("sqlalchemy", "SQLAlchemy QueuePool", lambda: sqlalchemy(native=False)),
        PoolPeer("nexus_core_psycopg", "nexus_core ConnectionPool, PostgreSQL", ours_psycopg, with_server=True),
        PoolPeer("psycopg_pool", "psycopg_pool, PostgreSQL", psycopg_pool, with_server=True),
    )
}
