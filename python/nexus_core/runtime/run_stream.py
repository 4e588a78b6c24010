"""Following a run as it goes: events from whichever thread, in order, to one reader."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from nexus_core._mailboxes import mailbox_of
from nexus_core.runtime.events import (
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
)

__all__ = ["EventBuffer"]


def _nothing(paused: bool) -> None:
    pass


class EventBuffer:
    """Events of one run that their reader has not taken yet.

    The run is paused while there are as many as the buffer holds, and goes on when half of
    them have been taken. Nodes that run already when it fills may add theirs.

    Args:
        run_id: The run's id.
        node_ids: Its nodes, in topological order.
        capacity: How many events it holds.
    """

    def __init__(self, run_id: str, node_ids: tuple[str, ...], capacity: int) -> None:
        self._run_id = run_id
        self._node_ids = node_ids
        self._capacity = capacity
        #: Holds what the buffer knows and what the run was told together.
        self._lock = threading.Lock()
        self._paused = False
        self._pause: Callable[[bool], None] = _nothing
        self._events: deque[RunEvent] = deque()
        self._mailbox = mailbox_of(asyncio.get_running_loop())
        self._reader: asyncio.Future[None] | None = None
        self._told = False
        self._began = time.perf_counter()

    def age(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began

    def pauses(self, pause: Callable[[bool], None]) -> None:
        """Says how the run is paused, before it begins."""
        self._pause = pause

    # --- on any thread --------------------------------------------------------------

    def started(self, index: int, thread: str) -> None:
        """A node is about to run."""
        self._add(NodeStarted(self._run_id, self.age(), self._node_ids[index], thread))

    def ended(
        self, index: int, thread: str, output: Any, error: BaseException | None, seconds: float, cached: bool
    ) -> None:
        """A node has returned or raised, or its output was kept."""
        node_id = self._node_ids[index]
        if error is None:
            self._add(NodeFinished(self._run_id, self.age(), node_id, thread, seconds, output, cached))
        else:
            self._add(NodeFailed(self._run_id, self.age(), node_id, thread, seconds, error))

    def skipped(self, index: int) -> None:
        """A node was left out."""
        self._add(NodeSkipped(self._run_id, self.age(), self._node_ids[index]))

    def _add(self, event: RunEvent) -> None:
        with self._lock:
            self._events.append(event)
            if len(self._events) >= self._capacity and not self._paused:
                self._paused = True
                self._pause(True)
        if not self._told:
            self._told = True
            self._mailbox.post(self._wake)

    # --- on the loop ------------------------------------------------------------------

    async def of(self, task: asyncio.Task[tuple[dict[str, Any], str]]) -> AsyncGenerator[RunEvent, None]:
        """All events of a run; leaving them cancels it.

        Args:
            task: The run.
        """
        task.add_done_callback(self.over)
        try:
            yield RunStarted(self._run_id, self.age(), self._node_ids)
            while True:
                event = await self.take()
                yield event
                if isinstance(event, (RunFinished, RunFailed)):
                    return
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def over(self, task: asyncio.Task[tuple[dict[str, Any], str]]) -> None:
        """The run has ended."""
        if task.cancelled():
            self._add(RunFailed(self._run_id, self.age(), asyncio.CancelledError()))
            return
        error = task.exception()
        if error is None:
            self._add(RunFinished(self._run_id, self.age(), task.result()[0]))
        else:
            self._add(RunFailed(self._run_id, self.age(), error))

    def _wake(self) -> None:
        self._told = False
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> RunEvent:
        """The next event, waiting for it if need be."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        with self._lock:
            event = self._events.popleft()
            if self._paused and len(self._events) <= self._capacity // 2:
                self._paused = False
                self._pause(False)
        return event
