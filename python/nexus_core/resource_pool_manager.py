"""``ResourcePoolManager``: pools of connections and threads for a Nexus app."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_core.errors import PoolError, ShutdownTimeout
from nexus_core.resource_pools import allocation, health, prometheus
from nexus_core.resource_pools.names import checked_count, checked_name

if TYPE_CHECKING:
    from nexus_core.connection_pool import ConnectionPool
    from nexus_core.resource_pools import ManagedConnectionPool, ManagedThreadPool
    from nexus_core.thread_pool import ThreadPool

__all__ = ["ResourcePoolManager"]

_log = logging.getLogger("nexus_core.resource_pools")


class ResourcePoolManager:
    """Manages an app's pools of connections and threads, with real ones behind the guide's methods.

    A pool is a resource of the app's workflows under its name: ``await get_resource('database')``
    in an asynchronous node gives it, once the app is attached (``nexus_core.attach``, before or
    after). Its figures are in the app's ``/metrics`` where prometheus_client is installed. All pools
    close with the app, or with :meth:`close`.

    Args:
        nexus_app: An open ``nexus.Nexus``, which has no other manager.
        data_path: The SQLite file of pools that are given no factory. Nexus itself has no
            place for an app's data; the default is ``~/.kailash/nexus/<name of the app>.db``, beside
            where Kailash keeps its run history.

    Attributes:
        app: The app.
        connection_pools: Connection pools by name; each has ``get_connection``,
            ``return_connection``, ``connection``, ``aconnection`` and ``get_pool_stats``.
        thread_pools: Thread pools by name; each has ``submit_task``, ``get_result`` and
            ``get_pool_stats``.
        resource_stats: What :meth:`get_overall_performance_stats` last returned.
        pool_lock: Held while pools are made and closed.
        data_path: As given.

    Raises:
        TypeError: If ``nexus_app`` is no Nexus app.
        nexus_core.errors.NexusCoreError: If the app is closed, or has a manager.

    Example:
        >>> import tempfile, os
        >>> from nexus import Nexus
        >>> import nexus_core
        >>> from nexus_core import ResourcePoolManager
        >>> folder = tempfile.TemporaryDirectory()
        >>> app = Nexus(enable_durability=False)
        >>> report = nexus_core.attach(app)
        >>> manager = ResourcePoolManager(app, data_path=os.path.join(folder.name, "app.db"))
        >>> manager.create_connection_pool("database", 2, 5)["max_size"]
        5
        >>> with manager.connection_pools["database"].connection() as connection:
        ...     connection.execute("select 6 * 7").fetchone()
        (42,)
        >>> manager.create_thread_pool("work", 2, 50)["thread_count"]
        2
        >>> future = manager.thread_pools["work"].submit_task(max, 3, 4)
        >>> manager.thread_pools["work"].get_result()
        ('success', 4)
        >>> manager.get_overall_performance_stats()["overall_health"]
        'good'
        >>> app.close()
        >>> folder.cleanup()
    """

    def __init__(self, nexus_app: Any, *, data_path: str | PathLike[str] | None = None) -> None:
        from nexus_core.resource_pools.app_plugin import join

        self.app = nexus_app
        self.connection_pools: dict[str, ManagedConnectionPool[Any]] = {}
        self.thread_pools: dict[str, ManagedThreadPool] = {}
        self.resource_stats: dict[str, Any] = {}
        self.pool_lock = threading.Lock()
        self._closed = False
        self._membership = join(nexus_app, self)
        self.data_path = (
            Path(data_path)
            if data_path is not None
            else Path.home() / ".kailash" / "nexus" / f"{_as_file_name(self.app_name)}.db"
        )
        prometheus.show(self)

    @property
    def app_name(self) -> str:
        """What the app calls itself; a label in its metrics."""
        return str(getattr(self.app, "name", "nexus"))

    @property
    def closed(self) -> bool:
        """Whether the manager was closed, or the app."""
        return self._closed

    def create_connection_pool(
        self,
        pool_name: str,
        pool_size: int = 10,
        max_connections: int = 50,
        factory: Callable[[], Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Makes a pool of connections, and a resource of the app's workflows.

        Args:
            pool_name: Its name, which no other resource of the app has.
            pool_size: Connections that are there always.
            max_connections: Connections that may exist at once.
            factory: Makes a connection: one of ``nexus_core.connection_factories``, which brings
                its hooks along, or any callable. Without one, connections to SQLite at :attr:`data_path`.
            options: Further arguments of ``ConnectionPool``.

        Returns:
            The new pool's ``get_pool_stats()``.

        Raises:
            TypeError: If a number is none, or an option is unknown.
            ValueError: If the name is taken, or the numbers contradict each other.
            nexus_core.errors.PoolError: If the app is closed.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     manager.create_connection_pool("database", 1, 5)["max_size"]
            5
        """
        from nexus_core.connection_factories import ConnectionFactory, sqlite_factory
        from nexus_core.connection_pool import ConnectionPool
        from nexus_core.resource_pools.connections import ManagedConnectionPool

        name = checked_name(pool_name)
        size = checked_count(name, "pool_size", pool_size, 0)
        limit = checked_count(name, "max_connections", max_connections, 1)
        if size > limit:
            raise ValueError(f"pool {name!r}: pool_size {size} is more than max_connections {limit}")
        for taken in ("name", "min_size", "max_size"):
            if taken in options:
                raise TypeError(f"pool {name!r}: {taken} is given by pool_name, pool_size and max_connections")
        with self.pool_lock:
            self._check_free(name)
            if factory is None:
                self.data_path.parent.mkdir(parents=True, exist_ok=True)
                factory = sqlite_factory(self.data_path)
            if isinstance(factory, ConnectionFactory):
                options = factory.arguments(options)
            pool = ConnectionPool(factory, name=name, min_size=size, max_size=limit, **options)
            managed = ManagedConnectionPool(pool)
            self._add(name, pool, pool.close)
            self.connection_pools[name] = managed
        return managed.get_pool_stats()

    def create_thread_pool(
        self, pool_name: str, thread_count: int = 5, max_queue_size: int = 100, **options: Any
    ) -> dict[str, Any]:
        """Makes a pool of threads, and a resource of the app's workflows.

        Args:
            pool_name: Its name, which no other resource of the app has.
            thread_count: Threads that it may have.
            max_queue_size: Tasks that may wait; whoever submits more waits, unless ``when_full``
                says otherwise.
            options: Further arguments of ``ThreadPool``.

        Returns:
            The new pool's ``get_pool_stats()``.

        Raises:
            TypeError: If a number is none, or an option is unknown.
            ValueError: If the name is taken, or a number is too small.
            nexus_core.errors.PoolError: If the app is closed.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     manager.create_thread_pool("work", 2, 50)["thread_count"]
            2
        """
        from nexus_core.resource_pools.threads import ManagedThreadPool
        from nexus_core.thread_pool import ThreadPool

        name = checked_name(pool_name)
        threads = checked_count(name, "thread_count", thread_count, 1)
        queue = checked_count(name, "max_queue_size", max_queue_size, 1)
        for taken in ("name", "max_workers"):
            if taken in options:
                raise TypeError(f"pool {name!r}: {taken} is given by pool_name and thread_count")
        with self.pool_lock:
            self._check_free(name)
            pool = ThreadPool(threads, max_queue_size=queue, name=name, **options)
            managed = ManagedThreadPool(pool)
            self._add(name, pool, lambda: pool.shutdown(wait=False))
            self.thread_pools[name] = managed
        return managed.get_pool_stats()

    def optimize_resource_allocation(self, workload_profile: Mapping[str, Any]) -> dict[str, Any]:
        """Recommends sizes for a workload.

        For a pool that was used, from its own histograms by Little's law; for what was not
        measured, by the guide's formulas. Every recommendation says which in ``based_on``
        (``"measured"`` or ``"guide"``), and gives its ``figures``.

        Args:
            workload_profile: ``cpu_intensive``, ``io_intensive`` and ``concurrent_requests`` of the
                workload, as far as known.

        Returns:
            ``connection_pools`` and ``thread_pools`` by name, and ``resource_limits``.

        Raises:
            TypeError: If the profile is no mapping, or ``concurrent_requests`` no whole number.
            ValueError: If ``concurrent_requests`` is below 1.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     found = manager.optimize_resource_allocation({"io_intensive": True, "concurrent_requests": 10})
            >>> database = found["connection_pools"]["database"]
            >>> database["pool_size"], database["max_connections"], database["based_on"]
            (20, 40, 'guide')
        """
        return allocation.recommend(
            workload_profile,
            {name: pool.figures() for name, pool in list(self.connection_pools.items())},
            {name: pool.figures() for name, pool in list(self.thread_pools.items())},
        )

    def get_overall_performance_stats(self) -> dict[str, Any]:
        """The figures of all pools, and how they do.

        Returns:
            ``connection_pools`` and ``thread_pools`` by name, each with its ``get_pool_stats()``,
            and ``overall_health``: ``"good"``, ``"needs_attention"`` where a connection pool does
            not keep up, ``"needs_optimization"`` where a thread pool does not. Why, says
            :meth:`health_problems`.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     manager.get_overall_performance_stats()["overall_health"]
            'good'
        """
        connections = {name: pool.get_pool_stats() for name, pool in list(self.connection_pools.items())}
        threads = {name: pool.get_pool_stats() for name, pool in list(self.thread_pools.items())}
        self.resource_stats = {
            "connection_pools": connections,
            "thread_pools": threads,
            "overall_health": health.verdict(self._complaints()),
        }
        return self.resource_stats

    def health_problems(self) -> list[str]:
        """What keeps ``overall_health`` from being good, with the figures.

        Returns:
            A sentence for each problem.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     manager.health_problems()
            []
        """
        return [text for _, text in self._complaints()]

    def close(self, timeout: float = 5.0) -> None:
        """Closes all pools, and takes them out of the app's resources and metrics.

        The app does it when it stops or closes. Tasks that have not begun by the end of the time
        are cancelled; one that runs, and a connection that is in use, is left to itself. A second
        call does nothing.

        Args:
            timeout: Seconds to wait for the tasks of each thread pool to end, and for the idle
                connections of each connection pool to be closed.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     manager.close()
            ...     manager.closed
            True
        """
        connections, threads = self._leave()
        for managed in threads:
            _end(managed.name, partial(_shut_down, managed.pool, timeout))
        for connection_pool in connections:
            pool = connection_pool.pool
            # Of one that belongs to an event loop, the loop closes the connections later.
            _end(pool.name, partial(pool._close, 0) if pool.asynchronous else partial(pool.close, timeout))

    async def aclose(self, timeout: float = 5.0) -> None:
        """Closes all pools as :meth:`close` does, without holding the event loop up.

        Pools of coroutine functions that belong to this loop are waited for, too.

        Args:
            timeout: As for :meth:`close`.

        Example:
            >>> import asyncio
            >>> from nexus import Nexus
            >>> from nexus_core import ResourcePoolManager
            >>> with Nexus(enable_durability=False) as app:
            ...     manager = ResourcePoolManager(app)
            ...     asyncio.run(manager.aclose())
        """
        loop = asyncio.get_running_loop()
        here = [pool for pool in self.connection_pools.values() if _belongs_to(pool.pool, loop)]
        await asyncio.to_thread(self.close, timeout)
        for managed in here:
            try:
                await managed.pool.aclose(timeout)
            except Exception:
                _log.exception("pool %r did not close", managed.name)

    def _leave(self) -> tuple[list[ManagedConnectionPool[Any]], list[ManagedThreadPool]]:
        """Takes the pools from the app; the second time there are none."""
        with self.pool_lock:
            if self._closed:
                return [], []
            self._closed = True
            pools = list(self.connection_pools.values()), list(self.thread_pools.values())
        self._membership.leave(self.app)
        prometheus.hide(self)
        return pools

    def _complaints(self) -> list[tuple[str, str]]:
        connections = {
            name: (pool.get_pool_stats(), pool.figures()) for name, pool in list(self.connection_pools.items())
        }
        threads = {name: (pool.get_pool_stats(), pool.figures()) for name, pool in list(self.thread_pools.items())}
        return health.complaints(connections, threads)

    def _check_free(self, name: str) -> None:
        if self._closed:
            raise PoolError(name, f"pool {name!r} was not made: the app's pools are closed")
        for kind, pools in (("connection", self.connection_pools), ("thread", self.thread_pools)):
            if name in pools:
                raise ValueError(f"there is a {kind} pool {name!r} already: {pools[name]!r}")
        if self._membership.resources.has(name):
            raise ValueError(f"the app has a resource {name!r} already; give the pool another name")

    def _add(self, name: str, pool: Any, end: Callable[[], object]) -> None:
        try:
            self._membership.resources.add(name, pool)
        except BaseException:
            end()
            raise
        if not self._membership.resources.reaches_workflows:
            _log.info("pool %r is no resource of the app's workflows before nexus_core.attach(app)", name)


def _belongs_to(pool: ConnectionPool[Any], loop: asyncio.AbstractEventLoop) -> bool:
    return pool._home is not None and pool._home._loop is loop


def _shut_down(pool: ThreadPool, timeout: float) -> None:
    try:
        pool.shutdown(timeout=timeout)
    except ShutdownTimeout:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _end(name: str, end: Callable[[], object]) -> None:
    """One that fails must not keep the others open."""
    try:
        end()
    except PoolError as error:
        _log.warning("pool %r did not close: %s", name, error)
    except Exception:
        _log.exception("pool %r did not close", name)


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name) or "nexus"
