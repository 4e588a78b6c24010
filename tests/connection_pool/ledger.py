"""Who used which connection of a pool, and how it ended: what must add up after every fault."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from nexus_core import ConnectionPool
from nexus_core.connection_factories import psycopg_factory
from nexus_core.errors import PoolTimeout
from servers.postgres import PostgresServer

__all__ = ["APPLICATION", "GRACE", "Ledger", "make_pool", "until"]

APPLICATION = "pool-faults"
GRACE = 30.0
"""Seconds beyond a time-out that a caller may get on a busy machine; what hangs takes longer."""


def until(condition: Callable[[], object], limit: float = 60.0) -> None:
    """Waits for what is about to happen."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class Ledger:
    """Who has which connection, and how every request ended."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool = pool
        self.answers: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self._out: set[int] = set()
        self._lock = threading.Lock()

    @contextmanager
    def using(self, connection: Any) -> Iterator[None]:
        """Nobody else has it meanwhile."""
        with self._lock:
            assert id(connection) not in self._out, "handed out twice"
            self._out.add(id(connection))
        try:
            yield
        finally:
            with self._lock:
                self._out.discard(id(connection))

    def request(self, statement: str = "select 1") -> str:
        """One use of a connection; says how it ended."""
        asked = time.monotonic()
        entered = False
        try:
            with self.pool.connection() as connection:
                entered = True
                assert time.monotonic() - asked < self.pool.timeout + GRACE
                with self.using(connection):
                    connection.execute(statement)
        except PoolTimeout as error:
            assert self.pool.timeout <= time.monotonic() - asked < self.pool.timeout + GRACE
            assert error.waited >= self.pool.timeout
            answer = "timeout"
        except psycopg.Error:
            assert entered, "what went wrong while connecting is not the callers' to see"
            answer = "broken"
        else:
            answer = "served"
        with self._lock:
            self.answers[answer] += 1
        return answer

    def load(self, threads: int, while_true: Callable[[], bool], statement: str = "select 1") -> list[threading.Thread]:
        """Threads that use the pool as long as something holds."""

        def work() -> None:
            try:
                while while_true():
                    self.request(statement)
            except BaseException as error:
                self.failures.append(error)

        started = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
        for thread in started:
            thread.start()
        return started

    def ended(self, threads: list[threading.Thread]) -> None:
        """All of them have ended, and none by an error."""
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a caller was never answered"
        if self.failures:
            raise self.failures[0]

    def is_whole(self, server: PostgresServer, used_up: bool = False) -> None:
        """The pool is at its size again, and its counts are those of the answers."""
        pool = self.pool
        # What was lost is made again without anybody asking, as far as the smallest size goes.
        until(lambda: pool.statistics().idle == pool.statistics().size >= pool.min_size)
        held = [pool.getconn(timeout=60) for _ in range(pool.max_size)]
        assert len({id(connection) for connection in held}) == pool.max_size
        for connection in held:
            assert connection.execute("select 1").fetchone() == (1,)
            pool.putconn(connection)
        self.answers["served"] += pool.max_size
        # One that was used up by this is replaced only as far as the smallest size goes.
        least = pool.min_size if used_up else pool.max_size
        until(lambda: pool.statistics().idle == pool.statistics().size >= least)
        found = pool.statistics()
        assert (found.in_use, found.tended, found.connecting, found.waiting) == (0, 0, 0, 0)
        assert found.requests == sum(self.answers.values())
        assert found.errors == self.answers["timeout"]
        assert found.usage.count == self.answers["served"] + self.answers["broken"]
        assert found.attempts - found.failures - found.closed == found.size
        until(lambda: len(server.backends(APPLICATION)) == found.size)


def make_pool(server: PostgresServer, port: int | None = None, **options: Any) -> ConnectionPool[Any]:
    """A pool of psycopg connections to the server, or to what is at another port."""
    # A connection whose network is gone is given up after two seconds.
    conninfo = server.conninfo("app", port, application_name=APPLICATION, connect_timeout=2, tcp_user_timeout=2000)
    settings = {"name": "faults", "min_size": 2, "max_size": 4, "timeout": 60.0, "reconnect_max_delay": 0.2}
    return psycopg_factory(conninfo, autocommit=True).pool(**(settings | options))
