"""Connections for tasks of an event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nexus_core._core import LoopMailbox, PoolTask
from nexus_core.errors import PoolMisuse

if TYPE_CHECKING:
    from nexus_core._core import _Checkout
    from nexus_core.connection_pool import ConnectionPool

C = TypeVar("C")

# A task that waits has stuck threads noticed so often, in seconds.
_TICK = 1.0


class Bell:
    """Wakes the one task that waits for it; from its loop alone."""

    __slots__ = ("__weakref__", "_future")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def callback(self) -> Callable[[], None]:
        """Rings it, and does not keep it alive."""
        return _Ring(weakref.ref(self))

    def ring(self) -> None:
        """Wakes the task, if it sleeps."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, limit: float) -> None:
        """Sleeps until it rings, and a while at most."""
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(min(limit, _TICK), self.ring)
        try:
            await self._future
        finally:
            timer.cancel()
            self._future = None


class _Ring:
    __slots__ = ("_bell",)

    def __init__(self, bell: weakref.ref[Bell]) -> None:
        self._bell = bell

    def __call__(self) -> None:
        bell = self._bell()
        if bell is not None:
            bell.ring()


async def stand_in_line(pool: ConnectionPool[C], checkout: _Checkout, began: float, timeout: float, again: bool) -> C:
    """The connection that is handed to this task; cancelled at any moment, nothing is lost."""
    loop = asyncio.get_running_loop()
    bell = Bell()
    # Nothing is awaited before the first look, so that it cannot ring unheard.
    connection: C | None = checkout._join(LoopMailbox(loop.call_soon_threadsafe), bell.callback(), again)
    try:
        while connection is None:
            connection = checkout._take()
            if connection is not None:
                break
            left = began + timeout - loop.time()
            if left <= 0:
                connection = checkout._time_out()
                if connection is None:
                    raise pool._too_late(loop.time() - began)
                break
            await bell.wait(left)
            pool._call()
    except BaseException:
        checkout._cancel()
        raise
    return connection


class AsyncCheckout(Generic[C]):
    """A connection for the length of an ``async with`` block."""

    __slots__ = ("_checkout", "_is_waiting", "_pool", "_timeout")

    def __init__(self, pool: ConnectionPool[C], timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._checkout = pool._checkout()
        self._is_waiting = False

    async def __aenter__(self) -> C:
        """Waits for a connection."""
        if self._is_waiting:
            # Of two places in the line only one would be remembered.
            raise RuntimeError("this checkout is in use already; call aconnection() once for each block")
        self._is_waiting = True
        try:
            return await take(self._pool, self._checkout, self._timeout)
        finally:
            self._is_waiting = False

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Returns it. Nothing is awaited: a reset is done elsewhere."""
        self._checkout._leave(kind is not None)


async def take(pool: ConnectionPool[C], checkout: _Checkout, timeout: float) -> C:
    """A connection at once, or in turn."""
    pool._at_home()
    began = asyncio.get_running_loop().time()
    again = False
    while True:
        connection: C | None = checkout._begin()
        if connection is None:
            connection = await stand_in_line(pool, checkout, began, timeout, again)
        again = True
        try:
            if pool._passes(connection):
                return connection
        except BaseException:
            checkout._lose(False)
            raise
        checkout._lose(True)


async def until(pool: ConnectionPool[Any], timeout: float, holds: Callable[[], bool]) -> bool:
    """Whether something came to hold of a pool in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    bell = Bell()
    while not holds():
        left = deadline - loop.time()
        if left <= 0:
            return False
        place = pool._ring_on_change(LoopMailbox(loop.call_soon_threadsafe), bell.callback())
        if holds():
            break
        await bell.wait(left)
        del place
        pool._call()
    return True


class LoopHome:
    """The event loop that a pool of coroutine functions belongs to, and its tasks there."""

    def __init__(self, pool: ConnectionPool[Any], hooks: dict[str, Any]) -> None:
        self._name = pool.name
        self._hooks = hooks
        self._pool = weakref.ref(pool)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def enter(self) -> None:
        """Makes sure that the running loop is the pool's."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and self._process == os.getpid():
            raise PoolMisuse(
                self._name, "it belongs to another event loop, on which its connections were made; make one per loop"
            )
        self._loop, self._process = loop, os.getpid()
        self._tasks.clear()
        self._timer = None
        pool = self._pool()
        if pool is not None:
            pool._bind(LoopMailbox(loop.call_soon_threadsafe), _Pump(weakref.ref(self)))

    def pump(self) -> None:
        """Begins what there is to do; on the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pool = self._pool()
        if pool is None or self._loop is None or self._loop.is_closed():
            return
        while True:
            task = pool._next_task()
            if isinstance(task, PoolTask):
                running = self._loop.create_task(_attend(task, self._hooks), name=f"pool {self._name}: {task.kind}")
                self._tasks.add(running)
                running.add_done_callback(self._tasks.discard)
                continue
            if task is not None:
                self._timer = self._loop.call_later(task, _Pump(weakref.ref(self)))
            return


class _Pump:
    __slots__ = ("_home",)

    def __init__(self, home: weakref.ref[LoopHome]) -> None:
        self._home = home

    def __call__(self) -> None:
        home = self._home()
        if home is not None:
            home.pump()


async def _attend(task: PoolTask, hooks: dict[str, Any]) -> None:
    """Does one task with the user's callables, and says how it ended."""
    kind = task.kind
    if kind == "chore":
        task.done()
        return
    arguments = () if kind == "connect" else (task.connection,)
    hook = hooks[{"connect": "factory"}.get(kind, kind)]
    try:
        result = hook(*arguments)
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:
        task.failed(error)
    except BaseException as error:
        task.failed(error)
        raise
    else:
        task.done(result)
