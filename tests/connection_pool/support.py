"""A server in this process that hands out connections, and can fail in every way."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from nexus_core import ConnectionPool

# A slow machine may take this long for what takes milliseconds.
PATIENCE = 30.0


def eventually(holds: Callable[[], object], what: str = "it never held") -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


class Down(Exception):
    """The server is away."""


class Connection:
    """A connection to a `Server`."""

    def __init__(self, server: Server, number: int) -> None:
        self.server = server
        self.number = number
        self.is_closed = False
        self.is_broken = False
        self.holders = 0

    def use(self) -> None:
        """Fails when two hold it at once, or when it is closed."""
        self.holders += 1
        assert self.holders == 1, f"{self!r} was handed out twice"
        assert not self.is_closed, f"{self!r} was handed out closed"

    def unuse(self) -> None:
        """The holder is done with it."""
        self.holders -= 1

    def close(self) -> None:
        """Closes it; once."""
        assert not self.is_closed, f"{self!r} was closed twice"
        self.is_closed = True

    def __repr__(self) -> str:
        return f"<connection {self.number}>"


class Server:
    """Makes connections, and knows all that it made."""

    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.is_down = False
        self.gate = threading.Event()
        self.gate.set()
        self.attempts = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def connect(self) -> Connection:
        """A new connection; waits while the gate is shut."""
        with self._lock:
            self.attempts += 1
        assert self.gate.wait(PATIENCE)
        if self.is_down:
            raise Down("connection refused")
        with self._lock:
            connection = Connection(self, next(self._numbers))
            self.made.append(connection)
        return connection

    @property
    def alive(self) -> list[Connection]:
        """Connections that were not closed."""
        return [connection for connection in self.made if not connection.is_closed]

    def stop(self) -> None:
        """Breaks all connections, and refuses new ones."""
        self.is_down = True
        for connection in self.made:
            connection.is_broken = True

    def start(self) -> None:
        """Accepts new connections again."""
        self.is_down = False


def check(connection: Connection) -> bool:
    """What a pool's check asks the server."""
    return not connection.is_broken


def pool_of(server: Server, **options: Any) -> ConnectionPool[Connection]:
    """A pool that recovers fast."""
    options.setdefault("reconnect_delay", 0.005)
    options.setdefault("reconnect_max_delay", 0.02)
    options.setdefault("timeout", PATIENCE)
    return ConnectionPool(server.connect, **options)


def at_rest(pool: ConnectionPool[Any]) -> None:
    """Nothing is out, nobody waits, and the figures add up, once all is done."""

    def settled() -> bool:
        seen = pool.statistics()
        return (seen.in_use, seen.waiting, seen.tended, seen.connecting) == (0, 0, 0, 0) and seen.size == seen.idle

    eventually(settled, f"never at rest: {pool!r}")


class Runner:
    """Runs a function on a thread, and hands on what it returns or raises."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._outcome: list[tuple[bool, Any]] = []

        def run() -> None:
            try:
                self._outcome.append((True, function(*args)))
            except BaseException as error:
                self._outcome.append((False, error))

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def result(self) -> Any:
        """What the function returned; raises what it raised."""
        self.thread.join(PATIENCE)
        assert self._outcome, "the thread hangs"
        is_good, value = self._outcome[0]
        if not is_good:
            raise value
        return value

    def error(self) -> BaseException:
        """What the function raised."""
        self.thread.join(PATIENCE)
        assert self._outcome, "the thread hangs"
        is_good, value = self._outcome[0]
        assert not is_good, f"it returned {value!r}"
        return value
