"""What a node gets of a pool: everything but its end, which is its owner's."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from nexus_core.connection_pool import ConnectionPool
from nexus_core.thread_pool import ThreadPool

__all__ = ["LentConnectionPool", "LentThreadPool", "lend"]

C = TypeVar("C")

_CONNECTIONS = (
    "aconnection",
    "agetconn",
    "aputconn",
    "connection",
    "discard",
    "get_stats",
    "getconn",
    "name",
    "putconn",
    "statistics",
)
_THREADS = ("map", "max_workers", "name", "queue_size", "statistics", "submit", "submit_with")


class _Lent:
    """Hands on what is named, and nothing else: a registry closes what has a ``close``."""

    _names: tuple[str, ...] = ()

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._pool, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._names]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pool!r})"


class LentConnectionPool(_Lent, Generic[C]):
    """A connection pool, lent to nodes: ``connection()``, ``aconnection()`` and figures, no ``close()``.

    Args:
        pool: The pool.
    """

    _names = _CONNECTIONS

    def __init__(self, pool: ConnectionPool[C]) -> None:
        super().__init__(pool)


class LentThreadPool(_Lent):
    """A thread pool, lent to nodes: ``submit()``, ``map()`` and figures, no ``shutdown()``.

    It goes wherever an executor is asked for only to submit: ``loop.run_in_executor``.

    Args:
        pool: The pool.
    """

    _names = _THREADS

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(pool)


@overload
def lend(pool: ConnectionPool[C]) -> LentConnectionPool[C]: ...


@overload
def lend(pool: ThreadPool) -> LentThreadPool: ...


def lend(pool: ConnectionPool[Any] | ThreadPool) -> LentConnectionPool[Any] | LentThreadPool:
    """A pool as nodes get it.

    Args:
        pool: The pool.

    Returns:
        What hands on all of it but its end.

    Raises:
        TypeError: If it is no pool of nexus-core's.
    """
    if isinstance(pool, ConnectionPool):
        return LentConnectionPool(pool)
    if isinstance(pool, ThreadPool):
        return LentThreadPool(pool)
    raise TypeError(f"a ConnectionPool or ThreadPool of nexus_core is needed, got {type(pool).__qualname__}")
