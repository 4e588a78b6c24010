"""A pool of connections, or of anything else that a function makes.

Whoever waits is served in the order in which they came, threads and tasks of event
loops alike, and a newcomer never overtakes them. Connections are made, checked and
closed by the pool's own threads, so that a network that hangs keeps no caller longer
than its time-out.

>>> import sqlite3
>>> from nexus_core import ConnectionPool
>>> def connect():
...     return sqlite3.connect(":memory:", check_same_thread=False)
>>> with ConnectionPool(connect, name="example", max_size=4) as pool:
...     with pool.connection() as connection:
...         connection.execute("select 'hello'").fetchone()
('hello',)
"""

from __future__ import annotations

import atexit
import contextlib
import math
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from nexus_core import _pool_arguments as arguments
from nexus_core._core import _ConnectionPool, _dismiss_pools
from nexus_core._pool_async import AsyncCheckout, LoopHome, take, until
from nexus_core._pool_reports import Reporter, capture_stack, close_connection, log
from nexus_core.connection_statistics import ConnectionPoolStatistics
from nexus_core.durations import Durations
from nexus_core.errors import PoolClosed, PoolMisuse

__all__ = ["ConnectionPool", "ConnectionPoolStatistics", "Durations"]

C = TypeVar("C")

atexit.register(_dismiss_pools)


