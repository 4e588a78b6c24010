"""``PooledResourceFactory``: Kailash's registry makes a pool when a node first asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kailash.resources import ResourceFactory

from nexus_core.connection_factories import ConnectionFactory
from nexus_core.connection_pool import ConnectionPool
from nexus_core.resources.lent import LentConnectionPool, LentThreadPool, lend
from nexus_core.thread_pool import ThreadPool

__all__ = ["PooledResourceFactory"]


class PooledResourceFactory(ResourceFactory):
    """Gives a workflow's nodes a pool through the runtime's resource registry.

    A node gets it by ``pool = await get_resource('db')``, and a connection by
    ``async with pool.aconnection() as connection`` or, for a driver that blocks,
    ``with pool.connection() as connection``.

    A pool that is given stays the caller's to close. One that is made of a connection factory is
    made when it is first asked for, and closed when the registry cleans up (which
    :meth:`register` sees to).

    Args:
        pool: A ``ConnectionPool`` or ``ThreadPool``, or what makes connections: a
            :class:`nexus_core.connection_factories.ConnectionFactory` or any callable.
        **options: Arguments of the ``ConnectionPool`` that is made.

    Raises:
        TypeError: If ``pool`` is neither, or options are given for a pool that exists already.

    Example:
        >>> import asyncio
        >>> from kailash.resources import ResourceRegistry
        >>> from nexus_core.resources import PooledResourceFactory, sqlite_factory
        >>> import tempfile, os
        >>> folder = tempfile.TemporaryDirectory()
        >>> registry = ResourceRegistry()
        >>> factory = PooledResourceFactory(sqlite_factory(os.path.join(folder.name, "app.db")), max_size=4)
        >>> factory.register(registry, "db")
        >>> async def node():
        ...     pool = await registry.get_resource("db")
        ...     with pool.connection() as connection:
        ...         return connection.execute("select 6 * 7").fetchone()
        >>> asyncio.run(node())
        (42,)
        >>> asyncio.run(registry.cleanup())
        >>> folder.cleanup()
    """

    def __init__(self, pool: ConnectionPool[Any] | ThreadPool | Callable[[], Any], **options: Any) -> None:
        if isinstance(pool, ConnectionPool | ThreadPool):
            if options:
                raise TypeError(
                    f"pool {pool.name!r} exists already and takes no options, got {', '.join(sorted(options))}"
                )
        elif not callable(pool):
            raise TypeError(f"a pool, or a callable that makes connections, is needed, got {type(pool).__qualname__}")
        self._source = pool
        self._options = options
        self._made: ConnectionPool[Any] | None = None

    async def create(self) -> LentConnectionPool[Any] | LentThreadPool:
        """The pool as nodes get it; Kailash's registry calls this.

        Returns:
            What hands on all of the pool but its end.
        """
        source = self._source
        if isinstance(source, ConnectionPool | ThreadPool):
            return lend(source)
        if self._made is None:
            self._made = (
                source.pool(**self._options)
                if isinstance(source, ConnectionFactory)
                else ConnectionPool(source, **self._options)
            )
        return lend(self._made)

    def get_config(self) -> dict[str, Any]:
        """What it is, for people; Kailash's registry calls this.

        Returns:
            Values that JSON knows, without secrets.
        """
        source = self._source
        if isinstance(source, ConnectionPool | ThreadPool):
            return {"pool": source.name, "kind": type(source).__name__, "shared": True}
        plain = {name: value for name, value in self._options.items() if isinstance(value, str | int | float | bool)}
        described = (
            source.described
            if isinstance(source, ConnectionFactory)
            else {"factory": getattr(source, "__qualname__", type(source).__qualname__)}
        )
        return {**described, **plain, "shared": False}

    def register(self, registry: Any, name: str) -> None:
        """Registers itself, so that cleaning the registry up closes what it has made.

        Args:
            registry: A ``kailash.resources.ResourceRegistry``.
            name: What nodes call it.

        Raises:
            ValueError: If the registry has a resource of that name.
        """
        if registry.has_factory(name):
            raise ValueError(f"there is a resource {name!r} already; give this one another name")
        registry.register_factory(name, self, cleanup_handler=self.cleanup)

    async def cleanup(self, resource: object = None) -> None:
        """Closes the pool that it has made, if any, without holding the event loop up.

        Args:
            resource: What :meth:`create` returned; the registry passes it.
        """
        made, self._made = self._made, None
        if made is not None:
            if made.asynchronous:
                await made.aclose()
            else:
                await asyncio.to_thread(made.close)
