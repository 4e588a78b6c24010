"""Pools of this process, and those that stand for them in another: made again there, by the same factory.

Connections and threads belong to a process. A node that holds a pool, or is given one, gets one of its own process: once for
each pool and process, with the same options.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import weakref
from typing import Any

__all__ = ["PREFIX", "reduce_resource"]

#: Of the modules whose objects :func:`reduce_resource` is asked about.
PREFIX = "nexus_core."

#: Tells this process from others that have its number at another time.
_process = (os.getpid(), time.time_ns())
_numbers = itertools.count()

#: Pools by what they are called on their way, and the other way round.
_pools: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()
_tokens: weakref.WeakKeyDictionary[Any, tuple[Any, ...]] = weakref.WeakKeyDictionary()
#: Those that were made here for others' are kept: nobody else holds them between two nodes.
_made: dict[tuple[Any, ...], Any] = {}
_lock = threading.RLock()


def _in_child() -> None:
    """What is made from now on is another process's."""
    global _lock, _process
    _lock = threading.RLock()
    _process = (os.getpid(), time.time_ns())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def reduce_resource(value: Any) -> Any:
    """How a pool is pickled: as what makes one like it; ``NotImplemented`` for anything else.

    Args:
        value: An object of this package.
    """
    connections = sys.modules.get("nexus_core.connection_pool")
    if connections is not None and isinstance(value, connections.ConnectionPool):
        factory, options = value._made_with
        return _connection_pool, (_token_of(value), factory, options)
    threads = sys.modules.get("nexus_core.thread_pool")
    if threads is not None and type(value) is threads.ThreadPool:
        return _thread_pool, (_token_of(value), value.max_workers, value.name)
    return NotImplemented


def _token_of(pool: Any) -> tuple[Any, ...]:
    with _lock:
        token = _tokens.get(pool)
        if token is None:
            token = _tokens[pool] = (*_process, next(_numbers))
            _pools[token] = pool
        return token


def _connection_pool(token: tuple[Any, ...], factory: Any, options: dict[str, Any]) -> Any:
    from nexus_core.connection_pool import ConnectionPool

    return _again(token, lambda: ConnectionPool(factory, **options))


def _thread_pool(token: tuple[Any, ...], max_workers: int, name: str) -> Any:
    from nexus_core.thread_pool import ThreadPool

    return _again(token, lambda: ThreadPool(max_workers, name=name))


def _again(token: tuple[Any, ...], make: Any) -> Any:
    with _lock:
        pool = _pools.get(token)
        if pool is None:
            pool = make()
            _pools[token] = _made[token] = pool
            _tokens[pool] = token
        return pool