class ConnectionPool(_ConnectionPool, Generic[C]):
    """A pool of connections that a factory makes.

    Callers get an idle connection at once, or wait in line while one is made or comes
    back. Connections that break are replaced; while the server is away the pool tries
    again with growing pauses. With a coroutine function as factory the connections
    belong to one event loop, and `aconnection()` gives them out.

    After a fork the child begins with an empty pool, and leaves its parent's connections
    alone.

    Args:
        factory: Makes a new connection each time; a coroutine function for asynchronous
            drivers.
        name: The pool's name, in errors, logs and statistics.
        min_size: Connections that are there always.
        max_size: Connections that exist at most.
        timeout: Seconds that callers wait by default.
        max_idle: Seconds after which an unused connection is closed, as long as more than
            `min_size` exist; `None` for no limit.
        max_lifetime: Seconds after which a connection is replaced; `None` for no limit.
        max_lifetime_jitter: The share of `max_lifetime` by which it is cut at random.
        max_waiting: Callers that may wait at once; 0 for no limit.
        max_uses: How often a connection is used before it is replaced; `None` for no limit.
        check: Called with a connection before it is handed out: one for which it raises
            or returns `False` is replaced.
        reset: Called with a connection that comes back. If it raises, the connection is
            replaced and the error logged.
        close: Closes a connection; its `close()` method by default.
        is_broken: Called with a connection that comes back, which is replaced if this is
            true. It should only look, not ask the server, and is never a coroutine function.
        reconnect_delay: Seconds after a failed attempt to connect until the next one;
            doubled each time.
        reconnect_max_delay: The longest pause between attempts, in seconds.
        reconnect_timeout: Seconds of failures after which `reconnect_failed` is called.
        reconnect_failed: Called with the pool when it could not connect for so long. It
            goes on trying.
        leak_limit: Seconds after which a connection that is out is logged, once, with the
            stack of its checkout; `None` for never.
        order: Which idle connection is used next: `"lifo"` lets those that are not needed
            grow old, `"fifo"` uses all alike.
        threads: Threads of the pool's own that connect, check and close at once. There
            are more when some are stuck.
        check_in: `"pool"` has `check` run on the pool's threads, so that one that hangs
            keeps no caller, and one with a time-out of 0 gets nothing; `"caller"` runs it
            in the caller's thread, which is faster.
        asynchronous: Whether the factory's result is to be awaited; by default if it is a
            coroutine function.

    Raises:
        ValueError: If numbers make no sense or contradict each other.
        TypeError: If an argument is of the wrong kind.

    Example:
        >>> from nexus_core import ConnectionPool
        >>> pool = ConnectionPool(object, name="things", max_size=2)
        >>> with pool.connection() as one, pool.connection() as two:
        ...     one is two
        False
        >>> with pool.connection() as one, pool.connection() as two:
        ...     pool.getconn(timeout=0)
        Traceback (most recent call last):
            ...
        nexus_core.errors.PoolTimeout: no connection from pool 'things' within ... s: of at most 2 ...
        >>> pool.close()
    """

    _home: LoopHome | None
    _reporter: Reporter
    _popped: dict[str, int]
    _made_with: tuple[Callable[..., Any], dict[str, Any]]
    _lock: threading.Lock

    def __new__(
        cls,
        factory: Callable[[], C] | Callable[[], Awaitable[C]],
        *,
        name: str | None = None,
        min_size: int = 0,
        max_size: int = 10,
        timeout: float = 30.0,
        max_idle: float | None = 600.0,
        max_lifetime: float | None = 3600.0,
        max_lifetime_jitter: float = 0.1,
        max_waiting: int = 0,
        max_uses: int | None = None,
        check: Callable[[C], Any] | None = None,
        reset: Callable[[C], Any] | None = None,
        close: Callable[[C], Any] | None = None,
        is_broken: Callable[[C], bool] | None = None,
        reconnect_delay: float = 0.1,
        reconnect_max_delay: float = 5.0,
        reconnect_timeout: float | None = 300.0,
        reconnect_failed: Callable[[ConnectionPool[C]], object] | None = None,
        leak_limit: float | None = None,
        order: Literal["lifo", "fifo"] = "lifo",
        threads: int = 3,
        check_in: Literal["pool", "caller"] = "pool",
        asynchronous: bool | None = None,
    ) -> ConnectionPool[C]:
        given = {option: value for option, value in locals().items() if option not in ("cls", "factory", "__class__")}
        name = arguments.pool_name(name)
        if not callable(factory):
            raise TypeError(f"pool {name!r}: factory must be callable, got {factory!r}")
        hooks = {
            "factory": factory,
            "check": arguments.hook(name, "check", check),
            "reset": arguments.hook(name, "reset", reset),
            "close": arguments.hook(name, "close", close) or close_connection,
        }
        looks = {
            "is_broken": arguments.hook(name, "is_broken", is_broken),
            "reconnect_failed": arguments.hook(name, "reconnect_failed", reconnect_failed),
        }
        is_asynchronous = arguments.asynchronous(name, asynchronous, {**hooks, **looks})
        least, most = arguments.sizes(name, min_size, max_size)
        rules = {
            "min_size": least,
            "max_size": most,
            "max_waiting": arguments.count(name, "max_waiting", max_waiting, 0),
            "max_idle": arguments.limit(name, "max_idle", max_idle),
            "max_lifetime": arguments.limit(name, "max_lifetime", max_lifetime),
            "lifetime_jitter": arguments.share(name, "max_lifetime_jitter", max_lifetime_jitter),
            "max_uses": None if max_uses is None else arguments.count(name, "max_uses", max_uses, 1),
            "leak_limit": arguments.limit(name, "leak_limit", leak_limit),
            "reconnect_delay": arguments.seconds(name, "reconnect_delay", reconnect_delay),
            "reconnect_max_delay": arguments.seconds(name, "reconnect_max_delay", reconnect_max_delay),
            "reconnect_timeout": arguments.limit(name, "reconnect_timeout", reconnect_timeout),
            "order": arguments.choice(name, "order", order, ("lifo", "fifo")),
        }
        where = arguments.choice(name, "check_in", check_in, ("pool", "caller"))
        if where == "caller" and is_asynchronous:
            raise ValueError(f"pool {name!r}: check_in='caller' cannot be had with coroutine functions")
        rules["checks"] = check is not None and where == "pool"
        reporter = Reporter(name, looks["reconnect_failed"])
        self = super().__new__(
            cls,
            name=name,
            timeout=arguments.seconds(name, "timeout", timeout, zero=True),
            threads=arguments.count(name, "threads", threads, 1),
            asynchronous=is_asynchronous,
            check_in_caller=check is not None and where == "caller",
            rules=rules,
            hooks={
                **hooks,
                "is_broken": looks["is_broken"],
                "report": reporter,
                "stack": capture_stack,
            },
        )
        reporter.watch(self)
        # For a pool like it in another process.
        self._made_with = (factory, {**given, "name": name})
        self._reporter = reporter
        self._popped = {}
        self._lock = threading.Lock()
        self._home = LoopHome(self, hooks) if is_asynchronous else None
        if not is_asynchronous:
            self._start()
        return self

    # What is native, with its own documentation; typed by what the factory makes.
    if TYPE_CHECKING:

        def connection(self, timeout: float | None = None) -> AbstractContextManager[C]: ...  # type: ignore[override]
        def getconn(self, timeout: float | None = None) -> C: ...
        def putconn(self, connection: C, broken: bool = False) -> None: ...
        def discard(self, connection: C) -> None: ...
        def drain(self) -> None: ...

    else:
        connection = _ConnectionPool.connection
        getconn = _ConnectionPool.getconn
        putconn = _ConnectionPool.putconn
        discard = _ConnectionPool.discard
        drain = _ConnectionPool.drain

    def aconnection(self, timeout: float | None = None) -> AsyncCheckout[C]:
        """A connection for the length of an ``async with`` block.

        It stands in the same line as callers on threads. A task that is cancelled while
        it waits loses nothing: what it was given goes to the next.

        Args:
            timeout: Seconds to wait for a connection; the pool's own by default.

        Returns:
            An asynchronous context manager that gives the connection.

        Raises:
            PoolTimeout: On entering, if none came in time.
            TooManyWaiting: On entering, if `max_waiting` callers wait already.
            PoolClosed: On entering, if the pool is closed or gets closed meanwhile.
            PoolMisuse: On entering, if the connections belong to another event loop.

        Example:
            >>> import asyncio
            >>> from nexus_core import ConnectionPool
            >>> async def connect():
            ...     return "a connection"
            >>> async def main():
            ...     async with ConnectionPool(connect) as pool:
            ...         async with pool.aconnection() as connection:
            ...             return connection
            >>> asyncio.run(main())
            'a connection'
        """
        return AsyncCheckout(self, self._patience(timeout))

    async def agetconn(self, timeout: float | None = None) -> C:
        """Takes a connection out until `aputconn()` brings it back.

        Args:
            timeout: Seconds to wait for a connection; the pool's own by default.

        Returns:
            The connection.

        Raises:
            PoolTimeout: If none came in time.
            TooManyWaiting: If `max_waiting` callers wait already.
            PoolClosed: If the pool is closed or gets closed meanwhile.
            PoolMisuse: If the connections belong to another event loop.

        Example:
            >>> import asyncio
            >>> from nexus_core import ConnectionPool
            >>> async def main():
            ...     async with ConnectionPool(object) as pool:
            ...         connection = await pool.agetconn()
            ...         await pool.aputconn(connection)
            >>> asyncio.run(main())
        """
        checkout = self._checkout()
        connection: C = await take(self, checkout, self._patience(timeout))
        checkout._release_to_holder()
        return connection

    async def aputconn(self, connection: C, broken: bool = False) -> None:
        """Brings a connection back that `agetconn()` took out.

        Args:
            connection: The connection.
            broken: Whether it is to be replaced instead of used again.

        Raises:
            ForeignConnection: If it is not the pool's, or was returned already.

        Example:
            >>> import asyncio
            >>> from nexus_core import ConnectionPool
            >>> async def main():
            ...     async with ConnectionPool(object) as pool:
            ...         await pool.aputconn(await pool.agetconn(), broken=True)
            >>> asyncio.run(main())
        """
        self._putconn_later(connection, broken)

    def wait(self, timeout: float = 30.0) -> None:
        """Waits until `min_size` connections are there.

        Args:
            timeout: Seconds to wait.

        Raises:
            PoolTimeout: If they were not there in time; the pool goes on trying.
            PoolClosed: If the pool is closed.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> with ConnectionPool(object, min_size=2) as pool:
            ...     pool.wait()
            ...     pool.get_stats()["pool_available"]
            2
        """
        self._refuse_if_asynchronous("wait()", "await_ready()")
        limit = arguments.seconds(self.name, "timeout", timeout, zero=True)
        if not self._wait_filled(limit):
            raise self._too_late(limit)
        self._refuse_if_closed()

    async def await_ready(self, timeout: float = 30.0) -> None:
        """Waits until `min_size` connections are there, as `wait()` does.

        Args:
            timeout: Seconds to wait.

        Raises:
            PoolTimeout: If they were not there in time; the pool goes on trying.
            PoolClosed: If the pool is closed.
            PoolMisuse: If the connections belong to another event loop.

        Example:
            >>> import asyncio
            >>> from nexus_core import ConnectionPool
            >>> async def main():
            ...     async with ConnectionPool(object, min_size=2) as pool:
            ...         await pool.await_ready()
            ...         return pool.get_stats()["pool_available"]
            >>> asyncio.run(main())
            2
        """
        self._at_home()
        limit = arguments.seconds(self.name, "timeout", timeout, zero=True)
        if not await until(self, limit, lambda: self._is_filled or self.closed):
            raise self._too_late(limit)
        self._refuse_if_closed()

    def check(self) -> None:
        """Has all idle connections checked, and those replaced that are broken.

        It does not wait for that. Without `check` it does nothing.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> with ConnectionPool(object, check=lambda connection: True) as pool:
            ...     pool.check()
        """
        self._check()

    def resize(self, min_size: int, max_size: int | None = None) -> None:
        """Other bounds for the number of connections.

        Idle connections that are too many are closed; those that are out are closed when
        they come back.

        Args:
            min_size: Connections that are there always.
            max_size: Connections that exist at most; as before by default.

        Raises:
            ValueError: If the two contradict each other; nothing changes then.
            TypeError: If they are no whole numbers.
            PoolClosed: If the pool is closed.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> with ConnectionPool(object) as pool:
            ...     pool.resize(1, 20)
            ...     pool.min_size, pool.max_size
            (1, 20)
        """
        least, most = arguments.sizes(self.name, min_size, self.max_size if max_size is None else max_size)
        self._refuse_if_closed()
        self._resize(least, most)

    def close(self, timeout: float = 5.0) -> None:
        """Closes the pool and its idle connections.

        Callers that wait get `PoolClosed` at once. Connections that are out are closed
        when they come back.

        Args:
            timeout: Seconds to wait for the connections to be closed; if that takes
                longer it is logged, and goes on.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> pool = ConnectionPool(object, name="ended")
            >>> pool.close()
            >>> pool.getconn()
            Traceback (most recent call last):
                ...
            nexus_core.errors.PoolClosed: pool 'ended' is closed; make a new one
        """
        self._refuse_if_asynchronous("close()", "aclose()")
        limit = arguments.seconds(self.name, "timeout", timeout, zero=True)
        self._say_if_late(self._close(limit), limit)

    async def aclose(self, timeout: float = 5.0) -> None:
        """Closes the pool and its idle connections, as `close()` does.

        Args:
            timeout: Seconds to wait for the connections to be closed; if that takes
                longer it is logged, and goes on.

        Raises:
            PoolMisuse: If the connections belong to another event loop.

        Example:
            >>> import asyncio
            >>> from nexus_core import ConnectionPool
            >>> async def main():
            ...     pool = ConnectionPool(object)
            ...     await pool.aclose()
            ...     return pool.closed
            >>> asyncio.run(main())
            True
        """
        self._at_home()
        limit = arguments.seconds(self.name, "timeout", timeout, zero=True)
        self._close(0)
        self._say_if_late(await until(self, limit, lambda: self._is_wound_up), limit)

    def get_stats(self) -> dict[str, int]:
        """Figures under psycopg_pool's names, and some more.

        Returns:
            `pool_min`, `pool_max`, `pool_size`, `pool_available` and `requests_waiting` as
            they are now; `requests_num`, `requests_queued`, `requests_wait_ms`,
            `requests_errors`, `usage_ms`, `returns_bad`, `connections_num`,
            `connections_ms`, `connections_errors` and `connections_lost` since the pool
            was made or `pop_stats()` was called. Of its own: `pool_in_use`, `pool_tended`,
            `pool_connecting`, `requests_cancelled`, `returns_dropped`,
            `connections_closed` and `leaks`.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> with ConnectionPool(object) as pool:
            ...     with pool.connection():
            ...         pool.get_stats()["pool_size"]
            1
        """
        with self._lock:
            counters = self._counters()
            popped = self._popped
        return self._measures() | {name: value - popped.get(name, 0) for name, value in counters.items()}

    def pop_stats(self) -> dict[str, int]:
        """As `get_stats()`, and begins to count anew.

        Returns:
            The figures until now.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> with ConnectionPool(object) as pool:
            ...     with pool.connection():
            ...         pass
            ...     pool.pop_stats()["requests_num"], pool.get_stats()["requests_num"]
            (1, 0)
        """
        with self._lock:
            counters = self._counters()
            popped, self._popped = self._popped, counters
        return self._measures() | {name: value - popped.get(name, 0) for name, value in counters.items()}

    def statistics(self) -> ConnectionPoolStatistics:
        """The pool's state, and what happened since it was made.

        Returns:
            Counts and histograms.

        Example:
            >>> from nexus_core import ConnectionPool
            >>> with ConnectionPool(object, name="busy") as pool:
            ...     with pool.connection():
            ...         pass
            ...     statistics = pool.statistics()
            >>> statistics.usage.count, statistics.idle
            (1, 1)
        """
        counters = self._counters()
        wait, usage, connect = (Durations(**seen) for seen in self._histograms())
        error = self._last_error()
        return ConnectionPoolStatistics(
            name=self.name,
            **self._gauges(),
            requests=counters["requests_num"],
            queued=counters["requests_queued"],
            errors=counters["requests_errors"],
            cancelled=counters["requests_cancelled"],
            returns_bad=counters["returns_bad"],
            returns_dropped=counters["returns_dropped"],
            attempts=counters["connections_num"],
            failures=counters["connections_errors"],
            lost=counters["connections_lost"],
            closed=counters["connections_closed"],
            leaks=counters["leaks"],
            wait=wait,
            usage=usage,
            connect=connect,
            last_error=None if error is None else f"{type(error).__name__}: {error}",
        )

    def __enter__(self) -> ConnectionPool[C]:
        """The pool itself; it is closed at the end of the block."""
        self._refuse_if_asynchronous("with", "async with")
        self._refuse_if_closed()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Closes the pool."""
        self.close()

    async def __aenter__(self) -> ConnectionPool[C]:
        """The pool itself; it is closed at the end of the block."""
        self._refuse_if_closed()
        self._at_home()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Closes the pool."""
        await self.aclose()

    def __repr__(self) -> str:
        """The pool's name and state."""
        if self.closed:
            return f"<ConnectionPool {self.name!r} closed>"
        seen = self._gauges()
        return (
            f"<ConnectionPool {self.name!r}: {seen['in_use']} in use, {seen['idle']} idle, "
            f"at most {seen['max_size']}; {seen['waiting']} waiting>"
        )

    def __del__(self) -> None:
        """Closes what is left open; nobody waits for that."""
        # A pool whose arguments were refused has nothing to close.
        with contextlib.suppress(AttributeError):
            self._close(0)

    def _measures(self) -> dict[str, int]:
        seen = self._gauges()
        return {
            "pool_min": seen["min_size"],
            "pool_max": seen["max_size"],
            "pool_size": seen["size"],
            "pool_available": seen["idle"],
            "requests_waiting": seen["waiting"],
            "pool_in_use": seen["in_use"],
            "pool_tended": seen["tended"],
            "pool_connecting": seen["connecting"],
        }

    def _patience(self, timeout: float | None) -> float:
        if timeout is None:
            return self.timeout
        if math.isnan(timeout) or timeout < 0:
            raise ValueError(f"timeout must be a number of seconds of at least 0, got {timeout}")
        return timeout

    def _at_home(self) -> None:
        if self._home is not None:
            self._home.enter()

    def _refuse_if_asynchronous(self, called: str, instead: str) -> None:
        if self.asynchronous:
            raise PoolMisuse(self.name, f"{called} cannot wait for coroutine functions; use {instead}")

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise PoolClosed(self.name)

    def _say_if_late(self, in_time: bool, limit: float) -> None:
        if not in_time:
            log.warning("pool %r: connections were not closed within %g s", self.name, limit)
