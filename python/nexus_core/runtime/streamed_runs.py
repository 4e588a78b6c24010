"""Runs of ``AsyncLocalRuntime`` whose events are read while they happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from nexus_core.runtime.events import RunEvent
from nexus_core.runtime.explain import DelegationError
from nexus_core.runtime.run_ids import new_run_id
from nexus_core.runtime.run_stream import EventBuffer
from nexus_core.runtime.workflow_rules import Turn, rule_of

__all__ = ["StreamedRuns"]


class StreamedRuns:
    """Tells what happens in a run."""

    _strict: bool
    _cached_runs: Any
    _read_large: Any
    _async_plan_for: Any
    _delegate: Any
    _execute_native: Any

    async def stream(
        self, workflow: Any, inputs: dict[str, Any] | None = None, *, buffer: int = 256
    ) -> AsyncGenerator[RunEvent, None]:
        """Executes a workflow and yields what happens meanwhile.

        The last event is :class:`RunFinished`, or :class:`RunFailed` with what
        ``execute_workflow_async`` would have raised. While the reader does not keep up, the
        run pauses, and no other run does. A reader that goes away (``aclose``) cancels it.

        Args:
            workflow: A built workflow. One that is delegated to Kailash yields no events of
                its nodes.
            inputs: As for ``execute_workflow_async``.
            buffer: Events kept for the reader before the run pauses.

        Yields:
            The run's events, in the order in which they happened.

        Raises:
            ValueError: If ``buffer`` is less than one.
            DelegationError: If the runtime is strict and Kailash would have to run this.

        Example:
            >>> import asyncio
            >>> from kailash.workflow.builder import WorkflowBuilder
            >>> builder = WorkflowBuilder()
            >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
            >>> async def main():
            ...     async with AsyncLocalRuntime() as runtime:
            ...         return [type(event).__name__ async for event in runtime.stream(builder.build())]
            >>> asyncio.run(main())
            ['RunStarted', 'NodeStarted', 'NodeFinished', 'RunFinished']
        """
        if buffer < 1:
            raise ValueError(f"buffer is {buffer!r}, and must be at least 1: no event could be kept")
        inputs = {} if inputs is None else inputs
        if self._cached_runs is not None:
            self._cached_runs.ready(self, workflow, inputs, "the events of the run are asked for")
        rule = rule_of(self, workflow)
        inputs = dict(inputs) if rule.surrounds and type(inputs) is dict else inputs
        async with Turn(rule) as turn, contextlib.aclosing(self._stream(workflow, inputs, buffer)) as told:
            async for event in told:
                turn.step_out()  # the run has a task of its own; this context is the reader's
                yield event

    async def _stream(self, workflow: Any, inputs: dict[str, Any], buffer: int) -> AsyncGenerator[RunEvent, None]:
        inputs = await self._read_large(workflow, inputs)
        plan = self._async_plan_for(workflow, inputs, None)
        run_id = new_run_id()
        steps: Coroutine[Any, Any, tuple[dict[str, Any], str]]
        if isinstance(plan, tuple):
            if self._strict:
                raise DelegationError(plan)
            events = EventBuffer(run_id, (), buffer)
            steps = self._delegate(plan, workflow, inputs, None)
        else:
            events = EventBuffer(run_id, plan.node_ids, buffer)
            steps = self._execute_native(workflow, plan, inputs, None, events, run_id=run_id)
        async with contextlib.aclosing(events.of(asyncio.ensure_future(steps))) as told:
            async for event in told:
                yield event
