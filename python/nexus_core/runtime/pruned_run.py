"""A native run whose switches decide which nodes run at all."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from kailash.runtime.progress import _current_progress_registry

from nexus_core._core import RunOptions, WorkflowRun, _RecordedRun
from nexus_core.runtime.branch_run import BranchHost, run_branches
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.node_contexts import ContextScope
from nexus_core.runtime.pruning_log import PruningLog
from nexus_core.runtime.run_options import run_options

__all__ = ["PrunedRun"]

_nodes_logger = logging.getLogger("kailash.nodes")


class PrunedRun:
    """A run in ``skip_branches`` mode.

    Kailash keeps no record of single nodes then, and does not look at cancellation.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        parameters: By node id.
        context: The run's workflow context.
        own_execute: Whether nodes run through their own ``execute``.
        stock_inputs: Whether Kailash assembles all inputs.
        is_awaited: Whether it is a run of ``AsyncLocalRuntime``, which shows nodes no progress
            registry, and each phase a workflow context of its own.
        traced: The run in a trace, or ``None``.
    """

    __slots__ = ("_host", "_is_awaited", "_own_execute", "_stock_inputs", "_traced")

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        parameters: dict[str, Any] | None,
        context: dict[str, Any],
        own_execute: bool,
        stock_inputs: bool = False,
        is_awaited: bool = False,
        traced: _RecordedRun | None = None,
    ) -> None:
        self._host = BranchHost(runtime, workflow, plan, parameters, context)
        self._own_execute = own_execute
        self._stock_inputs = stock_inputs
        self._traced = traced
        self._is_awaited = self._host.has_own_contexts = is_awaited

    def is_refusal(self, error: Exception) -> bool:
        """Whether this says that Kailash would not prune the workflow."""
        return self._host.refusal is not None and error is self._host.refusal[0]

    async def execute(
        self,
        drive: Callable[[WorkflowRun], Awaitable[None]],
        begin_again: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Runs to the end.

        Args:
            drive: Drives one phase to its end.
            begin_again: Runs the workflow as any other, for one that Kailash would not prune.
                Kailash begins again by the same way until Python's recursion limit ends that.

        Returns:
            The results.

        Raises:
            ValueError: If the workflow is not pruned, and fails as any other; see :meth:`is_refusal`.
        """
        try:
            results = await self._prune(drive)
            if self._traced is not None:
                nodes = enumerate(self._host.compiled.node_ids)
                self._traced.skip([place for place, node_id in nodes if node_id not in results])
            return results
        except Exception as error:
            if not self.is_refusal(error):
                raise
            host = self._host
            why = self._log_refusal(error)
            try:
                results = await begin_again()
                PruningLog(host.runtime, host.workflow, host.branches).began_again(why)
                return results
            except Exception as failure:
                host.runtime.logger.error(f"Fallback execution also failed: {failure}")
                raise error from failure

    def _log_refusal(self, error: Exception) -> str:
        host = self._host
        runtime = host.runtime
        assert host.refusal is not None
        _, why, completed = host.refusal
        runtime.logger.error(f"Error in conditional execution approach: {error}")
        runtime.logger.warning(f"Fallback reason: {why}")
        counts = {
            "nodes_completed": completed,
            "total_nodes": len(host.compiled.node_ids),
            "fallback_reason": why,
        }
        runtime._log_conditional_execution_failure(host.workflow, error, counts)
        runtime.logger.warning("Falling back to normal execution approach due to conditional execution failure")
        return why

    async def _prune(self, drive: Callable[[WorkflowRun], Awaitable[None]]) -> dict[str, Any]:
        host = self._host
        runtime, plan = host.runtime, host.compiled
        logs_nodes = is_visible(_nodes_logger, logging.INFO)
        sharing = plan.instances if self._own_execute or logs_nodes else plan.context_nodes
        spans: list[tuple[str, str, float, float]] = []
        guarded = plan.guarded_by is not None and not self._own_execute
        guards_run = guarded and plan.only_code_nodes and host.elsewhere is None

        def options(is_first: bool) -> RunOptions:
            return run_options(
                max_concurrency=runtime.max_concurrency,
                validates_connections=runtime.connection_validation != "off",
                stock_inputs=self._stock_inputs,
                stock_execute=self._own_execute,
                logs_nodes=logs_nodes,
                never_skips=True,
                completes_input_data=is_first,
                guards_memory=guards_run,
                guards_each_node=guarded and not guards_run,
                trace=runtime._tracing,
            )

        async def drive_phase(run: WorkflowRun) -> None:
            if self._traced is not None:
                self._traced.follow(run)
            if not self._is_awaited:
                run.context().run(_current_progress_registry.set, runtime._progress_registry)
            if host.scope is not None:
                run.context().run(host.scope.enter)
            try:
                await drive(run)
            finally:
                if runtime._tracing:
                    spans.extend(run.trace())

        if sharing:
            host.scope = ContextScope(sharing, host.context)
        if guards_run:
            host.memory_limit = plan.plan.memory_limit(min(runtime.max_concurrency, len(plan.node_ids)))
        memory_limit = host.memory_limit
        if memory_limit is not None:
            plan.enter_memory_limit(memory_limit)
        try:
            return await run_branches(host, options, drive_phase)
        finally:
            # Ctrl-C, for instance: nobody will ask for what still runs.
            host.is_over = not isinstance(sys.exc_info()[1], Exception | None)
            if memory_limit is not None:
                plan.leave_memory_limit(memory_limit)
            if host.scope is not None:
                host.scope.leave()
            if runtime._tracing:
                runtime._last_trace = spans
            host.run = None  # type: ignore[assignment]
