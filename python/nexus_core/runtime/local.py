"""``LocalRuntime`` on the native engine."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kailash.runtime._time_limits import (
    _TimeLimitClassifier,
    _validate_limits,
    arm_time_limits,
)
from kailash.sdk_exceptions import RuntimeExecutionError, WorkflowCancelledError

from nexus_core.process_pool import ProcessPool
from nexus_core.processes.isolation import Isolation
from nexus_core.runtime import history, stock, validation_counts
from nexus_core.runtime.cached_execution import (
    UNCACHED,
    aexecute_cached,
    cached_runs_of,
    call_locally,
    execute_cached,
    finished_locally,
)
from nexus_core.runtime.compiler import Awaits, CompiledWorkflow, NotNative, compiled
from nexus_core.runtime.cycle_delegation import reason_not_to_cycle
from nexus_core.runtime.delegation import (
    reasons_to_delegate,
    stands_in,
    watch_of_methods,
)
from nexus_core.runtime.durable_local_run import resumption_for
from nexus_core.runtime.explain import DelegationError, Explanation
from nexus_core.runtime.local_explanation import explain_locally
from nexus_core.runtime.measured import Measured
from nexus_core.runtime.pruning import PruningOnce, is_pruned, reasons_not_to_prune
from nexus_core.runtime.run_ends import account_for, run_ends
from nexus_core.runtime.time_limits import LimitedToken, has_ended_nodes, raise_if_too_late
from nexus_core.runtime.traced_runs import observe_delegation
from nexus_core.runtime.workflow_context import LazySignals
from nexus_core.runtime.workflow_run import NativeRun
from nexus_core.versions import warn_once

__all__ = ["LocalRuntime"]

_DEPRECATION = (
    "LocalRuntime.execute() without context manager or explicit close() is deprecated. "
    "Use 'with LocalRuntime() as runtime:' pattern for proper resource cleanup. "
    "This will become an error in v0.12.0. "
    "See documentation: https://docs.kailash.ai/runtime/local-runtime#resource-management"
)


class LocalRuntime(Measured, PruningOnce):
    """Kailash's ``LocalRuntime`` with the same results, in parallel and without its overhead.

    Follows ``kailash.runtime.local.LocalRuntime``: same constructor, same ``execute``.
    Independent synchronous nodes run at the same time once one of them holds the caller.

    Args:
        *args: As for Kailash's.
        strict: Whether a run that would be delegated to Kailash raises
            :class:`DelegationError` instead.
        cache: Where results of workflows are kept that may be: ``True``, a
            :class:`~nexus_core.ResultCache`, an ``IntelligentCache``, or a ``Cache`` to keep them in.
        isolation: Which nodes run in worker processes: ``"process"`` for all that can, ``"auto"`` for those
            that prove to be long and to compute, ids of nodes (``"node"`` or ``"workflow/node"``), or either
            by id. With ``None`` those of which a workflow or a node says so itself; with ``False`` none.
        process_pool: The :class:`~nexus_core.ProcessPool` that they run in; by default one that all
            runtimes of the process share.
        **kwargs: As for Kailash's; ``max_concurrency`` bounds the nodes that run at once.

    Example:
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        >>> with LocalRuntime(enable_monitoring=False) as runtime:
        ...     results, run_id = runtime.execute(builder.build())
        >>> results
        {'one': {'result': 1}}
    """

    def __init__(
        self,
        debug: bool = False,
        enable_cycles: bool = True,
        enable_async: bool = True,
        max_concurrency: int = 10,
        user_context: Any | None = None,
        enable_monitoring: bool = True,
        enable_security: bool = False,
        enable_audit: bool = False,
        resource_limits: dict[str, Any] | None = None,
        secret_provider: Any | None = None,
        connection_validation: str = "warn",
        conditional_execution: str = "route_data",
        content_aware_success_detection: bool = True,
        persistent_mode: bool = False,
        enable_connection_sharing: bool = True,
        max_concurrent_workflows: int = 10,
        connection_pool_size: int = 20,
        enable_enterprise_monitoring: bool = False,
        enable_health_monitoring: bool = False,
        enable_resource_coordination: bool = True,
        circuit_breaker_config: dict[str, Any] | None = None,
        retry_policy_config: dict[str, Any] | None = None,
        connection_pool_config: dict[str, Any] | None = None,
        trust_context: Any | None = None,
        trust_verifier: Any | None = None,
        trust_verification_mode: str = "disabled",
        audit_generator: Any | None = None,
        audit_log_to_stdout: bool = False,
        enable_resource_limits: bool = False,
        checkpoint_store: Any | None = None,
        checkpoint_after_each_node: bool = False,
        history_store: Any | None = None,
        sync_bridge_timeout: float | None = None,
        *,
        strict: bool = False,
        cache: Any = None,
        isolation: Any = None,
        process_pool: ProcessPool | None = None,
        **kwargs: Any,
    ) -> None:
        cached_runs = cached_runs_of(cache)
        isolated = Isolation(isolation, process_pool)
        given = {key: value for key, value in locals().items() if key in _STOCK_ARGUMENTS}
        warn_once()
        # Those of another version of Kailash's; it refuses what it does not know.
        super().__init__(**given, **kwargs)
        self._strict: bool = strict
        self._cached_runs = cached_runs
        self._isolation = isolated
        self._loop_in_use = threading.Lock()
        self._measure()

    @property
    def _run_class(self) -> type[NativeRun]:
        """What drives a run that is not left to Kailash."""
        return NativeRun

    # --- what users ask about --------------------------------------------------------

    def explain(self, workflow: Any) -> Explanation:
        """Which parts of a workflow run natively on this runtime, and why the others do not.

        Args:
            workflow: A built workflow.

        Returns:
            The explanation; ``print`` shows it as text.
        """
        return explain_locally(self, workflow)

    def close(self) -> None:
        """As Kailash's; when nobody uses the runtime any more, its history is written."""
        super().close()
        if self._ref_count <= 0 and self.enable_monitoring:
            self.flush_history(_CLOSE_PATIENCE)

    def flush_history(self, timeout: float | None = None) -> bool:
        """Waits until the history of all finished runs is in the database.

        Args:
            timeout: Seconds to wait at most; ``None`` waits as long as Kailash would.

        Returns:
            Whether everything is written.
        """
        return history.flush(timeout)

    def signal(self, workflow_id: str, signal_name: str, data: Any = None) -> None:
        """As Kailash's; a waiting node on another thread's event loop hears it at once.

        Args:
            workflow_id: The run's id, or its workflow's.
            signal_name: What the node waits for.
            data: What it is given.

        Raises:
            KeyError: If no such run is in flight.
        """
        signals = self._workflow_signals.get(workflow_id)
        super().signal(workflow_id, signal_name, data)
        if isinstance(signals, LazySignals):
            signals.wake()

    # --- running ----------------------------------------------------------------------

    def execute(
        self,
        workflow: Any,
        task_manager: Any | None = None,
        parameters: dict[str, Any] | None = None,
        cancellation_token: Any | None = None,
        search_attributes: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        force_resume_with_drift: bool = False,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        refresh: bool = False,
        cache: bool | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], str | None]:
        """Executes a workflow; follows ``kailash.runtime.local.LocalRuntime.execute``.

        Args:
            workflow: A built workflow.
            task_manager: Told of the run and its nodes, or ``None``.
            parameters: By node id, for the workflow as a whole, or both.
            cancellation_token: Looked at between nodes.
            search_attributes: Indexed with the run.
            idempotency_key: Names the run: with a checkpoint store, nodes that an earlier
                run under this key has completed are not run again.
            force_resume_with_drift: Whether to go on although the workflow's shape has changed.
            soft_time_limit: Seconds after which no node starts.
            time_limit: Seconds after which the run fails in any case.
            refresh: With a cache, whether the results are computed anew in any case, and kept.
            cache: ``False`` if the runtime's cache has no part in this run.
            **kwargs: Ignored, as Kailash does.

        Returns:
            Results by node id, in topological order, and the id of the run.

        Raises:
            RuntimeExecutionError: As Kailash does; the cause is the node's error.
            WorkflowValidationError: If the workflow or its parameters are invalid.
            WorkflowCancelledError: If the token was cancelled.
            WorkflowShapeDriftError: If the checkpoint is of a workflow of another shape.
            DelegationError: If the runtime is strict and Kailash would have to run this.
        """
        if cache is not UNCACHED:
            _validate_limits(soft_time_limit, time_limit)
            if not (self._is_context_managed or self._cleanup_registered or self._externally_managed):
                warnings.warn(_DEPRECATION, DeprecationWarning, stacklevel=2)
            # Another thread may take it away.
            cached_runs = self._cached_runs
            if cached_runs is not None:
                if (
                    not (refresh or self.enable_monitoring)
                    and cache is None
                    and cancellation_token is None
                    and self._recorder is None
                ):
                    # What else is given that is not an input is found out by who looks more closely.
                    known = (task_manager, search_attributes, idempotency_key)
                    if known == (None, None, None):
                        found = cached_runs.attempt(self, workflow, {} if parameters is None else parameters)
                        if found is not None:
                            return found
                return execute_cached(
                    self,
                    workflow,
                    parameters,
                    call_locally(
                        refresh,
                        cache,
                        cancellation_token,
                        soft_time_limit is not None or time_limit is not None,
                        task_manager,
                        idempotency_key,
                        search_attributes,
                    ),
                    # Not what a subclass has in its place: that has been called already.
                    lambda own: LocalRuntime.execute(
                        self, workflow, task_manager, own, cancellation_token, search_attributes,
                        idempotency_key=idempotency_key, force_resume_with_drift=force_resume_with_drift,
                        soft_time_limit=soft_time_limit, time_limit=time_limit, cache=UNCACHED, **kwargs,
                    ),
                )  # fmt: skip
        plan = self._plan_for(workflow, parameters)
        if isinstance(plan, tuple):
            if self._strict:
                raise DelegationError(plan)
            with self._already_warned():
                return super().execute(
                    workflow,
                    task_manager,
                    parameters,
                    cancellation_token,
                    search_attributes,
                    idempotency_key=idempotency_key,
                    force_resume_with_drift=force_resume_with_drift,
                    soft_time_limit=soft_time_limit,
                    time_limit=time_limit,
                    **kwargs,
                )
        self._isolation.check(workflow, plan)
        limits = None
        if soft_time_limit is not None or time_limit is not None:
            cancellation_token = LimitedToken()
            limits = arm_time_limits(cancellation_token, soft_time_limit=soft_time_limit, time_limit=time_limit)
            cancellation_token.limits = limits
        run: NativeRun | None = None
        succeeded = False
        began = time.perf_counter()
        try:
            run = self._run_class(
                self, workflow, plan, task_manager, parameters, cancellation_token,
                search_attributes, resumption=resumption_for(self, idempotency_key, force_resume_with_drift),
            )  # fmt: skip
            try:
                outcome = self._run_here_or_on_bridge(
                    run,
                    {
                        "workflow": workflow,
                        "task_manager": task_manager,
                        "parameters": parameters,
                        "cancellation_token": cancellation_token,
                        "search_attributes": search_attributes,
                        "idempotency_key": idempotency_key,
                        "force_resume_with_drift": force_resume_with_drift,
                    },
                )
            except WorkflowCancelledError as error:
                if limits is not None:
                    classified = _TimeLimitClassifier(limits).classify(error)
                    if classified is not error:
                        raise classified from error
                raise
            except RuntimeExecutionError as error:
                if limits is not None and has_ended_nodes(error):
                    raise_if_too_late(limits, cancellation_token)
                raise
            if limits is not None:
                raise_if_too_late(limits, cancellation_token)
            succeeded = True
            return outcome
        finally:
            seconds = time.perf_counter() - began
            figures = self._figures if run is not None and run.is_here else None
            failure = None if succeeded else sys.exc_info()[1]
            if run_ends.ended(figures, plan.plan, workflow, seconds, failure):
                # As Kailash sees it: what is being handled around this call counts, too.
                account_for(workflow, seconds, sys.exc_info()[0] is None)
            del failure
            if limits is not None:
                limits.disarm()
            if plan.needs_loop:
                self._snapshot_async_sql_pool_keys()

    async def execute_async(
        self,
        workflow: Any,
        task_manager: Any | None = None,
        parameters: dict[str, Any] | None = None,
        cancellation_token: Any | None = None,
        execution_tracker: Any | None = None,
        search_attributes: dict[str, Any] | None = None,
        *,
        refresh: bool = False,
        cache: bool | None = None,
        **options: Any,
    ) -> tuple[dict[str, Any], str | None]:
        """Executes a workflow; follows ``kailash.runtime.local.LocalRuntime.execute_async``.

        Args:
            workflow: As for :meth:`execute`.
            task_manager: The same.
            parameters: The same.
            cancellation_token: The same.
            execution_tracker: What an earlier run has completed is in it, and not run again.
            search_attributes: The same.
            refresh: The same.
            cache: The same.
            **options: ``idempotency_key`` and ``force_resume_with_drift``.
        """

        def compute(own: Any) -> Any:
            return stock.StockLocalRuntime.execute_async(
                self, workflow, task_manager, own, cancellation_token, execution_tracker, search_attributes, **options
            )

        if self._cached_runs is None:
            outcome: tuple[dict[str, Any], str | None] = await compute(parameters)
            return outcome
        key = options.get("idempotency_key")
        call = call_locally(
            refresh, cache, cancellation_token, False, task_manager, key, search_attributes, execution_tracker
        )
        return await aexecute_cached(self, workflow, parameters, call, compute, finished_locally)

    def _reasons_to_delegate(self, workflow: Any, inputs: Any) -> tuple[str, ...]:
        return reasons_to_delegate(self, workflow, inputs)

    #: Whether every run has an id, also one that no history is written of.
    _gives_ids = False

    def _method_watch(self) -> Any:
        return watch_of_methods(self)

    def _plan_to_cache(self, workflow: Any, inputs: Any) -> CompiledWorkflow | tuple[str, ...]:
        return self._plan_for(workflow, inputs)

    def _awaits(self) -> Awaits:
        return Awaits.ANY if self.enable_async else Awaits.CLEANUP

    @contextmanager
    def _already_warned(self) -> Iterator[None]:
        """Keeps Kailash's own ``execute`` from warning a second time, from here."""
        if not (self._cleanup_registered or _inside_event_loop()):
            self._ensure_event_loop()
        if self._cleanup_registered or self._is_context_managed or self._externally_managed:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="LocalRuntime.execute", category=DeprecationWarning)
            yield

    def _plan_for(
        self,
        workflow: Any,
        parameters: Any,
    ) -> CompiledWorkflow | tuple[str, ...]:
        """The plan to run, or why Kailash has to run the workflow."""
        reasons = reasons_to_delegate(self, workflow, parameters)
        if reasons:
            return reasons
        try:
            plan = compiled(workflow, self._awaits())
        except NotNative as refused:
            return (str(refused),)
        mapped = workflow.metadata.get("_workflow_inputs")
        if mapped and type(mapped) is dict and not plan.node_id_set.issuperset(mapped):
            # Kailash gives what it maps so to all nodes.
            return ("its metadata maps inputs of the workflow to a node that is not there",)
        if plan.cycles is not None:
            without = reason_not_to_cycle(self)
            return plan if without is None else (without,)
        if self.conditional_execution == "skip_branches" and is_pruned(self, plan):
            return reasons_not_to_prune(self, workflow, plan) or plan
        return plan

    def _run_here_or_on_bridge(self, run: NativeRun, arguments: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # Inside the handler, as Kailash does: the error is the context of
            # whatever a node raises.
            return self._run_here(run)
        # On a thread of its own with a loop of its own, as Kailash does; it comes
        # back to ``_execute_async``.
        return self._execute_sync(**arguments)

    def _run_here(self, run: NativeRun) -> tuple[dict[str, Any], str | None]:
        self._counts.native_runs += 1
        run.is_here = True
        try:
            if run.needs_loop:
                with self._event_loop() as loop:
                    return run.execute(loop)
            own = self._ensure_event_loop() if run.plan.cycles is not None or not self._cleanup_registered else None
            return run.execute(own)
        except Exception as error:
            failure = error
        # As an event loop would hand it on.
        raise failure

    @contextmanager
    def _event_loop(self) -> Iterator[asyncio.AbstractEventLoop]:
        """The runtime's own event loop, or one for this run alone while another thread runs that."""
        if self._loop_in_use.acquire(blocking=False):
            try:
                yield self._ensure_event_loop()
            finally:
                self._loop_in_use.release()
        else:
            with asyncio.Runner() as runner:
                yield runner.get_loop()

    async def _execute_async(self, workflow: Any, **kwargs: Any) -> tuple[dict[str, Any], str | None]:
        plan = self._plan_for(workflow, kwargs.get("parameters"))
        if isinstance(plan, tuple):
            if self._strict:
                raise DelegationError(plan)
            self._delegated_runs.update(plan)
            return await observe_delegation(self, workflow, plan, super()._execute_async(workflow, **kwargs))
        self._isolation.check(workflow, plan)
        self._counts.native_runs += 1
        run = self._run_class(
            self,
            workflow,
            plan,
            kwargs.get("task_manager"),
            kwargs.get("parameters"),
            kwargs.get("cancellation_token"),
            kwargs.get("search_attributes"),
            resumption=resumption_for(
                self,
                kwargs.get("idempotency_key"),
                bool(kwargs.get("force_resume_with_drift", False)),
                kwargs.get("execution_tracker"),
            ),
        )
        return await run.execute_async()


#: How long ``close`` waits for run history, in seconds: as long as Kailash waits for a
#: locked database.
_CLOSE_PATIENCE = 5.0

history.install_read_barrier()
validation_counts.install_read_barrier()
stands_in(LocalRuntime._execute_async)

_STOCK_ARGUMENTS = frozenset(
    name
    for name in stock.StockLocalRuntime.__init__.__code__.co_varnames[
        1 : stock.StockLocalRuntime.__init__.__code__.co_argcount
    ]
)


def _inside_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
