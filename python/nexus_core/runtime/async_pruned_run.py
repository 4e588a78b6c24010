"""A native run in ``skip_branches`` mode, awaited on an event loop.

Follows ``AsyncLocalRuntime._execute_workflow_internal``: phases, inputs and failures are those
of ``LocalRuntime``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded

from nexus_core._core import WorkflowRun
from nexus_core.runtime.async_run import GRACE_SECONDS
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.pruned_run import PrunedRun
from nexus_core.runtime.workflow_run import NativeRun

__all__ = ["AsyncPrunedRun"]

_nodes_logger = logging.getLogger("kailash.nodes")


class _Expired(BaseException):
    """Ends a phase whatever it would survive."""


class _Stop:
    """What the engine looks at before each node."""

    __slots__ = ("is_cancelled",)

    def __init__(self) -> None:
        self.is_cancelled = False


class AsyncPrunedRun:
    """A run of which switches decide; synchronous nodes run on a thread of the runtime's pool.

    Args:
        runtime: An ``AsyncLocalRuntime``.
        workflow: The workflow.
        plan: Its plan, as ``LocalRuntime`` would have it.
        inputs: As given by the caller.
    """

    __slots__ = ("_expiry", "_inputs", "_plan", "_runtime", "_stop", "_workflow")

    def __init__(self, runtime: Any, workflow: Any, plan: CompiledWorkflow, inputs: dict[str, Any]) -> None:
        self._runtime = runtime
        self._workflow = workflow
        self._plan = plan
        self._inputs = inputs
        self._stop = _Stop()

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
            token=self._stop,
            is_awaited=True,
        )
        try:
            results = await run.execute(self._drive, self._begin_again)
            if self._stop.is_cancelled:
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
        self._stop.is_cancelled = True

    def _expire(self, error: BaseException) -> None:
        self._start_nothing()
        if not self._expiry.done():
            self._expiry.set_result(error)

    async def _drive(self, run: WorkflowRun) -> None:
        loop = asyncio.get_running_loop()
        while True:
            step = loop.run_in_executor(self._runtime.thread_pool, run.drive)
            step.add_done_callback(_look_at)
            await asyncio.wait({step, self._expiry}, return_when=asyncio.FIRST_COMPLETED)
            if self._expiry.done():
                raise _Expired
            state, waiting = await step
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
        try:
            if self._runtime.enable_async and hasattr(node, "execute_async"):
                output = await node.execute_async(**inputs)
            else:
                output = node.execute(**inputs)
        except BaseException as error:
            failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            run.finish_pinned(index, output, failure)

    async def _begin_again(self) -> dict[str, Any]:
        run = NativeRun(
            self._runtime, self._workflow, self._plan, None, self._inputs, None, None, prunes=False
        )
        return (await run.execute_async())[0]

    def run_here(self) -> dict[str, Any] | None:
        """Nothing: the loop's own thread runs no phase."""
        return None

    def trace(self) -> list[tuple[str, str, float, float]]:
        """When and where nodes ran, if the run was traced."""
        found: list[tuple[str, str, float, float]] = self._runtime._last_trace
        return found

    def release(self) -> None:
        """Lets go of what refers to one another."""
        self._stop.is_cancelled = True


def _look_at(step: asyncio.Future[Any]) -> None:
    """Nobody else may be left to look at what a step has raised."""
    if not step.cancelled():
        step.exception()
