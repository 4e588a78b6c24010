"""A run of ``LocalRuntime`` that resumes, checkpoints, or tells subscribers of its nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from kailash.runtime.execution_tracker import ExecutionTracker

from nexus_core._core import Places, WorkflowRun
from nexus_core._mailboxes import mailbox_of
from nexus_core.runtime.async_run import GRACE_SECONDS
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.confirmations import Confirmations
from nexus_core.runtime.durability import Durability
from nexus_core.runtime.host import RunHost

__all__ = ["LoopDriver", "Resumption", "TrackedHost", "resumption_for", "run_on"]

_T = TypeVar("_T")

#: Awaits a node and cleans it up: ``(index, inputs, what to do once it has run)`` to its failure.
Awaiting = Callable[
    [int, dict[str, Any], Callable[[Any], Coroutine[Any, Any, None]]],
    Coroutine[Any, Any, tuple[Any, BaseException | None]],
]


class Resumption:
    """How a caller of ``LocalRuntime`` wants a run to be durable.

    Args:
        idempotency_key: As given to ``execute``.
        force_resume_with_drift: As given to ``execute``.
        tracker: Whose nodes are not run again, or ``None``.
        has_subscribers: Whether anybody is told of completions.
    """

    __slots__ = ("_force_resume_with_drift", "_idempotency_key", "_tracker", "needs_loop")

    def __init__(
        self, idempotency_key: str | None, force_resume_with_drift: bool, tracker: Any, has_subscribers: bool
    ) -> None:
        self._idempotency_key = idempotency_key
        self._force_resume_with_drift = force_resume_with_drift
        self._tracker = tracker
        #: Whether something may have to be awaited.
        self.needs_loop = idempotency_key is not None or has_subscribers

    async def load(self, runtime: Any, workflow: Any, plan: CompiledWorkflow, parameters: Any) -> Durability | None:
        """Looks for what an earlier run has completed; before anything else, as stock does."""
        if not self.needs_loop:
            return None
        durability = Durability(runtime, workflow, plan, runtime.logger)
        await durability.load(
            workflow,
            parameters if isinstance(parameters, Mapping) else None,
            self._idempotency_key,
            self._force_resume_with_drift,
        )
        return durability

    def track(
        self,
        durability: Durability | None,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        context: dict[str, Any],
    ) -> Durability:
        """Finds the tracker that stock would use: an argument, a checkpoint's, the context's, a new one.

        A new one that nothing will ever be read from is left out.
        """
        durability = durability or Durability(runtime, workflow, plan, runtime.logger)
        for tracker in (self._tracker, durability.tracker, context.get("execution_tracker")):
            if tracker is not None:
                durability.tracker = tracker
                return durability
        if self._idempotency_key is not None:
            durability.tracker = ExecutionTracker()
        return durability


def resumption_for(
    runtime: Any, idempotency_key: str | None, force_resume_with_drift: bool, tracker: Any = None
) -> Resumption | None:
    """How a run is durable; ``None`` for one of which nothing is kept.

    Args:
        runtime: The runtime.
        idempotency_key: As given to ``execute``.
        force_resume_with_drift: As given to ``execute``.
        tracker: As given to ``execute_async``.
    """
    has_subscribers = runtime._hook_registry.subscriber_count > 0
    if idempotency_key is None and tracker is None and not has_subscribers:
        return None
    return Resumption(idempotency_key, force_resume_with_drift, tracker, has_subscribers)


def run_on(loop: asyncio.AbstractEventLoop, steps: Coroutine[Any, Any, _T]) -> _T:
    """Runs to the end; what interrupts the loop itself, such as Ctrl-C, gives the run up.

    Args:
        loop: The loop.
        steps: The run.
    """
    task = loop.create_task(steps)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        raise


class TrackedHost(RunHost):
    """As :class:`RunHost`, for a run with a tracker that somebody else has seen or will see."""

    __slots__ = ("durability",)

    durability: Durability

    def replayed(self, index: int) -> tuple[Any] | None:
        """The output of a node that an earlier run has completed."""
        found = self.durability.replayed(index)
        if found is not None:
            # Its inputs are not assembled, so nobody validates them.
            self._validated_by_stock.add(index)
            if self.observer is not None:
                self.observer.replayed()
        return found

    def record(self, index: int, output: Any) -> None:
        """A node has run."""
        self.durability.record(index, output)


class LoopDriver:
    """Has workers run synchronous nodes, and confirms all of them on the event loop.

    Args:
        run: The run; its options say that it ``confirms``.
        durability: The durable side of it.
        await_node: How a node is awaited.
        places: How many nodes may run at once.
    """

    __slots__ = ("_await_node", "_confirmations", "_done", "_durability", "_loop", "_over", "_places", "_run", "_tasks")

    def __init__(self, run: WorkflowRun, durability: Durability, await_node: Awaiting, places: Places) -> None:
        self._run = run
        self._durability = durability
        self._await_node = await_node
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._tasks: dict[asyncio.Task[None], int | None] = {}
        self._over = False
        self._confirmations = Confirmations(durability, run, self._start, self._look)

    async def drive(self) -> str:
        """Runs to the end; returns ``"finished"`` or ``"cancelled"``, or raises what a node left."""
        self._places.prepare()
        try:
            self._run.begin(mailbox_of(self._loop), self._look)
            self._look()
            await self._done
            return self._run.conclude()
        except GeneratorExit:
            self._over = True
            self._run.abandon()
            raise
        except BaseException:
            await self._abandon()
            raise
        finally:
            self._over = True
            if not self._tasks:
                # They refer to one another.
                del self._confirmations
            self._run.retire()

    def _look(self) -> None:
        """Starts what is to be awaited or confirmed, and sees whether the run is over."""
        if self._over:
            return
        try:
            settled, waiting = self._run.poll()
            for index, inputs in waiting:
                self._start(self._await(index, inputs), index)
            # Only after that: what comes from then on has the loop called again.
            self._confirmations.take()
        except BaseException as error:
            if not self._done.done():
                self._done.set_exception(error)
            raise
        # What still runs then is not waited for: a node ended with ``SystemExit``, for one.
        is_over = settled and not (self._tasks and self._run.is_idle())
        if is_over and not self._done.done():
            self._done.set_result(None)

    def _start(self, steps: Coroutine[Any, Any, None], index: int | None = None) -> asyncio.Task[None]:
        task = self._loop.create_task(steps, context=self._run.context())
        self._tasks[task] = index
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())
        self._look()

    def _fail(self, error: BaseException | None) -> None:
        if error is not None and not self._done.done():
            self._done.set_exception(error)

    async def _await(self, index: int, inputs: dict[str, Any]) -> None:
        self._run.catch_up()
        began = time.time()

        async def ran(output: Any) -> None:
            # Without one nothing will ever be read from it: somebody is told of the node, no more.
            if self._durability.tracker is not None:
                self._durability.record(index, output)
            await self._confirmations.confirmed(index, output, began)

        output: Any = None
        failure: BaseException | None = asyncio.CancelledError()
        try:
            output, failure = await self._await_node(index, inputs, ran)
        except GeneratorExit:
            self._over = True
            raise
        except BaseException as error:
            failure = error
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        finally:
            self._run.finish_pinned(index, output, failure)

    async def _abandon(self) -> None:
        """Stops what has not started, saves what has run, and cancels what is awaited."""
        self._over = True
        self._run.abandon()
        await self._confirmations.last_save(GRACE_SECONDS)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
