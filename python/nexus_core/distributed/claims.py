"""Who has begun what, as the scheduler knows it: nothing begins twice that may not.

Dask runs a task again when the worker that had it is gone, and again when its result is lost. The
scheduler cannot know whether a task that it has sent to a worker had begun there. So a worker asks
before it begins a group that may not run twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.worker import get_worker

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

__all__ = ["Claims", "claim"]

#: Runs that are remembered. A run is forgotten when it ends, or when its client has left.
_MOST_RUNS = 10_000

#: Seconds that a worker waits for the scheduler's answer.
_PATIENCE = 60.0


class Claims(SchedulerPlugin):
    """The scheduler's side."""

    name = "nexus-core-claims"
    idempotent = True

    def __init__(self) -> None:
        self._runs: OrderedDict[str, dict[int, str]] = OrderedDict()

    async def start(self, scheduler: Scheduler) -> None:
        """Begins to answer."""
        scheduler.handlers["nexus_core_claim"] = self.claim
        scheduler.handlers["nexus_core_forget"] = self.forget

    def claim(self, run: str, group: int, worker: str) -> str | None:
        """Notes that a worker begins a group.

        Args:
            run: The run's token.
            group: The group's number.
            worker: The worker's address.

        Returns:
            ``None`` if it may; otherwise the address of the worker that has begun it before.
        """
        begun = self._runs.setdefault(run, {})
        before = begun.get(group)
        if before is None:
            begun[group] = worker
            while len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        return before

    def forget(self, run: str) -> None:
        """The run is over.

        Args:
            run: Its token.
        """
        self._runs.pop(run, None)


def claim(run: str, group: int) -> str | None:
    """Asks whether this worker may begin a group; called from the thread that is to run it.

    Args:
        run: The run's token.
        group: The group's number.

    Returns:
        As :meth:`Claims.claim`.
    """
    worker = get_worker()

    async def ask() -> Any:
        return await worker.scheduler.nexus_core_claim(run=run, group=group, worker=worker.address)

    asked = asyncio.run_coroutine_threadsafe(ask(), worker.loop.asyncio_loop)
    before: str | None = asked.result(_PATIENCE)
    return before
