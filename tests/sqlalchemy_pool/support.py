"""A DBAPI driver that records what a pool does with its connections, and what tests do with threads."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Connection", "Driver", "DriverError", "figures", "in_threads", "until"]


class DriverError(Exception):
    """The database is away."""


class Cursor:
    """A cursor that finds nothing."""

    description = None
    rowcount = 0

    def execute(self, *_: object) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class Connection:
    """A connection that counts what was done with it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[str] = []

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor()

    def rollback(self) -> None:
        """Recorded."""
        self.calls.append("rollback")

    def commit(self) -> None:
        """Recorded."""
        self.calls.append("commit")

    def close(self) -> None:
        """Recorded."""
        self.calls.append("close")

    @property
    def closed(self) -> bool:
        """Whether it was closed, once."""
        assert self.calls.count("close") <= 1, "closed twice"
        return "close" in self.calls


class Driver:
    """Makes connections, unless its database is away."""

    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.away: BaseException | None = None
        self._numbers = itertools.count()

    def connect(self) -> Connection:
        """A new connection."""
        if self.away is not None:
            raise self.away
        connection = Connection(next(self._numbers))
        self.made.append(connection)
        return connection

    @property
    def open(self) -> int:
        """How many connections were made and not closed."""
        return sum(not connection.closed for connection in self.made)


def figures(pool: Any) -> tuple[int, int, int, int]:
    """A pool's size, idle connections, overflow and connections in use."""
    return pool.size(), pool.checkedin(), pool.overflow(), pool.checkedout()


def until(condition: Callable[[], bool], limit: float = 60.0) -> None:
    """Waits for what another thread is about to do."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def in_threads(*work: Callable[[], object], limit: float = 120.0) -> None:
    """Runs functions at the same time, and raises what the first of them raised."""
    failures: list[BaseException] = []

    def guarded(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(function,), daemon=True) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(limit)
        assert not thread.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]
