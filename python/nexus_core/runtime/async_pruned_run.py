"""A native run in ``skip_branches`` mode, awaited on an event loop.

Follows ``AsyncLocalRuntime._execute_workflow_internal``: phases, inputs and failures are those
of ``LocalRuntime``.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded

from nexus_core._core import WorkflowRun, _RecordedRun
from nexus_core.cached_runs.nodes import awaited, node_caching
from nexus_core.runtime.async_run import GRACE_SECONDS
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.pruned_run import PrunedRun
from nexus_core.runtime.task_creation import keeping_create_task, replaces_create_task
from nexus_core.runtime.workflow_run import NativeRun

__all__ = ["AsyncPrunedRun"]

_nodes_logger = logging.getLogger("kailash.nodes")


class _Expired(BaseException):
    """Ends a phase whatever it would survive."""


class AsyncPrunedRun:
    """A run of which switches decide; synchronous nodes run on a thread of the runtime's pool.

    Args:
        runtime: An ``AsyncLocalRuntime``.
        workflow: The workflow.
        plan: Its plan, as ``LocalRuntime`` would have it.
        inputs: As given by the caller.
    """

    __slots__ = ("_expiry", "_inputs", "_is_stopped", "_phase", "_plan", "_runtime", "_traced", "_woken", "_workflow")

    def __init__(self, runtime: Any, workflow: Any, plan: CompiledWorkflow, inputs: dict[str, Any]) -> None:
        self._runtime = runtime
        self._workflow = workflow
        self._plan = plan
        self._inputs = inputs
        self._is_stopped = False
        self._phase: WorkflowRun | None = None
        self._traced: _RecordedRun | None = None
        #: Ends the wait for a thread.
        self._woken: asyncio.Future[None] | None = None

    async def execute(
        self, timeout: float | None, soft_time_limit: float | None = None, time_limit: float | None = None
    ) -> dict[str, Any]:
        """Runs to the end.

        Args:
            timeout: Seconds after which ``TimeoutError`` is raised.
            soft_time_limit: Seconds after which no node starts.
            time_limit: Seconds after which, and a second, the run fails in any case.
        """
        loop = asyncio.get_running_loop()
        self._expiry: asyncio.Future[BaseException] = loop.create_future()
        late = SoftTimeLimitExceeded(f"workflow exceeded soft time limit (soft_time_limit={soft_time_limit}s)")
        too_late = HardTimeLimitExceeded(
            f"workflow exceeded hard time limit (time_limit={time_limit}s + grace_seconds={GRACE_SECONDS}s)"
        )
        timers = [
            loop.call_later(seconds, self._expire, error)
            for seconds, error in (
                (timeout or None, TimeoutError()),
                (None if soft_time_limit is None else soft_time_limit + GRACE_SECONDS, late),
                (None if time_limit is None else time_limit + GRACE_SECONDS, too_late),
            )
            if seconds is not None
        ]
        if soft_time_limit is not None:
            timers.append(loop.call_later(soft_time_limit, self._start_nothing))
        run = PrunedRun(
            self._runtime,
            self._workflow,
            self._plan,
            self._inputs,
            {},
            is_visible(_nodes_logger, logging.DEBUG),
            stock_inputs=not self._is_by_node(),
            is_awaited=True,
            traced=self._traced,
        )
        try:
            if self._plan.needs_loop:
                results = await run.execute(self._drive, self._begin_again)
            else:
                # At one go: nothing has to be awaited in between.
                results = await self._on_thread(
                    partial(_to_end, partial(run.execute, self._drive_here, self._begin_again))
                )
            if self._is_stopped:
                raise _Expired
        except _Expired:
            raise (self._expiry.result() if self._expiry.done() else late) from None
        finally:
            self._start_nothing()
            for timer in timers:
                timer.cancel()
        return results

    def _is_by_node(self) -> bool:
        return all(key in self._plan.node_id_set and type(value) is dict for key, value in self._inputs.items())

    def _start_nothing(self) -> None:
        self._is_stopped = True
        if self._phase is not None:
            self._phase.abandon()

    def _begin(self, phase: WorkflowRun) -> None:
        """A phase begins, unless nothing is to start any more; both are looked at by whoever comes second."""
        self._phase = phase
        if self._is_stopped:
            raise _Expired

    def _expire(self, error: BaseException) -> None:
        self._start_nothing()
        if not self._expiry.done():
            self._expiry.set_result(error)
        if self._woken is not None:
            self._wake(self._woken)

    async def _on_thread(self, act: Callable[[], Any]) -> Any:
        """What a call on a thread of the runtime's pool returns, unless time is up before."""
        if self._expiry.done():
            raise _Expired
        loop = asyncio.get_running_loop()
        woken = self._woken = loop.create_future()
        run = partial(contextvars.copy_context().run, act)
        step: Any
        if self._runtime.thread_pool is None:
            # After ``cleanup``: the loop has threads of its own.
            step = loop.run_in_executor(None, run)
            step.add_done_callback(lambda ended: (ended.cancelled() or ended.exception(), self._wake(woken)))
        else:
            step = self._runtime.thread_pool.submit(run)
            step.add_done_callback(partial(self._wake_from_thread, loop, woken))
        try:
            await woken
        except asyncio.CancelledError:
            step.cancel()
            raise
        if not step.done() or self._expiry.done():
            step.cancel()
            raise _Expired
        return step.result()

    def _wake_from_thread(self, loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None], _: Any) -> None:
        # A loop that is closed has nobody who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._wake, woken)

    @staticmethod
    def _wake(woken: asyncio.Future[None]) -> None:
        if not woken.done():
            woken.set_result(None)

    async def _drive_here(self, run: WorkflowRun) -> None:
        self._begin(run)
        state, _ = run.drive()
        if state == "cancelled":
            raise _Expired

    async def _drive(self, run: WorkflowRun) -> None:
        loop = asyncio.get_running_loop()
        self._begin(run)
        while True:
            state, waiting = await self._on_thread(run.drive)
            if state == "finished":
                return
            if state == "cancelled":
                raise _Expired
            nodes = [
                loop.create_task(self._await_node(run, index, inputs), context=run.context())
                for index, inputs in waiting or []
            ]
            pending: set[asyncio.Future[Any]] = set(nodes)
            try:
                while pending and not self._expiry.done():
                    done, _ = await asyncio.wait({*pending, self._expiry}, return_when=asyncio.FIRST_COMPLETED)
                    pending -= done
            finally:
                for node in nodes:
                    node.cancel()

    async def _await_node(self, run: WorkflowRun, index: int, inputs: dict[str, Any]) -> None:
        node = self._plan.instances[index]
        output: Any = None
        failure: BaseException | None = None

        async def execute() -> Any:
            if self._runtime.enable_async and hasattr(node, "execute_async"):
                if replaces_create_task(node):
                    return await keeping_create_task(node.execute_async, **inputs)
                return await node.execute_async(**inputs)
            return node.execute(**inputs)

        try:
            caching = node_caching(self._runtime, self._workflow, self._plan)
            output, taken = await awaited(caching, run.is_nested(), index, inputs, None, execute)
            if taken:
                run.mark_taken(index)
        except BaseException as error:
            failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            run.finish_pinned(index, output, failure)

    async def _begin_again(self) -> dict[str, Any]:
        run = NativeRun(self._runtime, self._workflow, self._plan, None, self._inputs, None, None, prunes=False)
        run.traced = self._traced
        return (await run.execute_async())[0]

    def run_here(self) -> dict[str, Any] | None:
        """Nothing: the loop's own thread runs no phase."""
        return None

    def follow_with(self, traced: _RecordedRun) -> None:
        """Has the nodes taken down.

        Args:
            traced: The run in a trace.
        """
        self._traced = traced

    def trace(self) -> list[tuple[str, str, float, float]]:
        """When and where nodes ran, if the run was traced."""
        found: list[tuple[str, str, float, float]] = self._runtime._last_trace
        return found

    def release(self) -> None:
        """Lets go of what refers to one another."""
        self._phase = None


def _to_end(begin: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    """What a coroutine returns that awaits nothing."""
    steps = begin()
    try:
        steps.send(None)
    except StopIteration as finished:
        results: dict[str, Any] = finished.value
        return results
    steps.close()
    raise RuntimeError("a node has to be awaited, and there is no event loop")
