"""A pool that nobody has is collected, with its threads and connections."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from nexus_core import ConnectionPool

from .support import Connection, Server, eventually, pool_of


def pool_threads() -> int:
    """Threads of the pool named "gone", where the system tells."""
    found = 0
    for comm in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            found += comm.read_text().startswith("nexus-core-gone")
    return found


class Owner:
    """Has a pool whose callables refer to it."""

    def __init__(self, server: Server, how: str, **options: Any) -> None:
        self.server = server
        self.closed: list[int] = []
        hooks: dict[str, Any] = {
            "method": {"close": self.close},
            "closure": {"close": lambda connection: self.close(connection)},
            "check": {"check": self.check},
            "report": {"reconnect_failed": lambda pool: self},
        }[how]
        self.pool = ConnectionPool(server.connect, name="gone", min_size=2, **hooks, **options)

    def close(self, connection: Connection) -> None:
        connection.close()

    def check(self, connection: Connection) -> bool:
        return not connection.is_broken


@pytest.mark.parametrize("how", ["method", "closure", "check", "report"])
def test_a_pool_in_a_cycle_with_its_callables_is_collected(how: str) -> None:
    server = Server()
    owner = Owner(server, how)
    owner.pool.wait()
    with owner.pool.connection():
        pass
    gone = weakref.ref(owner), weakref.ref(owner.pool)
    del owner

    def collected() -> bool:
        gc.collect()
        return gone[0]() is None and gone[1]() is None

    eventually(collected, "never collected")
    eventually(lambda: server.alive == [], "its connections were not closed")
    eventually(lambda: pool_threads() == 0, "its threads live on")


def test_a_pool_without_cycles_is_gone_at_once() -> None:
    server = Server()
    pool = pool_of(server, name="gone", min_size=2)
    pool.wait()
    gone = weakref.ref(pool)
    gc.disable()
    try:
        del pool
        assert gone() is None
    finally:
        gc.enable()
    eventually(lambda: server.alive == [])
    eventually(lambda: pool_threads() == 0)


def test_a_connection_that_refers_to_its_pool_is_collected_with_it() -> None:
    server = Server()
    pool = pool_of(server, min_size=1)
    with pool.connection() as connection:
        connection.pool = pool  # type: ignore[attr-defined]
    gone = weakref.ref(pool)
    server.made.clear()
    del pool, connection

    def collected() -> bool:
        gc.collect()
        return gone() is None

    eventually(collected)


def test_a_checkout_keeps_its_pool() -> None:
    server = Server()
    pool = pool_of(server)
    checkout = pool.connection()
    del pool
    gc.collect()
    with checkout as connection:
        assert not connection.is_closed
    del checkout
    eventually(lambda: connection.is_closed)


@pytest.mark.own_process
def test_threads_come_when_there_is_work_and_go_when_the_pool_ends() -> None:
    before = threading.active_count()
    pool = pool_of(Server(), name="gone")
    assert pool_threads() == 0
    with pool.connection():
        assert pool_threads() == (sys.platform == "linux")
    pool.close()
    eventually(lambda: pool_threads() == 0)
    assert threading.active_count() <= before + 1


@pytest.mark.own_process
def test_uses_pile_nothing_up() -> None:
    import tracemalloc

    with pool_of(Server(), max_size=2, leak_limit=100) as pool:

        def use() -> None:
            for _ in range(2000):
                with pool.connection():
                    pass
                pool.putconn(pool.getconn())

        use()
        tracemalloc.start()
        try:
            use()
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            use()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 20_000
        finally:
            tracemalloc.stop()
