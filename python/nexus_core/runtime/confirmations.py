"""Confirming nodes on an event loop: saved and told, before anybody builds on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from nexus_core._core import WorkflowRun
from nexus_core.runtime.durability import Durability

__all__ = ["Confirmations"]


class _Completion:
    """A node that has run."""

    __slots__ = ("event", "index", "waiter")

    def __init__(self, index: int, event: Any, waiter: asyncio.Future[None] | None) -> None:
        self.index = index
        self.event = event
        #: Who awaits it, if a task of its own does.
        self.waiter = waiter


class Confirmations:
    """The nodes of one run that have run and are not finished yet.

    One save is under way at a time. Whatever comes meanwhile is saved together by the
    next one: a checkpoint holds all that the run has completed.

    Args:
        durability: The durable side of the run.
        run: The run.
        start: Starts a task of the run.
        finished: Called after a node has been finished.
    """

    __slots__ = ("_durability", "_finished", "_run", "_saver", "_start", "_telling", "_unsaved")

    def __init__(
        self,
        durability: Durability,
        run: WorkflowRun,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        finished: Callable[[], None],
    ) -> None:
        self._durability = durability
        self._run = run
        self._start = start
        self._finished = finished
        self._unsaved: list[_Completion] = []
        self._saver: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def take(self) -> None:
        """Takes the nodes that workers have run since the last time."""
        for index, output, began, ended in self._run.take_unconfirmed():
            try:
                event = self._durability.event(index, output, began, ended)
            except Exception as error:
                self._finish(index, error)
            else:
                self._add(_Completion(index, event, None))

    async def confirmed(self, index: int, output: Any, began: float) -> None:
        """Waits until a node that the loop has awaited is saved and told.

        Args:
            index: The node's place in topological order.
            output: What it returned.
            began: When it began, in seconds since the epoch.
        """
        self._run.awaits_confirmation(index)
        event = self._durability.event(index, output, began, time.time())
        if self._durability.saves:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._add(_Completion(index, event, waiter))
            await waiter
        if event is not None:
            await self._durability.dispatch(event)

    async def last_save(self, seconds: float) -> None:
        """Saves and tells what has run, for a run that is given up.

        Args:
            seconds: How long that may take at the most.
        """
        self.take()
        if self._saver is not None:
            began = time.monotonic()
            await asyncio.wait([self._saver], timeout=seconds)
            seconds = max(0.0, seconds - (time.monotonic() - began))
        if self._telling:
            await asyncio.wait(self._telling, timeout=seconds)

    def _add(self, completion: _Completion) -> None:
        if not self._durability.saves:
            self._saved(completion, None)
            return
        self._unsaved.append(completion)
        if self._saver is None:
            self._saver = self._start(self._save_all())

    async def _save_all(self) -> None:
        try:
            while self._unsaved:
                batch, self._unsaved = self._unsaved, []
                failure: BaseException | None = None
                try:
                    await self._durability.save([completion.index for completion in batch])
                except BaseException as error:
                    failure = error
                    if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
                        raise
                finally:
                    for completion in batch:
                        self._saved(completion, failure)
        finally:
            self._saver = None

    def _saved(self, completion: _Completion, failure: BaseException | None) -> None:
        waiter = completion.waiter
        if waiter is not None:
            if waiter.done():
                pass  # its task was cancelled
            elif failure is None:
                waiter.set_result(None)
            elif isinstance(failure, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(failure)
        elif failure is not None or completion.event is None or not self._durability.has_subscribers:
            self._finish(completion.index, failure)
        else:
            task = self._start(self._tell(completion))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell(self, completion: _Completion) -> None:
        failure: BaseException | None = None
        try:
            # As what the node's own task would see on stock.
            self._run.catch_up()
            await self._durability.dispatch(completion.event)
        except BaseException as error:
            failure = error
            if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
                raise
        finally:
            self._finish(completion.index, failure)

    def _finish(self, index: int, failure: BaseException | None) -> None:
        self._run.confirm(index, failure)
        self._finished()
