"""One native run of a workflow, step for step as ``LocalRuntime._execute_async`` does it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kailash.runtime.progress import _current_progress_registry
from kailash.sdk_exceptions import (
    RuntimeExecutionError,
    WorkflowCancelledError,
    WorkflowExecutionError,
    WorkflowValidationError,
)

from nexus_core._core import Places, RunOptions, WorkflowRun, _RecordedRun
from nexus_core.cached_runs.nodes import node_caching
from nexus_core.runtime.awaited_nodes import AwaitedNodesRun
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.cycle_tasks import CycleTasks, HistoryTasks, ManagerTasks
from nexus_core.runtime.cyclic_run import CyclicRun
from nexus_core.runtime.durability import Durability
from nexus_core.runtime.durable_local_run import LoopDriver, Resumption, TrackedHost, run_on
from nexus_core.runtime.host import RunHost
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.node_contexts import ContextScope, own_context
from nexus_core.runtime.node_host import nodes_elsewhere
from nexus_core.runtime.observers import RunObserver
from nexus_core.runtime.outside import Request, driven
from nexus_core.runtime.pruned_run import PrunedRun
from nexus_core.runtime.pruning import is_pruned
from nexus_core.runtime.pruning_log import log_beginning
from nexus_core.runtime.run_options import run_options
from nexus_core.runtime.spans import RunSpans, spans_are_recorded
from nexus_core.runtime.traced_runs import begin_traced
from nexus_core.runtime.workflow_context import LazySignals, LiveTracker

__all__ = ["NativeRun"]

_nodes_logger = logging.getLogger("kailash.nodes")
_graph_logger = logging.getLogger("kailash.workflow.graph")

Outcome = tuple[dict[str, Any], str | None]


#: Programs whose body may report progress: it is Python of the user's own modules.
_REPORTING = frozenset({"function", "class"})


class NativeRun(AwaitedNodesRun):
    """A run that the native engine executes.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        task_manager: Told of the run and its nodes, or ``None``.
        parameters: As given to ``execute``.
        token: Cancellation token, or ``None``.
        search_attributes: As given to ``execute``.
        prunes: Whether the runtime's mode says whether it is pruned.
        resumption: How the run is durable, or ``None``.
    """

    __slots__ = (
        "_durability",
        "_host",
        "_is_driven",
        "_loop",
        "_parameters",
        "_prunes",
        "_resumption",
        "_tracker",
        "is_here",
        "needs_loop",
        "observer",
        "token",
        "traced",
    )

    #: What its nodes ask of Kailash, unless completions are tracked.
    _host_class: type[RunHost] = RunHost

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        task_manager: Any,
        parameters: dict[str, Any] | None,
        token: Any,
        search_attributes: dict[str, Any] | None,
        prunes: bool = True,
        resumption: Resumption | None = None,
    ) -> None:
        super().__init__(runtime, workflow, plan, task_manager, search_attributes)
        self._prunes = prunes
        self.token = token
        self._parameters = parameters
        self.observer: RunObserver | None = None
        self._host: RunHost | None = None
        self._tracker: LiveTracker | None = None
        self._is_driven = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._durability: Durability | None = None
        self._resumption = resumption
        #: It is driven by ``execute``, which counts it.
        self.is_here = False
        #: The run in a trace.
        self.traced: _RecordedRun | None = None
        self.needs_loop = plan.needs_loop or (resumption is not None and resumption.needs_loop)

    def execute(self, loop: asyncio.AbstractEventLoop | None) -> Outcome:
        """Runs to the end on the calling thread.

        Args:
            loop: Where nodes are awaited and confirmed; only needed by a run that does so.
        """
        steps = self.execute_async()
        if self.needs_loop and loop is not None:
            return run_on(loop, steps)
        self._loop = loop
        self._is_driven = True
        return driven(steps)

    async def _outside(self, call: Callable[[], Any]) -> Any:
        return await Request(call) if self._is_driven else call()

    def execute_async(self) -> Coroutine[Any, Any, Outcome]:
        """Runs to the end, awaiting nodes where they have to be."""
        if self.runtime._recorder is None or self.traced is not None:
            return self._execute()
        return self._execute_traced()

    async def _execute_traced(self) -> Outcome:
        traced = self.traced = begin_traced(self.runtime, self.workflow, self.plan)
        failure: BaseException | None = None
        try:
            return await self._execute()
        except BaseException as error:
            failure = error
            raise
        finally:
            if traced is not None:
                traced.end(failure, self.run_id)
            del failure

    async def _execute(self) -> Outcome:
        signal_key: str | None = None
        processed: dict[str, Any] | None = None
        began = datetime.now(UTC)
        started = 0.0 if self.is_here else time.perf_counter()
        succeeded = False
        if self._resumption is not None:
            self._durability = await self._resumption.load(self.runtime, self.workflow, self.plan, self._parameters)
        try:
            context, supplied = self._workflow_context()
            processed = self._processed_parameters()
            self._validate(processed)
            self._begin_tracking(processed)
            signal_key = self.run_id or getattr(self.workflow, "workflow_id", None) or str(id(self.workflow))
            signals = LazySignals(asyncio.get_running_loop() if self.needs_loop else None)
            for name in ("signal_channel", "query_registry"):
                if name in context:
                    signals[name] = context[name]
            self.runtime._workflow_signals[signal_key] = signals
            results = await self._results(context, supplied, processed)
            await self._final_cleanup()
            self._end_tracking("completed", None, processed, began)
            succeeded = True
            return results, self.run_id
        except WorkflowValidationError:
            self._end_tracking("failed", "Validation failed", processed, began)
            raise
        except PermissionError as error:
            self._end_tracking("failed", str(error), processed, began)
            raise
        except WorkflowCancelledError as error:
            self._end_tracking("cancelled", str(error), processed, began)
            raise
        except Exception as error:
            self._end_tracking("failed", str(error), processed, began)
            raise RuntimeExecutionError(
                f"Unified enterprise workflow execution failed: {type(error).__name__}: {error}"
            ) from error
        finally:
            if signal_key is not None:
                self.runtime._workflow_signals.pop(signal_key, None)
            if self._host is not None:
                # All of these refer to one another.
                self._host.run = None  # type: ignore[assignment]
            self._host = self._run = None
            if not self.is_here:
                self._count(time.perf_counter() - started, None if succeeded else sys.exc_info()[1])

    def _count(self, seconds: float, failure: BaseException | None) -> None:
        figures = self.runtime._figures
        # Otherwise it is a part of a run that is counted.
        if figures is not None and self._prunes:
            figures.ran(self.plan.plan, self.workflow, seconds, failure)

    # --- before the first node ------------------------------------------------------

    def _workflow_context(self) -> tuple[dict[str, Any], bool]:
        """The run's context, and whether the caller will see it."""
        context: Any = {}
        supplied = False
        if self._parameters and "workflow_context" in self._parameters:
            context = self._parameters.pop("workflow_context")
            context = own_context(context)
            supplied = isinstance(context, dict)
            if not supplied:
                context = {}
        self.runtime._current_workflow_context = context
        if self._resumption is None and supplied and context.get("execution_tracker") is not None:
            self._resumption = Resumption(None, False, None, False)
        tracker = None
        if self._resumption is not None:
            self._durability = self._resumption.track(self._durability, self.runtime, self.workflow, self.plan, context)
            tracker = self._durability.tracker
        if supplied or self.plan.shows_context:
            signals = LazySignals()
            context["signal_channel"] = signals["signal_channel"]
            context["query_registry"] = signals["query_registry"]
            if tracker is None:
                tracker = self._tracker = LiveTracker()
            context["execution_tracker"] = tracker
        return context, supplied

    def _processed_parameters(self) -> dict[str, Any] | None:
        if not self._parameters:
            return None
        processed: dict[str, Any] | None = self.runtime._process_workflow_parameters(self.workflow, self._parameters)
        return processed

    def _validate(self, processed: dict[str, Any] | None) -> None:
        """``Workflow.validate``, called where it can fail, or where its log lines are seen."""
        given = processed or {}
        for node_id, names in self.plan.runtime_requirements:
            values = given.get(node_id, ())
            if any(name not in values for name in names):
                break
        else:
            questionable = self.plan.cycles is not None and self.plan.cycles.is_questionable
            if not (questionable or is_visible(_graph_logger, logging.INFO)):
                return
        self.workflow.validate(runtime_parameters=processed)

    # --- nodes ------------------------------------------------------------------------

    def _log_beginning(self) -> None:
        runtime = self.runtime
        mode = "route_data" if runtime.conditional_execution == "route_data" else "standard"
        runtime.logger.info(f"Standard DAG workflow detected, using unified enterprise execution ({mode} mode)")
        runtime.logger.info("Execution order: %s", self.plan.node_ids)

    async def _run_nodes(
        self, context: dict[str, Any], supplied: bool, processed: dict[str, Any] | None
    ) -> dict[str, Any]:
        runtime, plan = self.runtime, self.plan
        info_is_read = is_visible(runtime.logger, logging.INFO)
        own_execute = self._needs_own_execute()
        logs_nodes = is_visible(_nodes_logger, logging.INFO)
        if info_is_read:
            self._log_beginning()
        spans = RunSpans(self.workflow, plan, self.run_id) if spans_are_recorded() else None
        observed = supplied or self.task_manager is not None or info_is_read or spans is not None
        if observed:
            self.observer = RunObserver(
                runtime,
                self.workflow,
                plan,
                self.task_manager,
                self._manager_id,
                audited=supplied or self.task_manager is not None,
                spans=spans,
            )
        durability = self._durability
        tracks = durability is not None and durability.tracker is not None
        confirms = durability is not None and durability.confirms
        host = self._host = (TrackedHost if tracks else self._host_class)(
            runtime,
            self.workflow,
            plan,
            processed,
            context,
            self.token,
            self.observer,
        )
        if isinstance(host, TrackedHost) and durability is not None:
            host.durability = durability
        guarded = plan.guarded_by is not None and not own_execute
        # A ceiling that holds for the run would be over what comes back from other processes.
        all_here = host.elsewhere is None
        guards_run = guarded and plan.only_code_nodes and not confirms and all_here
        guards_stretch = guarded and plan.only_code_on_threads and confirms and all_here
        options = run_options(
            max_concurrency=runtime.max_concurrency,
            validates_connections=runtime.connection_validation != "off",
            detects_content_failures=bool(runtime.content_aware_success_detection),
            stock_inputs=bool(runtime.debug),
            stock_execute=own_execute,
            logs_nodes=logs_nodes,
            logs_skips=info_is_read or bool(runtime.debug),
            observed=observed,
            checks_cancellation=self.token is not None,
            guards_memory=guards_run,
            guards_stretch=guards_stretch,
            guards_each_node=guarded and not (guards_run or guards_stretch),
            history=self._history_id is not None,
            trace=runtime._tracing,
            tracks=tracks,
            confirms=confirms,
            as_local=confirms,
        )
        places = None
        if confirms:
            places = Places(options.max_concurrency, options.max_concurrency)
        run = self._run = host.run = self._start(host, options, processed, context, places)
        if self.traced is not None:
            self.traced.follow(run)
        if self._tracker is not None:
            self._tracker.follow(run)
        if plan.needs_loop or not plan.only_code_nodes:
            run.context().run(_current_progress_registry.set, runtime._progress_registry)
        sharing = plan.instances if own_execute or logs_nodes else plan.context_nodes
        if sharing:
            host.scope = ContextScope(sharing, context)
            run.context().run(host.scope.enter)
        memory_limit = run.memory_limit if guards_run else None
        if memory_limit is not None:
            plan.enter_memory_limit(memory_limit)
        state = "started"
        try:
            if places is not None and durability is not None:
                durability.run_id = self.run_id
                state = await LoopDriver(run, durability, self._await_to_confirm, places).drive()
            while state != "finished":
                if state == "cancelled":
                    raise self._cancelled(run)
                state, waiting = run.drive()
                if state == "pinned":
                    await self._await_nodes(run, waiting or [])
        except WorkflowExecutionError as failure:
            host.ended_by(failure)
            raise
        finally:
            # Ctrl-C, for instance: nobody will ask for what still runs.
            host.is_over = not isinstance(sys.exc_info()[1], Exception | None)
            if memory_limit is not None:
                plan.leave_memory_limit(memory_limit)
            if host.scope is not None:
                host.scope.leave()
            host.count_validations(state == "finished")
            if runtime._tracing:
                runtime._last_trace = run.trace()
            if self._tracker is not None:
                self._tracker.freeze()
            results = run.results() if state == "finished" else {}
            # The tracebacks of failed nodes lead to this frame, and the run to those.
            del run
        runtime._current_workflow_context = None
        if self.observer is not None:
            self.observer.finished()
            if supplied:
                context["_audit_trail"] = self.observer.events
        return results

    def _start(
        self,
        host: RunHost,
        options: RunOptions,
        processed: dict[str, Any] | None,
        context: dict[str, Any],
        places: Places | None,
    ) -> WorkflowRun:
        """The run of the plan's nodes, ready to be driven."""
        service = None if places is None else (places, True)
        figures = self.runtime._figures
        return self.plan.plan.start(
            host, options, processed, context, service, host.native_caching, figures, host.remote
        )

    async def _results(
        self, context: dict[str, Any], supplied: bool, processed: dict[str, Any] | None
    ) -> dict[str, Any]:
        if self.plan.cycles is not None:
            return await self._run_cycles(processed)
        if not (self._prunes and is_pruned(self.runtime, self.plan)):
            return await self._run_nodes(context, supplied, processed)
        log_beginning(self.runtime, self.plan.switch_count)
        run = PrunedRun(
            self.runtime,
            self.workflow,
            self.plan,
            processed,
            context,
            self._needs_own_execute(),
            traced=self.traced,
        )
        try:
            return await run.execute(self._drive, partial(self._begin_again, processed))
        except ValueError as error:
            if not run.is_refusal(error):
                raise
            self.runtime.logger.warning(f"Conditional execution failed, falling back to standard execution: {error}")
            return await self._run_nodes(context, supplied, processed)

    async def _begin_again(self, processed: dict[str, Any] | None) -> dict[str, Any]:
        run = NativeRun(
            self.runtime, self.workflow, self.plan, self.task_manager, processed or {}, None, None, prunes=False
        )
        run.traced = self.traced
        return (await run.execute_async())[0]

    async def _drive(self, run: WorkflowRun) -> None:
        """Drives one phase of a pruned run to its end."""
        while True:
            state, waiting = run.drive()
            if state == "finished":
                return
            await self._await_nodes(run, waiting or [], cleans_up=False)

    async def _run_cycles(self, processed: dict[str, Any] | None) -> dict[str, Any]:
        runtime, plan = self.runtime, self.plan
        own_execute = self._needs_own_execute()
        guarded = plan.guarded_by is not None and not own_execute
        guards_run = guarded and plan.only_code_nodes and nodes_elsewhere(runtime, self.workflow, plan) is None
        tasks: CycleTasks | None = None
        if self._history_id is not None:
            tasks = self._cycle_rows = HistoryTasks()
        elif self._manager_id is not None:
            tasks = ManagerTasks(self.task_manager, self._manager_id, plan)
        # Nodes in cycles are not cached, which is counted.
        node_caching(runtime, self.workflow, plan)
        options = run_options(
            max_concurrency=runtime.max_concurrency,
            stock_execute=own_execute,
            logs_nodes=is_visible(_nodes_logger, logging.INFO),
            observed=self._manager_id is not None,
            guards_memory=guards_run,
            guards_each_node=guarded and not guards_run,
            history=self._history_id is not None,
        )
        together = min(runtime.max_concurrency, len(plan.node_ids))
        memory_limit = plan.plan.memory_limit(together) if guarded else None
        run = CyclicRun(
            runtime, self.workflow, plan, processed, options, self.run_id, memory_limit, tasks, self.traced, self.token
        )
        self.run_id = run.run_id
        # As a task of its own would: what nodes set is not the caller's.
        context = contextvars.copy_context()
        context.run(_current_progress_registry.set, runtime._progress_registry)
        if memory_limit is None or not guards_run:
            return await self._outside(partial(context.run, run.execute))
        plan.enter_memory_limit(memory_limit)
        try:
            return await self._outside(partial(context.run, run.execute))
        finally:
            plan.leave_memory_limit(memory_limit)

    def _needs_own_execute(self) -> bool:
        """Whether all nodes run through their own ``execute``.

        It logs more when it is debugged, and says whose progress is reported. It cannot
        call named functions, but then no program that Kailash runs has any.
        """
        details_are_read = self.runtime.debug or is_visible(_nodes_logger, logging.DEBUG)
        if not (details_are_read or self.runtime._progress_registry._callbacks):
            return False
        programs = {node.program for node in self.plan.explanations}
        return "named function" not in programs and (details_are_read or not programs.isdisjoint(_REPORTING))

    def _cancelled(self, run: WorkflowRun) -> WorkflowCancelledError:
        pending = run.first_pending()
        completed = run.completed()
        node_id = self.plan.node_ids[pending] if pending is not None else None
        self.runtime.logger.info("Workflow cancelled before node '%s' (completed: %s)", node_id, completed)
        return WorkflowCancelledError(
            message=f"Workflow cancelled: {self.token.reason or 'no reason provided'}",
            completed_nodes=list(completed),
            cancelled_at_node=node_id,
        )

    async def _final_cleanup(self) -> None:
        for node_id in self.plan.cleanup_ids:
            try:
                cleaning = self.workflow._node_instances[node_id].cleanup()
                if self._is_driven and self._loop is not None:
                    await self._outside(partial(self._loop.run_until_complete, cleaning))
                else:
                    await cleaning
            except Exception as error:
                self.runtime.logger.warning(f"Error during final cleanup of node {node_id}: {error}")
