"""``AsyncLocalRuntime`` on the native engine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Coroutine
from typing import Any

from kailash.runtime._time_limits import _validate_limits

from nexus_core._core import Places, _collection
from nexus_core.metrics.loops import LoopLag
from nexus_core.runtime import stock
from nexus_core.runtime.async_delegation import reasons_to_delegate, watch_of_methods
from nexus_core.runtime.async_entries import AsyncEntries
from nexus_core.runtime.async_explanation import explain_async
from nexus_core.runtime.async_native import NativeRuns, account_for
from nexus_core.runtime.cache_wishes import take_wish
from nexus_core.runtime.cached_execution import IN_TURN, UNCACHED, Call, aexecute_cached, finished_async
from nexus_core.runtime.compiler import Awaits, CompiledWorkflow, NotNative, compile_aside, compiled, known
from nexus_core.runtime.explain import DelegationError, Explanation
from nexus_core.runtime.local import LocalRuntime
from nexus_core.runtime.pruning import is_pruned, reasons_not_to_prune
from nexus_core.runtime.run_options import run_options
from nexus_core.runtime.short_way import LONGEST_ON_LOOP, short_way
from nexus_core.runtime.streamed_runs import StreamedRuns
from nexus_core.runtime.traced_runs import observe_delegation
from nexus_core.runtime.workflow_rules import Turn, WorkflowRules, rule_of
from nexus_core.versions import warn_once

__all__ = ["AsyncLocalRuntime"]

_logger = logging.getLogger("kailash.runtime.async_local")

#: Nodes from which on a workflow is read on a thread.
_LARGE = 100

# A collection in the middle of a short run does not make it a long one.
gc.callbacks.append(_collection)


class AsyncLocalRuntime(AsyncEntries, NativeRuns, StreamedRuns, stock.StockAsyncLocalRuntime, LocalRuntime):
    """Kailash's ``AsyncLocalRuntime`` with the same results, in parallel and without its overhead.

    Follows ``kailash.runtime.async_local.AsyncLocalRuntime``: same constructor, same methods,
    and its own outcomes where they differ from ``LocalRuntime``'s. Synchronous nodes run on
    worker threads, asynchronous ones as tasks on the loop, and independent nodes at the same
    time whatever their kind. A workflow that has proved to be shorter than a hand-over to a
    thread runs on the loop's own thread.

    Args:
        resource_registry: Resources for asynchronous nodes.
        max_concurrent_nodes: Nodes that run at the same time, in all runs together; runs
            take turns.
        enable_analysis: As for Kailash's; without it asynchronous nodes run as synchronous ones.
        enable_profiling: As for Kailash's.
        thread_pool_size: Synchronous nodes that run at the same time.
        execution_timeout: Seconds that a run may take; 0 for no limit, ``None`` for Kailash's default.
        strict: Whether a run that would be delegated to Kailash raises
            :class:`DelegationError` instead.
        run_short_on_loop: Whether workflows that have proved to be short may run on the
            loop's own thread.
        cache: As for :class:`LocalRuntime`.
        **kwargs: As for :class:`LocalRuntime`.

    Raises:
        ValueError: If ``max_concurrent_nodes`` or ``thread_pool_size`` is less than one.

    Example:
        >>> import asyncio
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        >>> async def main():
        ...     async with AsyncLocalRuntime() as runtime:
        ...         results, run_id = await runtime.execute_workflow_async(builder.build(), {})
        ...         return results
        >>> asyncio.run(main())
        {'one': {'result': 1}}
    """

    def __init__(
        self,
        resource_registry: Any | None = None,
        max_concurrent_nodes: int = 10,
        enable_analysis: bool = True,
        enable_profiling: bool = True,
        thread_pool_size: int = 4,
        execution_timeout: int | None = None,
        *,
        strict: bool = False,
        run_short_on_loop: bool = True,
        cache: Any = None,
        **kwargs: Any,
    ) -> None:
        warn_once()
        for name, value in (("max_concurrent_nodes", max_concurrent_nodes), ("thread_pool_size", thread_pool_size)):
            if value < 1:
                raise ValueError(f"{name} is {value!r}, and must be at least 1: no node could run")
        own: dict[str, Any] = {
            "resource_registry": resource_registry,
            "max_concurrent_nodes": max_concurrent_nodes,
            "enable_analysis": enable_analysis,
            "enable_profiling": enable_profiling,
            "thread_pool_size": thread_pool_size,
            "execution_timeout": execution_timeout,
        }
        super().__init__(**own, strict=strict, cache=cache, **kwargs)
        self.thread_pool_size = thread_pool_size
        self.run_short_on_loop = run_short_on_loop
        self._places = Places(max_concurrent_nodes, thread_pool_size)
        self._short_way = short_way(account_for)
        self._rules: WorkflowRules | None = None
        self._cleaned_up = False

    # --- what users ask about --------------------------------------------------------

    def explain(self, workflow: Any) -> Explanation:
        """Which parts of a workflow run natively on this runtime, and why the others do not.

        Args:
            workflow: A built workflow.

        Returns:
            The explanation; ``print`` shows it as text.
        """
        return explain_async(self, workflow)

    def engine_statistics(self) -> dict[str, Any]:
        """How many runs were native, and why others were delegated.

        Returns:
            ``{"native_runs": int, "delegated_runs": {reason: int}}``, and with a cache its
            statistics under ``"cache"``.
        """
        statistics = super().engine_statistics()
        statistics["native_runs"] += self._short_way.runs
        return statistics

    def watch_loop_lag(self, enabled: bool = True) -> None:
        """Samples how late the event loops are on which runs begin from now on.

        Five times a second a timer of the loop is looked at; `metrics()` has what was seen.
        It keeps no loop running. An attached app's runtime does it by itself.

        Args:
            enabled: ``False`` stops it.

        Example:
            >>> import asyncio
            >>> async def main():
            ...     async with AsyncLocalRuntime() as runtime:
            ...         runtime.watch_loop_lag()
            ...         await asyncio.sleep(0.5)
            ...         return runtime.metrics().loop_lag.count > 0
            >>> asyncio.run(main())
            True
        """
        before, self._loop_lag = self._loop_lag, None
        if before is not None:
            before.stop()
        if enabled and self._figures is not None:
            self._loop_lag = LoopLag(self._figures)
            with contextlib.suppress(RuntimeError):  # on no loop now
                self._loop_lag.watch(asyncio.get_running_loop())

    def close(self) -> None:
        """As Kailash's, without its wait of five seconds for a loop that is not running."""
        loop = self._persistent_loop
        if self._ref_count == 1 and not self._cleaned_up and loop and not (loop.is_closed() or loop.is_running()):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                loop.run_until_complete(self.cleanup())
        super().close()

    # --- running ----------------------------------------------------------------------

    async def execute_workflow_async(
        self,
        workflow: Any,
        inputs: dict[str, Any],
        context: Any | None = None,
        *,
        idempotency_key: str | None = None,
        force_resume_with_drift: bool = False,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        refresh: bool = False,
        cache: bool | None = None,
    ) -> tuple[dict[str, Any], str]:
        """Executes a workflow; follows ``AsyncLocalRuntime.execute_workflow_async``.

        When the awaiting task is cancelled, nodes that have not started never will,
        asynchronous ones are cancelled, and synchronous ones that are running are not
        waited for.

        Args:
            workflow: A built workflow.
            inputs: For all nodes; under a node's id, for that one alone.
            context: Kailash's ``ExecutionContext``, to be filled.
            idempotency_key: Names the run: with a checkpoint store, nodes that an earlier
                run under this key has completed are not run again.
            force_resume_with_drift: Whether to go on although the workflow's shape has changed.
            soft_time_limit: Seconds after which no node starts; what is running then may
                take another second.
            time_limit: Seconds after which, and one more, the run fails in any case.
            refresh: With a cache, whether the results are computed anew in any case, and kept.
            cache: ``False`` if the runtime's cache has no part in this run.

        Returns:
            Results by node id, in topological order, and the id of the run.

        Raises:
            WorkflowExecutionError: If a node fails; the cause is its error. Of several, the
                first in topological order is reported.
            WorkflowShapeDriftError: If the checkpoint is of a workflow of another shape.
            TimeoutError: After ``execution_timeout``.
            SoftTimeLimitExceeded: After ``soft_time_limit``.
            HardTimeLimitExceeded: After ``time_limit`` and the second of grace.
            DelegationError: If the runtime is strict and Kailash would have to run this.
        """
        if self._cached_runs is not None and cache is not UNCACHED and cache is not IN_TURN:
            if context is None and idempotency_key is None and not refresh and cache is None:
                _validate_limits(soft_time_limit, time_limit)
                if self._short_way.on_loop >= LONGEST_ON_LOOP:
                    inputs = await self._others_turn(inputs)
                began = time.perf_counter()
                found = self._cached_runs.attempt(self, workflow, inputs)
                if found is not None:
                    self._short_way.on_loop += time.perf_counter() - began
                    return found
            return await self._execute_cached(
                workflow, inputs, context, idempotency_key, force_resume_with_drift, soft_time_limit, time_limit,
                refresh, cache,
            )  # fmt: skip
        rule = None if self._rules is None else self._rules.of(workflow)
        if rule is not None and rule.surrounds and cache is not IN_TURN:
            # The caller may change its own while the run waits.
            inputs = dict(inputs) if type(inputs) is dict else inputs
            async with Turn(rule):
                # Not what a subclass has in its place: that has been called already.
                return await AsyncLocalRuntime.execute_workflow_async(
                    self, workflow, inputs, context,
                    idempotency_key=idempotency_key, force_resume_with_drift=force_resume_with_drift,
                    soft_time_limit=soft_time_limit, time_limit=time_limit, cache=IN_TURN,
                )  # fmt: skip
        if (
            context is None
            and idempotency_key is None
            and soft_time_limit is None
            and time_limit is None
            and (rule is None or not rule.orders_nodes)
        ):
            short = self._short_way
            if short.on_loop >= LONGEST_ON_LOOP:
                inputs = await self._others_turn(inputs)
            try:
                outcome = short.attempt(self, workflow, inputs)
            except Exception as error:
                raise self._as_raised(error, workflow)  # noqa: B904 - it has its cause
            if outcome is not None:
                return outcome if type(outcome[1]) is str else await self._finish_short(workflow, *outcome)
        _validate_limits(soft_time_limit, time_limit)
        inputs = await self._read_large(workflow, inputs)
        plan = self._async_plan_for(workflow, inputs, idempotency_key)
        if isinstance(plan, tuple):
            return await self._delegate(
                plan,
                workflow,
                inputs,
                context,
                idempotency_key=idempotency_key,
                force_resume_with_drift=force_resume_with_drift,
                soft_time_limit=soft_time_limit,
                time_limit=time_limit,
            )
        return await self._execute_native(
            workflow,
            plan,
            inputs,
            context,
            None,
            soft_time_limit,
            time_limit,
            idempotency_key=idempotency_key,
            force_resume_with_drift=force_resume_with_drift,
        )

    async def _others_turn(self, inputs: Any) -> Any:
        """Lets others have the loop, which short runs in a row have kept for long.

        Returns:
            The inputs as they are now: the caller may change what it gave as soon as anybody
            else has a turn.
        """
        self._short_way.on_loop = 0.0
        inputs = dict(inputs) if type(inputs) is dict else inputs
        await asyncio.sleep(0)
        return inputs

    async def _execute_cached(
        self,
        workflow: Any,
        inputs: Any,
        context: Any,
        idempotency_key: str | None,
        force_resume_with_drift: bool,
        soft_time_limit: float | None,
        time_limit: float | None,
        refresh: bool,
        cache: bool | None,
    ) -> tuple[dict[str, Any], str]:
        _validate_limits(soft_time_limit, time_limit)
        wish = take_wish()
        if wish is not None:
            refresh = refresh or wish.refresh
            cache = wish.cache if cache is None else cache
        call = Call(
            refresh,
            cache,
            soft_time_limit is not None or time_limit is not None,
            (
                ("an execution context is given", context is not None),
                ("an idempotency key is given", idempotency_key is not None),
                # Kailash's runtime has no word for none of them, as LocalRuntime has.
                ("the inputs are not a dict", type(inputs) is not dict),
            ),
            wish,
        )

        def compute(own: Any) -> Coroutine[Any, Any, tuple[dict[str, Any], str]]:
            # Not what a subclass has in its place: that has been called already.
            return AsyncLocalRuntime.execute_workflow_async(
                self, workflow, own, context,
                idempotency_key=idempotency_key, force_resume_with_drift=force_resume_with_drift,
                soft_time_limit=soft_time_limit, time_limit=time_limit, cache=UNCACHED,
            )  # fmt: skip

        return await aexecute_cached(self, workflow, inputs, call, compute, finished_async)

    def _reasons_to_delegate(self, workflow: Any, inputs: Any) -> tuple[str, ...]:
        return reasons_to_delegate(self, workflow, inputs)

    _gives_ids = True

    def _method_watch(self) -> Any:
        return watch_of_methods(self)

    def _plan_to_cache(self, workflow: Any, inputs: Any) -> CompiledWorkflow | tuple[str, ...]:
        return self._async_plan_for(workflow, inputs, None)

    async def _delegate(
        self, reasons: tuple[str, ...], workflow: Any, inputs: Any, context: Any, **options: Any
    ) -> tuple[dict[str, Any], str]:
        if self._strict:
            raise DelegationError(reasons)
        self._delegated_runs.update(reasons)
        steps = super().execute_workflow_async(workflow, inputs, context, **options)
        outcome: tuple[dict[str, Any], str]
        async with asyncio.timeout(rule_of(self, workflow).timeout):
            outcome = await observe_delegation(self, workflow, reasons, steps)
        return outcome

    def _remember(self) -> None:
        """Notes that nothing about the runtime has to be delegated."""
        quiet = self.run_short_on_loop and self.analyzer and not self._tracing and self._recorder is None
        if self._cached_runs is not None and self._cached_runs.cache._nodes:
            quiet = False
        options = run_options(max_concurrency=self.max_concurrent_nodes, guards_stretch=True) if quiet else None
        self._short_way.renew(
            self, self.__dict__, options, self.conditional_execution == "skip_branches", self._cached_runs is not None
        )

    # --- what is native -----------------------------------------------------------------

    async def _read_large(self, workflow: Any, inputs: Any) -> Any:
        """Reads a workflow whose reading would keep the loop for long, on a thread.

        Returns:
            The inputs as they are now, since the caller may change its own meanwhile.
        """
        if type(workflow) is not stock.Workflow or len(workflow._node_instances) < _LARGE:
            return inputs
        if known(workflow, self._awaits()) is None:
            if type(inputs) is dict:
                inputs = dict(inputs)
            # What is wrong with it is found again, and told, by whoever needs the plan.
            with contextlib.suppress(Exception):
                await asyncio.to_thread(compile_aside, workflow, self._awaits())
        return inputs

    def _awaits(self) -> Awaits:
        return Awaits.ASYNC_NODES if self.analyzer else Awaits.NONE

    def _async_plan_for(
        self, workflow: Any, inputs: Any, idempotency_key: str | None
    ) -> CompiledWorkflow | tuple[str, ...]:
        """The plan to run, or why Kailash has to run the workflow."""
        reasons = reasons_to_delegate(self, workflow, inputs)
        if reasons:
            return reasons
        if not self._checkpoint_after_each_node:
            self._remember()
        try:
            plan = compiled(workflow, self._awaits())
        except NotNative as refused:
            return (str(refused),)
        if not plan.node_ids and self._is_durable(idempotency_key):
            return ("Kailash has words of its own for a durable run of no nodes",)
        return self._plan_to_prune(workflow, plan) or plan

    def _plan_to_prune(self, workflow: Any, plan: CompiledWorkflow) -> CompiledWorkflow | tuple[str, ...] | None:
        """How a workflow runs whose branches are pruned, as ``LocalRuntime``'s are; why not; ``None`` for others."""
        if not is_pruned(self, plan):
            return None
        try:
            local = compiled(workflow, LocalRuntime._awaits(self))
        except NotNative as refused:
            return (str(refused),)
        return reasons_not_to_prune(self, workflow, local) or local
