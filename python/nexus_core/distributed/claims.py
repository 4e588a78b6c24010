"""What runs ask the scheduler: who has begun what, and what it waits for.

Dask runs a task again when the worker that had it is gone, and again when its result is lost. The
scheduler cannot know whether a task that it has sent to a worker had begun there. So a worker asks
before it begins a group that may not run twice.

Dask waits without end for a worker that can run a task, and tells nobody; and it tries a failed task
again without saying whether it will. Both are asked here too.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.worker import get_worker

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

__all__ = ["Claims", "claim", "tries_again"]

#: Runs that are remembered, those that have ended included: a worker that asks late begins nothing of those.
_MOST_RUNS = 10_000

#: Names of tasks that an answer lists.
_MOST_NAMES = 5

#: An answer to a claim: the run has ended.
_OVER = ""

#: Seconds that a worker waits for the scheduler's answer.
_PATIENCE = 60.0


class Claims(SchedulerPlugin):
    """The scheduler's side."""

    name = "nexus-core-claims"
    idempotent = True

    def __init__(self) -> None:
        #: By run: who has begun which group, and its client; ``None`` once it is over.
        self._runs: OrderedDict[str, tuple[str, dict[int, str]] | None] = OrderedDict()
        self._scheduler: Scheduler | None = None

    async def start(self, scheduler: Scheduler) -> None:
        """Begins to answer."""
        self._scheduler = scheduler
        scheduler.handlers["nexus_core_claim"] = self.claim
        scheduler.handlers["nexus_core_forget"] = self.forget
        scheduler.handlers["nexus_core_retries"] = self.retries
        scheduler.handlers["nexus_core_waiting"] = self.waiting

    def claim(self, run: str, group: int, worker: str, client: str) -> str | None:
        """Notes that a worker begins a group.

        Args:
            run: The run's token.
            group: The group's number.
            worker: The worker's address.
            client: The id of the run's client.

        Returns:
            ``None`` if it may; otherwise the address of the worker that has begun it before, or nothing
            (an empty text) if the run is over.
        """
        assert self._scheduler is not None
        known = self._runs.get(run, (client, {}))
        if known is None or client not in self._scheduler.clients:
            return _OVER
        _, begun = known
        before = begun.get(group)
        if before is None:
            begun[group] = worker
            self._keep(run, known)
        return before

    def forget(self, run: str) -> None:
        """The run is over.

        Args:
            run: Its token.
        """
        # Tasks that are not cancelled yet may still ask.
        self._keep(run, None)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Its runs are over."""
        for run in [run for run, known in self._runs.items() if known is not None and known[0] == client]:
            self.forget(run)

    def _keep(self, run: str, known: tuple[str, dict[int, str]] | None) -> None:
        self._runs[run] = known
        while len(self._runs) > _MOST_RUNS:
            ended = next((run for run, known in self._runs.items() if known is None), None)
            self._runs.pop(next(iter(self._runs)) if ended is None else ended)

    def retries(self, key: Any) -> int:
        """How many more times Dask tries a task.

        Args:
            key: The task's.
        """
        assert self._scheduler is not None
        task = self._scheduler.tasks.get(key)
        return 0 if task is None else int(task.retries)

    def waiting(self, run: str) -> tuple[int, list[str]]:
        """What a run waits for.

        Args:
            run: Its token.

        Returns:
            How many threads there are, and tasks of the run that none of their workers can run, if no other
            one of it is at work.
        """
        scheduler = self._scheduler
        assert scheduler is not None

        def is_of_run(key: Any) -> bool:
            return isinstance(key, tuple) and isinstance(key[0], str) and key[0].endswith(f"-{run}")

        stuck = [str(task.key[0]).rpartition("-")[0] for task in scheduler.unrunnable if is_of_run(task.key)]
        if stuck and any(is_of_run(task.key) for worker in scheduler.workers.values() for task in worker.processing):
            stuck = []
        return scheduler.total_nthreads, stuck[:_MOST_NAMES]


def claim(run: str, group: int, client: str) -> str | None:
    """Asks whether this worker may begin a group; called from the thread that is to run it.

    Args:
        run: The run's token.
        group: The group's number.
        client: The id of the run's client.

    Returns:
        As :meth:`Claims.claim`.
    """
    address = get_worker().address
    before: str | None = _asked(
        lambda scheduler: scheduler.nexus_core_claim(run=run, group=group, worker=address, client=client)
    )
    return before


def tries_again() -> bool:
    """Whether Dask runs the task of this thread again if it fails."""
    key = get_worker().get_current_task()
    return bool(_asked(lambda scheduler: scheduler.nexus_core_retries(key=key)))


def _asked(question: Callable[[Any], Any]) -> Any:
    worker = get_worker()

    async def ask() -> Any:
        return await question(worker.scheduler)

    return asyncio.run_coroutine_threadsafe(ask(), worker.loop.asyncio_loop).result(_PATIENCE)
