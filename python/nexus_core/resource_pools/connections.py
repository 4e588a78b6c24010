"""A connection pool as the guide has it, on the native one."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, TypeVar

from nexus_core.connection_pool import ConnectionPool

__all__ = ["ManagedConnectionPool"]

C = TypeVar("C")


class ManagedConnectionPool(Generic[C]):
    """A connection pool with the guide's methods; ``ResourcePoolManager.create_connection_pool`` makes it.

    Args:
        pool: The native pool, which does the work.
    """

    def __init__(self, pool: ConnectionPool[C]) -> None:
        self.pool = pool
        self.name = pool.name
        self._since = time.monotonic()

    @property
    def size(self) -> int:
        """Connections that are there always."""
        return self.pool.min_size

    @property
    def max_size(self) -> int:
        """Connections that may exist at once."""
        return self.pool.max_size

    @property
    def active_connections(self) -> int:
        """Connections that are in use."""
        return self.pool.statistics().in_use

    @property
    def total_created(self) -> int:
        """Connections that have been made so far."""
        return self.pool.statistics().connect.count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size}, max_size={self.max_size})"

    def get_connection(self, timeout: float | None = 5) -> C:
        """A connection of the pool, to be given back by :meth:`return_connection`.

        Args:
            timeout: Seconds to wait for one; ``None`` for the pool's own limit.

        Returns:
            The connection.

        Raises:
            nexus_core.errors.PoolTimeout: If there was none in time.
            nexus_core.errors.PoolClosed: If the pool is closed.
        """
        connection: C = self.pool.getconn(timeout)
        return connection

    def return_connection(self, connection: C) -> None:
        """Gives a connection back; the one who has waited longest gets it.

        Args:
            connection: What :meth:`get_connection` returned.

        Raises:
            nexus_core.errors.PoolError: If it is not one that is out.
        """
        self.pool.putconn(connection)

    def connection(self, timeout: float | None = None) -> AbstractContextManager[C]:
        """A connection for a ``with`` block.

        Args:
            timeout: Seconds to wait for one; ``None`` for the pool's own limit.

        Returns:
            What gives it and takes it back.
        """
        return self.pool.connection(timeout)

    def aconnection(self, timeout: float | None = None) -> AbstractAsyncContextManager[C]:
        """A connection for an ``async with`` block.

        Args:
            timeout: Seconds to wait for one; ``None`` for the pool's own limit.

        Returns:
            What gives it and takes it back.
        """
        return self.pool.aconnection(timeout)

    def get_pool_stats(self) -> dict[str, Any]:
        """Figures under the guide's names.

        Returns:
            ``pool_name``, ``pool_size``, ``max_size``, ``available`` (idle connections), ``active``
            (connections in use), ``total_created`` and ``utilization_percent`` (of ``max_size``).
        """
        figures = self.figures()
        return {
            "pool_name": self.name,
            "pool_size": self.size,
            "max_size": self.max_size,
            "available": figures["idle"],
            "active": figures["in_use"],
            "total_created": figures["connections_made"],
            "utilization_percent": figures["in_use"] / self.max_size * 100,
        }

    def figures(self) -> dict[str, Any]:
        """What the pool has measured since it was made.

        Returns:
            Counts, the seconds since it was made, and ``wait`` and ``usage`` as
            :class:`nexus_core.durations.Durations`.
        """
        measured = self.pool.statistics()
        return {
            "seconds": time.monotonic() - self._since,
            "idle": measured.idle,
            "in_use": measured.in_use,
            "waiting": measured.waiting,
            "checkouts": measured.requests,
            "checkout_errors": measured.errors,
            # Attempts that are still to begin count as `connecting`, too.
            "connections_made": measured.connect.count,
            "connection_errors": measured.failures,
            "connections_lost": measured.lost + measured.returns_bad + measured.returns_dropped,
            "wait": measured.wait,
            "usage": measured.usage,
        }
