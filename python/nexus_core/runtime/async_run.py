"""One native run of a workflow under ``AsyncLocalRuntime``'s rules, awaited on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded, WorkflowCancelledError

from nexus_core._core import Places, RunOptions, WorkflowRun, _RecordedRun
from nexus_core._mailboxes import mailbox_of
from nexus_core.cached_runs.nodes import awaited, node_caching
from nexus_core.runtime.async_host import AsyncHost, Follower
from nexus_core.runtime.clients import Client, current_client, has_left
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.node_host import nodes_elsewhere
from nexus_core.runtime.task_creation import keeping_create_task, replaces_create_task

__all__ = ["GRACE_SECONDS", "AsyncRun", "inside", "places_for"]

_logger = logging.getLogger("kailash.runtime.async_local")

#: How long after a time limit nodes that are running may take to end; Kailash's own figure.
GRACE_SECONDS = 1.0

#: The places of the runtime inside one of whose nodes the current context is.
inside: ContextVar[Places | None] = ContextVar("nexus_core_places", default=None)


def places_for(runtime: Any) -> Places:
    """The places of a run of this runtime that begins in the current context."""
    places: Places = runtime._places
    if places is inside.get():
        # Inside a node that has a place itself: to wait for another could be for ever.
        return Places(places.places, places.threads)
    return places


class AsyncRun(AsyncHost):
    """A run whose synchronous nodes workers run, and whose asynchronous ones the loop awaits.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        variables: What nodes are given: for all of them, and under a node's id for that one.
        options: Of the native run.
        metrics: See :class:`AsyncHost`.
        follower: See :class:`AsyncHost`.
        registry: The resources that asynchronous nodes are given, or ``None``.
    """

    __slots__ = (
        "_begun",
        "_cleaning",
        "_done",
        "_draining",
        "_expired",
        "_loop",
        "_over",
        "_registry",
        "_tasks",
        "_timers",
    )

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        variables: dict[str, Any],
        options: RunOptions,
        metrics: Any,
        follower: Follower | None,
        registry: Any,
    ) -> None:
        # As the base classes do: a call for each of them would show.
        self.runtime = runtime
        self.workflow = workflow
        self.compiled = plan
        self.token = None
        self.variables = variables
        self.metrics = metrics
        self.follower = follower
        self._registry = registry
        self.caching = node_caching(runtime, workflow, plan)
        self.elsewhere = nodes_elsewhere(runtime, workflow, plan)
        self.levels = None
        self.is_over = False
        places: Places = runtime._places
        if places is inside.get():
            places = places_for(runtime)
        self.run: WorkflowRun = plan.plan.start(
            self,
            options,
            variables or None,
            {},
            (places, not plan.needs_loop),
            self.native_caching,
            runtime._figures,
            self.remote,
        )

    @classmethod
    def resumed(
        cls, runtime: Any, workflow: Any, plan: CompiledWorkflow, variables: dict[str, Any], run: WorkflowRun
    ) -> AsyncRun:
        """The host of a native run that has begun without one."""
        host = cls.__new__(cls)
        host.runtime = runtime
        host.workflow = workflow
        host.compiled = plan
        host.token = host.metrics = host.follower = host.caching = host.elsewhere = host.levels = None
        host.is_over = False
        host.variables = variables
        host._registry = runtime.resource_registry
        host.run = run
        return host

    def run_here(self) -> dict[str, Any] | None:
        """Runs everything on the loop's own thread; ``None`` if the rest is left to workers."""
        return self.run.results() if self.run.run_inline() else None

    async def execute(
        self,
        timeout: float | None,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
    ) -> dict[str, Any]:
        """Runs to the end.

        Args:
            timeout: Seconds after which ``TimeoutError`` is raised.
            soft_time_limit: Seconds after which no node starts.
            time_limit: Seconds after which, and :data:`GRACE_SECONDS`, the run fails in any case.
        """
        run = self.run
        loop = self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = loop.create_future()
        #: What is awaited, with the place of its node in topological order.
        self._tasks: dict[asyncio.Task[None], int | None] = {}
        #: Nodes whose task has taken its first step.
        self._begun: set[int] = set()
        self._cleaning = 0
        self._draining = self._over = False
        self._expired: BaseException | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._arm(timeout, soft_time_limit, time_limit)
        waiting = current_client()
        listener = None
        if waiting is not None and not waiting.answered:
            listener = loop.create_task(self._listen(waiting))
        run.context().run(inside.set, self.runtime._places)
        is_settled = False
        try:
            self.runtime._places.prepare()
            if self.follower is not None:
                self.follower.pauses(self._pause)
                run.hand_over()
            run.begin(mailbox_of(loop), self._look)
            self._look()
            await self._done
            if self._expired is not None:
                raise self._expired
            # From here on it is a node that fails: others that run may end, as on threads.
            is_settled = True
            run.check()
            run.retire()
            return run.results()
        except GeneratorExit:
            # The loop is gone, and with it whoever could wait for anything.
            self._over = self.is_over = True
            run.abandon()
            raise
        except BaseException:
            self.is_over = not is_settled
            await self._abandon()
            raise
        finally:
            self._over = True
            if listener is not None:
                listener.cancel()
            for timer in self._timers:
                timer.cancel()
            # A message that is not delivered any more must not keep the loop alive.
            self._loop = self._done = None  # type: ignore[assignment]
            self._timers = []

    def follow_with(self, traced: _RecordedRun) -> None:
        """Has the nodes taken down.

        Args:
            traced: The run in a trace.
        """
        traced.follow(self.run)

    def trace(self) -> list[tuple[str, str, float, float]]:
        """When and where nodes ran, if the run was traced."""
        return self.run.trace()

    def release(self) -> None:
        """Lets go of what refers to one another."""
        self.run = None  # type: ignore[assignment]
        self._expired = None

    def _arm(self, timeout: float | None, soft_time_limit: float | None, time_limit: float | None) -> None:
        if timeout:
            self._after(timeout, self._expire, TimeoutError())
        if soft_time_limit is not None:
            self._after(soft_time_limit, self._drain, soft_time_limit)
        if time_limit is not None:
            late = HardTimeLimitExceeded(
                f"workflow exceeded hard time limit (time_limit={time_limit}s + grace_seconds={GRACE_SECONDS}s)"
            )
            self._after(time_limit + GRACE_SECONDS, self._expire, late)

    def _after(self, seconds: float, act: Callable[[Any], None], argument: Any) -> None:
        self._timers.append(self._loop.call_later(seconds, act, argument))

    # --- on the loop --------------------------------------------------------------------

    def _look(self) -> None:
        """Starts what is to be awaited, and sees whether the run is over."""
        if self._over:
            return
        done = self._done
        try:
            settled, waiting = self.run.poll()
        except BaseException as error:
            if not done.done():
                done.set_exception(error)
            raise
        for index, inputs in waiting:
            context: contextvars.Context = self.run.context().copy()
            self._start(self._await_node(index, inputs), index, context)
        is_drained = not self._draining or self.run.is_idle()
        if settled and is_drained and not (done.done() or self._cleaning):
            done.set_result(None)

    def _start(
        self, steps: Coroutine[Any, Any, None], index: int | None, context: contextvars.Context
    ) -> asyncio.Task[None]:
        task = self._loop.create_task(steps, context=context)
        self._tasks[task] = index
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        index = self._tasks.pop(task)
        if index is not None and index not in self._begun:
            # Cancelled before its first step: nothing of it ran.
            self._report(index, None, asyncio.CancelledError())

    def _report(self, index: int, output: Any, failure: BaseException | None) -> None:
        run: WorkflowRun | None = self.run
        if run is None:
            # It outlasted the grace; its place is given back with the run.
            return
        run.finish_pinned(index, output, failure)
        self._look()

    async def _await_node(self, index: int, inputs: dict[str, Any]) -> None:
        self._begun.add(index)
        output: Any = None
        failure: BaseException | None = None
        is_lost = False
        try:
            if self._registry:
                inputs["resource_registry"] = self._registry
            output = await self._executed(index, inputs)
        except GeneratorExit:
            # The loop is gone: nobody can wait for a clean-up.
            self._over = is_lost = True
            failure = asyncio.CancelledError()
            raise
        except BaseException as error:
            failure = error
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        finally:
            if not is_lost:
                await self._clean_up(index)
            self._report(index, output, failure)

    def _executed(self, index: int, inputs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        node = self.compiled.instances[index]
        execute = node.execute_async
        if replaces_create_task(node):
            execute = partial(keeping_create_task, execute)
        if self.caching is None:
            return execute(**inputs)
        return self._taken_or_executed(index, inputs, partial(execute, **inputs))

    async def _taken_or_executed(
        self, index: int, inputs: dict[str, Any], execute: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        output, taken = await awaited(self.caching, self.run.is_nested(), index, inputs, self._registry, execute)
        if taken and not self._over:
            self.run.mark_taken(index)
        return output

    def skipped(self, index: int, inputs: dict[str, Any]) -> None:
        """As any host's; an awaited node that is skipped is cleaned up, as stock does it."""
        super().skipped(index, inputs)
        if self.compiled.explanations[index].program == "async":
            self._cleaning += 1
            self._start(self._clean_up_skipped(index), None, self.run.context().copy())

    async def _clean_up_skipped(self, index: int) -> None:
        try:
            await self._clean_up(index)
        finally:
            self._cleaning -= 1
            self._look()

    async def _clean_up(self, index: int) -> None:
        cleanup = getattr(self.compiled.instances[index], "cleanup", None)
        if cleanup is not None:
            try:
                await cleanup()
            except Exception as error:
                _logger.warning(f"Error during node '{self.compiled.node_ids[index]}' cleanup: {error}")

    # --- stopping -----------------------------------------------------------------------

    def _pause(self, paused: bool) -> None:
        """Lets no node start, or lets the run go on."""
        if not self._over:
            self.run.set_paused(paused)

    async def _listen(self, waiting: Client) -> None:
        """Stops the run when its client goes away."""
        if await has_left(waiting):
            self._expire(WorkflowCancelledError("Workflow cancelled: the client went away"))

    def _expire(self, error: BaseException) -> None:
        if not self._done.done():
            self._expired = error
            self._done.set_result(None)

    def _drain(self, seconds: float) -> None:
        """The soft limit is reached: nothing starts; what runs may end."""
        if self._done.done():
            return
        self._draining = True
        self.run.abandon()
        late = SoftTimeLimitExceeded(f"workflow exceeded soft time limit (soft_time_limit={seconds}s)")
        self._expired = late
        self._after(GRACE_SECONDS, self._expire, late)
        self._look()

    async def _abandon(self) -> None:
        """Stops what has not started and cancels what is awaited; synchronous nodes end by themselves."""
        self._over = True
        self.run.abandon()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            # One that ignores it, or cleans up for long, is not waited for any longer.
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
