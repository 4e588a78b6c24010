"""Native runs of ``AsyncLocalRuntime``, from what they are given to what they leave behind."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

from kailash.runtime.metrics import get_metrics_bridge
from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded, WorkflowCancelledError
from kailash.workflow.credentials import get_credential_store

from nexus_core._core import RunOptions, _Figures
from nexus_core.metrics.loops import LoopLag
from nexus_core.runtime import stock
from nexus_core.runtime.async_host import Follower, raised_by_stock
from nexus_core.runtime.async_pruned_run import AsyncPrunedRun
from nexus_core.runtime.async_run import AsyncRun
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.delegation import metrics_are_read
from nexus_core.runtime.durability import Durability, begin_async
from nexus_core.runtime.durable_async_run import DurableAsyncRun
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.pruning import is_pruned
from nexus_core.runtime.pruning_log import log_beginning
from nexus_core.runtime.run_ids import new_run_id
from nexus_core.runtime.run_options import run_options
from nexus_core.runtime.traced_runs import begin_traced
from nexus_core.runtime.workflow_rules import WorkflowRule, WorkflowRules, rule_of

__all__ = ["NativeRuns", "account_for"]

_logger = logging.getLogger("kailash.runtime.async_local")
_nodes_logger = logging.getLogger("kailash.nodes")
_analysis_logger = logging.getLogger("kailash.analysis.conditional_branch_analyzer")


class NativeRuns(stock.StockAsyncLocalRuntime):
    """What executes runs that are not left to Kailash."""

    run_short_on_loop: bool
    _counts: Any
    _figures: _Figures | None
    _loop_lag: LoopLag | None
    _tracing: bool
    _rules: WorkflowRules | None

    async def _finish_short(self, workflow: Any, run: AsyncRun, seconds: float) -> tuple[dict[str, Any], str]:
        """Awaits a run that took the short way for so long, and that is now left to workers."""
        began = time.perf_counter() - seconds
        succeeded = False
        try:
            results = await run.execute(self._timeout_of(workflow))
            succeeded = True
        except Exception as error:
            raise self._as_raised(error, workflow)  # noqa: B904 - it has its cause
        finally:
            plan = run.compiled.plan
            run.release()
            seconds = time.perf_counter() - began
            if self._figures is not None:
                self._figures.ran(plan, workflow, seconds, None if succeeded else sys.exc_info()[1])
            account_for(workflow, seconds, succeeded)
        return results, new_run_id()

    def _timeout_of(self, workflow: Any) -> float | None:
        """Seconds that a run of a workflow may take."""
        timeout: float | None = self.execution_timeout
        return timeout if self._rules is None else rule_of(self, workflow).timeout or timeout

    def _as_raised(self, error: Exception, workflow: Any) -> BaseException:
        """What the caller is to see of an error."""
        if isinstance(error, TimeoutError):
            _logger.error(f"Workflow execution timeout after {self._timeout_of(workflow)}s")
            return error
        if isinstance(error, (SoftTimeLimitExceeded, HardTimeLimitExceeded, WorkflowCancelledError)):
            return error
        raised = raised_by_stock(error)
        if raised is not error:
            raised.__cause__ = error
        return raised

    async def _execute_native(
        self,
        workflow: Any,
        plan: CompiledWorkflow,
        inputs: dict[str, Any],
        context: Any,
        follower: Follower | None,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        run_id: str | None = None,
        idempotency_key: str | None = None,
        force_resume_with_drift: bool = False,
    ) -> tuple[dict[str, Any], str]:
        began = time.perf_counter()
        self._counts.native_runs += 1
        if self._loop_lag is not None:
            self._loop_lag.watch(asyncio.get_running_loop())
        registry, metrics = self.resource_registry, None
        given = inputs
        durability: Durability | None = None
        if context is None:
            inputs = dict(inputs)
        else:
            context.variables.update(inputs)
        if self._is_durable(idempotency_key):
            run_id = run_id or new_run_id()
            durability = await begin_async(
                self, workflow, plan, inputs, context, run_id, idempotency_key, force_resume_with_drift, _logger
            )
        if context is not None:
            inputs, registry, metrics = context.variables, context.resource_registry, context.metrics
        reads_info = is_visible(_logger, logging.INFO)
        if reads_info:
            self._log_plan(plan)
        rule = rule_of(self, workflow)
        options = self._run_options(plan, rule, metrics is not None or follower is not None, durability)
        run: AsyncRun | AsyncPrunedRun = (
            # Of a run that is pruned Kailash saves and tells nothing.
            AsyncPrunedRun(self, workflow, plan, given)
            if is_pruned(self, plan)
            else AsyncRun(self, workflow, plan, inputs, options, metrics, follower, registry)
            if durability is None
            else DurableAsyncRun(self, workflow, plan, inputs, options, metrics, follower, registry, durability)
        )
        traced = begin_traced(self, workflow, plan)
        if traced is not None:
            run_id = run_id or new_run_id()
            run.follow_with(traced)
        succeeded = False
        try:
            results = None
            if (
                self.run_short_on_loop
                and plan.fits_on_loop
                and plan.plan.is_short()
                and follower is None
                and soft_time_limit is None
                and time_limit is None
                and durability is None
            ):
                results = run.run_here()
            if results is None:
                results = await run.execute(self._timeout_of(workflow), soft_time_limit, time_limit)
            succeeded = True
        except Exception as error:
            raise self._as_raised(error, workflow)  # noqa: B904 - it has its cause
        finally:
            if self._tracing:
                self._last_trace = run.trace()
            run.release()
            seconds = time.perf_counter() - began
            failure = None if succeeded else sys.exc_info()[1]
            if traced is not None:
                traced.end(failure, run_id)
            if self._figures is not None:
                self._figures.ran(plan.plan, workflow, seconds, failure)
            del failure
            account_for(workflow, seconds, succeeded)
            if context is not None:
                await self._finish_context(context, seconds, succeeded, sys.exc_info()[1])
        if reads_info:
            _logger.info(f"Workflow execution completed in {seconds:.2f}s")
            _analysis_logger.info(f"Found {plan.switch_count} SwitchNode instances")
        return results, run_id or new_run_id()

    def _run_options(
        self, plan: CompiledWorkflow, rule: WorkflowRule, observed: bool, durability: Durability | None
    ) -> RunOptions:
        guarded = plan.guarded_by is not None
        return run_options(
            max_concurrency=1 if rule.one_at_a_time else self.max_concurrent_nodes,
            in_order=rule.in_order,
            stock_execute=is_visible(_nodes_logger, logging.DEBUG),
            logs_nodes=is_visible(_nodes_logger, logging.INFO),
            logs_skips=is_visible(_logger, logging.INFO),
            observed=observed,
            guards_each_node=guarded and not plan.only_code_on_threads,
            guards_stretch=guarded and plan.only_code_on_threads,
            trace=self._tracing,
            tracks=durability is not None,
            confirms=durability is not None and durability.confirms,
        )

    @staticmethod
    async def _finish_context(context: Any, seconds: float, succeeded: bool, error: BaseException | None) -> None:
        if succeeded:
            context.metrics.total_duration = seconds
        elif isinstance(error, Exception):
            context.metrics.error_count += 1
        try:
            await context.cleanup()
        except Exception as error:
            _logger.warning(f"Error during context cleanup: {error}")

    def _log_plan(self, plan: CompiledWorkflow) -> None:
        if is_pruned(self, plan):
            log_beginning(self, plan.switch_count, is_awaited=True)
            return
        _analysis_logger.info(f"Found {plan.switch_count} SwitchNode instances")
        if self.analyzer:
            _logger.info(f"Execution plan: {plan.widest_level} max concurrent, {plan.level_count} levels")

    def _is_durable(self, idempotency_key: str | None) -> bool:
        """Whether stock would go node by node, to record, save or tell what they do."""
        return bool(
            idempotency_key is not None or self._checkpoint_after_each_node or self._hook_registry.subscriber_count
        )


def account_for(workflow: Any, seconds: float, succeeded: bool) -> None:
    """What stock does at the end of every run, where it reaches anybody.

    Args:
        workflow: What ran.
        seconds: How long.
        succeeded: Whether it did.
    """
    bridge = get_metrics_bridge()
    if metrics_are_read(bridge):
        bridge.record_workflow_execution(workflow.name or "", seconds, success=succeeded)
    credentials = get_credential_store()
    if credentials._store:
        credentials.clear()
