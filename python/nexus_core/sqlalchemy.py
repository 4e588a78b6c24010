"""SQLAlchemy on a native pool: ``create_engine(url, poolclass=NativePool)``.

SQLAlchemy's own ``QueuePool`` wakes some waiting thread when a connection comes back, and
whoever is running takes the connection before that thread is there: the same few threads keep
the connections, and others wait a hundred times longer. Here a connection that comes back goes
to whoever has waited longest.

Needs SQLAlchemy 2: ``pip install nexus-core-rs[sqlalchemy]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from nexus_core._core import Rotation

try:
    from sqlalchemy import exc
    from sqlalchemy.pool import ConnectionPoolEntry, Pool
except ImportError as missing:
    raise ImportError(
        "nexus_core.sqlalchemy needs SQLAlchemy 2, which is not installed: pip install nexus-core-rs[sqlalchemy]"
    ) from missing

__all__ = ["NativePool"]

_CREATE = Rotation.CREATE

# A record's attribute: the process that made its connection.
_PROCESS = "_nexus_core_process"


class NativePool(Pool):
    """A pool for ``create_engine(poolclass=...)`` that serves threads first come, first served.

    It takes the arguments of SQLAlchemy's ``QueuePool`` and behaves like it, with the same events,
    except for who is served: the thread that has waited longest, also when a connection could
    not be made and its place becomes free. Connections are made by the thread that asks for one.

    A forked child begins with an empty pool, and leaves its parent's connections alone.

    For ``create_async_engine`` SQLAlchemy refuses it with an ``ArgumentError``: it blocks threads.

    Args:
        creator: Makes a DBAPI connection; ``create_engine`` passes it.
        pool_size: Connections that are kept while nobody needs them; 0 for no limit at all.
        max_overflow: Connections beyond these, closed when they come back and nobody waits; -1 for no
            limit.
        timeout: Seconds to wait for a connection (``create_engine`` calls it ``pool_timeout``);
            ``None`` to wait for ever.
        use_lifo: Whether the connection that came back last is used first
            (``pool_use_lifo``), so that the others may grow old.
        **options: What every SQLAlchemy pool takes: ``recycle``, ``pre_ping``, ``reset_on_return``,
            ``echo``, ``logging_name``, ``events``, ``dialect``.

    Raises:
        sqlalchemy.exc.ArgumentError: If ``pool_size`` is negative or ``timeout`` is.

    Example:
        >>> from sqlalchemy import create_engine, text
        >>> engine = create_engine("sqlite:///", poolclass=NativePool, pool_size=2, max_overflow=0)
        >>> with engine.begin() as connection:
        ...     connection.execute(text("select 6 * 7")).scalar()
        42
        >>> print(engine.pool.status())
        Pool size: 2  Connections in pool: 1 Current Overflow: -1 Current Checked out connections: 0
        >>> engine.dispose()
    """

    _is_asyncio = False

    def __init__(
        self,
        creator: Callable[..., Any],
        pool_size: int = 5,
        max_overflow: int = 10,
        timeout: float | None = 30.0,
        use_lifo: bool = False,
        **options: Any,
    ) -> None:
        if pool_size < 0:
            raise exc.ArgumentError(f"pool_size must be at least 0, 0 meaning no limit, got {pool_size}")
        if timeout is not None and not timeout >= 0:
            raise exc.ArgumentError(f"timeout must be at least 0 seconds, or None for no limit, got {timeout}")
        super().__init__(creator, **options)
        self._pool_size = pool_size
        # As SQLAlchemy's: without a size there is no limit either.
        self._max_overflow = -1 if pool_size == 0 else max_overflow
        self._timeout = timeout
        self._use_lifo = use_lifo
        self._rotation = Rotation(
            pool_size + max_overflow if self._max_overflow >= 0 else None,
            max_idle=pool_size or None,
            order="lifo" if use_lifo else "fifo",
        )

    # --- what SQLAlchemy asks of a pool -----------------------------------------------

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            record: ConnectionPoolEntry = self._rotation.acquire(self._timeout)
        except TimeoutError:
            raise self._timed_out() from None
        if record is not _CREATE:
            return record
        try:
            made = self._create_connection()
        except BaseException:
            self._rotation.forfeit()
            raise
        vars(made)[_PROCESS] = os.getpid()
        return made

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if vars(record).get(_PROCESS) != os.getpid():
            # From before a fork: it is the parent's, and so is its connection. The rotation
            # would take it for one that this process has just made, while there is such a one.
            return
        if not self._rotation.release(record):
            try:
                record.close()
            finally:
                # Only now: no more than may be are open at any time.
                self._rotation.forfeit(record)

    def recreate(self) -> NativePool:
        """A new pool with the same arguments and event listeners, without connections.

        Returns:
            The pool.
        """
        self.logger.info("Pool recreating")
        return self.__class__(
            self._creator,
            pool_size=self._pool_size,
            max_overflow=self._max_overflow,
            timeout=self._timeout,
            use_lifo=self._use_lifo,
            pre_ping=self._pre_ping,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """Closes the connections that nobody uses; the others come back as usual."""
        failure = None
        for record in self._rotation.drain():
            try:
                record.close()
            except BaseException as error:
                # The others are nobody's any more: closed here, or never.
                failure = failure or error
        self.logger.info("Pool disposed. %s", self.status())
        if failure is not None:
            raise failure

    # --- figures ----------------------------------------------------------------------

    def status(self) -> str:
        """One line of figures, in the words of SQLAlchemy's ``QueuePool``."""
        return (
            f"Pool size: {self.size()}  Connections in pool: {self.checkedin()} "
            f"Current Overflow: {self.overflow()} Current Checked out connections: {self.checkedout()}"
        )

    def size(self) -> int:
        """Connections that are kept while nobody needs them; 0 for no limit."""
        return self._pool_size

    def timeout(self) -> float | None:
        """Seconds that a thread waits for a connection, or ``None`` for ever."""
        return self._timeout

    def checkedin(self) -> int:
        """Connections that wait to be used."""
        return self._rotation.idle

    def checkedout(self) -> int:
        """Connections that are in use or are being made."""
        return self._rotation.in_use

    def overflow(self) -> int:
        """Connections beyond the pool's size; negative while there are fewer."""
        if not self._pool_size:
            return 0
        return self._rotation.idle + self._rotation.in_use - self._pool_size

    def waiting(self) -> int:
        """Threads that wait for a connection."""
        return self._rotation.waiting

    # Read by instruments that know `QueuePool`.
    @property
    def _overflow(self) -> int:
        return self._rotation.idle + self._rotation.in_use - self._pool_size

    def _timed_out(self) -> exc.TimeoutError:
        return exc.TimeoutError(
            f"{type(self).__name__} limit of size {self.size()} overflow {self.overflow()} reached, "
            f"connection timed out, timeout {self._timeout:0.2f}",
            code="3o7r",
        )
