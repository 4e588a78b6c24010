"""``ParallelExecutionManager``: many runs of a workflow at a time, and how many it takes."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nexus_core._app_workflows import WorkflowExecutor, attached_runtime, checked_app, registered_workflow
from nexus_core._checks import checked_seconds, checked_whole
from nexus_core._other_thread import await_on_thread
from nexus_core.errors import NexusCoreError
from nexus_core.load_testing.latency_histogram import LatencyHistogram
from nexus_core.parallel_execution.batch_run import BatchRun
from nexus_core.parallel_execution.measurements import Measurements
from nexus_core.parallel_execution.recommendations import Shape, by_queueing_theory, by_the_guide
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes, ask_for, turns_at_most

__all__ = ["ParallelExecutionManager"]

_PERCENTILES = ("p50", "p90", "p95", "p99", "p999", "max")

# What no process does is a wrong number.
_MOST_RUNS_A_SECOND = 1e9

# Runs at once where nothing else says how many; Kailash's own bound for nodes.
_AT_ONCE = 10


class ParallelExecutionManager:
    """Executes workflows of an app many at a time, and learns from it how many it takes.

    Args:
        nexus_app: An open ``nexus.Nexus``. Attached (``nexus_core.attach``), its runs are on the attached
            runtime; otherwise they are the app's own executions.

    Attributes:
        app: The app.
        execution_stats: By workflow's name, what all executions together came to.

    Raises:
        TypeError: If it is no Nexus app.
        NexusCoreError: If the app is closed.

    Example:
        >>> import asyncio
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> from nexus import Nexus
        >>> import nexus_core
        >>> from nexus_core import ParallelExecutionManager
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "double", {"code": "result = 2 * x"})
        >>> app = Nexus(enable_durability=False)
        >>> app.register("double", builder)
        >>> report = nexus_core.attach(app)
        >>> manager = ParallelExecutionManager(app)
        >>> reply = asyncio.run(manager.execute_concurrent_workflows("double", [{"x": 1}, {"x": 21}, {"x": None}]))
        >>> [batch["status"] for batch in reply["results"]]
        ['completed', 'completed', 'failed']
        >>> reply["results"][1]["result"]["double"]["result"]
        42
        >>> app.close()
    """

    def __init__(self, nexus_app: Any) -> None:
        self.app = checked_app(nexus_app, "ParallelExecutionManager")
        self.execution_stats: dict[str, dict[str, Any]] = {}
        self._latencies: dict[str, LatencyHistogram] = {}
        #: With what was executed, and on what.
        self._measured: dict[str, tuple[weakref.ref[Any], weakref.ref[Any] | None, Measurements]] = {}
        self._at_once: dict[str, int] = {}
        self._active: dict[BatchRun, str] = {}
        #: What takes back what was applied to a runtime, and how many executions a workflow had before.
        self._applied: list[tuple[Any, Callable[[], None], str, int | None]] = []
        self._lock = threading.Lock()

    async def execute_concurrent_workflows(
        self,
        workflow_name: str,
        input_batches: Iterable[Mapping[str, Any]],
        *,
        max_concurrency: int | None = None,
        timeout: float | None = None,
        on_batch: Callable[[dict[str, Any]], object] | None = None,
        keep_results: bool = True,
    ) -> dict[str, Any]:
        """Executes a workflow once for each batch, several at a time; one that fails stops no other.

        Cancelling the awaiting task cancels what runs, and nothing else begins. :meth:`cancel` does so, too,
        and the reply says what was done.

        Args:
            workflow_name: The name that the workflow is registered under.
            input_batches: The inputs of each run. A ``batch_id`` among them names it in the reply; its
                place does otherwise.
            max_concurrency: How many may run at once. By default what :meth:`optimize_for_throughput` has
                applied for the workflow, else as many as nodes may run at once on the attached runtime.
            timeout: Seconds that a batch may take; it fails with ``TimeoutError`` then.
            on_batch: Called with the reply of each batch that has begun, when it ends.
            keep_results: Whether replies have what the workflow returned.

        Returns:
            ``workflow_name``, ``total_batches``, ``execution_time`` in seconds, ``throughput`` (completed
            batches a second), ``results``: for each batch ``batch_id``, ``status`` (``"completed"``,
            ``"failed"`` or ``"cancelled"``), ``seconds``, ``error_type``, ``error`` and ``result``;
            and ``completed``, ``failed``, ``cancelled``, ``max_concurrency`` and ``percentiles`` of what
            completed batches took, in seconds, each to 0.1 %.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If a number is out of range.
            UnknownWorkflow: If there is no such workflow.
            NexusCoreError: If the app is closed.

        Example:
            >>> import asyncio
            >>> from nexus import Nexus
            >>> from nexus_core import ParallelExecutionManager, PerformanceBestPractices, attach
            >>> async def main(app):
            ...     batches = [{"batch_id": name, "records": []} for name in ("first", "second")]
            ...     return await ParallelExecutionManager(app).execute_concurrent_workflows("optimized", batches)
            >>> with Nexus(enable_durability=False) as app:
            ...     attached = attach(app)
            ...     app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            ...     reply = asyncio.run(main(app))
            >>> [(batch["batch_id"], batch["status"]) for batch in reply["results"]]
            [('first', 'completed'), ('second', 'completed')]
        """
        batches = _checked_batches(input_batches)
        limit = None if max_concurrency is None else checked_whole("max_concurrency", max_concurrency, 1)
        seconds = None if timeout is None else checked_seconds("timeout", timeout)
        if on_batch is not None and not callable(on_batch):
            raise TypeError(f"on_batch must be a function, got {on_batch!r}")
        if inspect.iscoroutinefunction(on_batch):
            raise TypeError(f"on_batch must be a function that is not async, got {on_batch!r}")
        self._check(workflow_name)
        limit = limit or self._default_limit(workflow_name)
        async with WorkflowExecutor(self.app, workflow_name) as execute:
            run = BatchRun(execute, batches, limit, seconds, on_batch, keep_results)
            return await self._executed(workflow_name, run, limit)

    async def _executed(self, workflow_name: str, run: BatchRun, limit: int) -> dict[str, Any]:
        workflow, runtime = self.app._workflows[workflow_name], attached_runtime(self.app)
        with self._lock:
            self._active[run] = workflow_name
        try:
            await run.run()
        finally:
            with self._lock:
                del self._active[run]
            reply = self._account(workflow_name, run, limit, workflow, runtime)
        return reply

    def cancel(self, workflow_name: str | None = None) -> int:
        """Cancels executions; from any thread.

        Batches that run are cancelled (a synchronous node that runs goes on to its end, unnoticed), those
        that wait never begin.

        Args:
            workflow_name: Of this workflow, which need not be registered any more, or of all.

        Returns:
            How many executions are ended; none if nothing of that name runs.

        Raises:
            TypeError: If the name is no string.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ParallelExecutionManager
            >>> with Nexus(enable_durability=False) as app:
            ...     ParallelExecutionManager(app).cancel()  # nothing runs
            0
        """
        if workflow_name is not None and not isinstance(workflow_name, str):
            raise TypeError(f"a workflow's name must be a string, got {workflow_name!r}")
        with self._lock:
            found = [run for run, name in self._active.items() if workflow_name in (None, name)]
        for run in found:
            run.cancel()
        return len(found)

    async def measure_service_time(
        self, workflow_name: str, inputs: Mapping[str, Any] | None = None, runs: int = 20
    ) -> dict[str, Any]:
        """Executes a workflow some times, one after the other, so that its service time is known.

        The cache has no part in it: what it answers takes no place on the runtime.

        Args:
            workflow_name: The name that the workflow is registered under.
            inputs: For each run.
            runs: How many; one more is made before, which does not count.

        Returns:
            What :meth:`execute_concurrent_workflows` returns for it.

        Raises:
            TypeError: If an argument is of the wrong kind.
            UnknownWorkflow: If there is no such workflow.

        Example:
            >>> import asyncio
            >>> from nexus import Nexus
            >>> from nexus_core import ParallelExecutionManager, PerformanceBestPractices
            >>> with Nexus(enable_durability=False) as app:
            ...     app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            ...     manager = ParallelExecutionManager(app)
            ...     asyncio.run(manager.measure_service_time("optimized", runs=5))["completed"]
            ...     manager.optimize_for_throughput("optimized", 20)["based_on"]["thread_pool_size"]
            5
            'measured'
        """
        count = checked_whole("runs", runs, 1)
        (batch,) = _checked_batches([{} if inputs is None else inputs])
        self._check(workflow_name)
        async with WorkflowExecutor(self.app, workflow_name, is_cached=False) as execute:
            await BatchRun(execute, [batch], 1, None, None, False).run()
            return await self._executed(workflow_name, BatchRun(execute, [batch] * count, 1, None, None, True), 1)

    def optimize_for_throughput(
        self,
        workflow_name: str,
        target_throughput: float,
        apply: bool = False,
        *,
        longest_wait: float | None = None,
        arrival_variability: float = 1.0,
        sample_inputs: Mapping[str, Any] | None = None,
        runs: int = 20,
    ) -> dict[str, Any]:
        """Recommends how many runs, threads and cores a throughput takes.

        From service times that were measured of the workflow as it is registered, on the runtime that the app is
        attached to, by queueing theory; where none were, by the guide's formulas.
        Runs at which more than the runtime has room for were under way count by the utilization law.

        Args:
            workflow_name: The name that the workflow is registered under.
            target_throughput: Runs a second.
            apply: Whether the attached runtime is made large enough. It serves all workflows of the app, so
                it never becomes smaller. Runs that wait for their turn have the room at once.
            longest_wait: Seconds that a run may wait on average for its turn; by default a tenth of its
                service time.
            arrival_variability: Squared coefficient of variation of the times between requests: 1 for
                independent clients, 0 for a steady clock.
            sample_inputs: If given, the workflow is first executed with it, ``runs`` times.
            runs: How often.

        Returns:
            The guide's keys ``concurrent_executions``, ``resource_allocation`` and ``caching_strategy``;
            ``based_on`` (``"measured"`` or ``"guide"`` for each), the ``figures``, an ``explanation``, and
            ``applied``: what has been changed, with ``before`` and ``after``.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If a number is out of range.
            UnknownWorkflow: If there is no such workflow.
            NexusCoreError: If the app is closed, or ``apply`` is asked for and it is not attached.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import ParallelExecutionManager, PerformanceBestPractices
            >>> with Nexus(enable_durability=False) as app:
            ...     app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            ...     found = ParallelExecutionManager(app).optimize_for_throughput("optimized", 20)
            >>> found["concurrent_executions"], found["based_on"]["thread_pool_size"]  # nothing has run
            (40, 'guide')
        """
        target = checked_seconds("target_throughput", target_throughput, what="a number of runs a second")
        if target > _MOST_RUNS_A_SECOND:
            raise ValueError(f"target_throughput must be at most {_MOST_RUNS_A_SECOND:,.0f}, got {target_throughput!r}")
        wait = None if longest_wait is None else checked_seconds("longest_wait", longest_wait)
        varies = checked_seconds("arrival_variability", arrival_variability, zero=True, what="a number")
        checked_whole("runs", runs, 1)
        self._check(workflow_name)
        runtime = attached_runtime(self.app)
        if apply and runtime is None:
            raise NexusCoreError(
                "only an attached runtime can be resized, and the app is not attached: nexus_core.attach(app)"
            )
        if sample_inputs is not None:
            _checked_batches([sample_inputs])
            await_on_thread(lambda: self.measure_service_time(workflow_name, sample_inputs, runs))
        workflow = registered_workflow(self.app, workflow_name)
        with self._lock:
            service = self._measurements(workflow_name, workflow, runtime).service_time()
        reply = (
            by_the_guide(target)
            if service is None
            else by_queueing_theory(target, service, _shape(workflow_name, workflow), wait, varies)
        )
        limit = turns_at_most(runtime, workflow)
        if limit is not None and limit < reply["concurrent_executions"]:
            reply["explanation"].append(
                f"of the workflow at most {limit} runs are under way at once, as a PerformanceOptimizer was told: "
                "max_concurrent_executions would have to be more"
            )
        reply["applied"] = self._apply(workflow_name, runtime, reply) if apply else {}
        return reply

    def revert(self) -> dict[str, dict[str, int]]:
        """Undoes what :meth:`optimize_for_throughput` has applied, the last first.

        The runtime stays as large as others have asked for, and as somebody has made it since.

        Returns:
            What has been changed, with ``before`` and ``after``; nothing if nothing was applied.

        Example:
            >>> import nexus, nexus_core
            >>> app = nexus.Nexus(enable_durability=False)
            >>> app.register("optimized", nexus_core.PerformanceBestPractices.create_optimized_workflow())
            >>> report = nexus_core.attach(app)
            >>> manager = nexus_core.ParallelExecutionManager(app)
            >>> manager.optimize_for_throughput("optimized", 20, apply=True)["applied"]["thread_pool_size"]
            {'before': 4, 'after': 20}
            >>> manager.revert()["thread_pool_size"]
            {'before': 20, 'after': 4}
            >>> app.close()
        """
        with self._lock:
            applied, self._applied = self._applied, []
            changed: dict[str, dict[str, int]] = {}
            for runtime, let_go, name, at_once in reversed(applied):
                if at_once is None:
                    self._at_once.pop(name, None)
                else:
                    self._at_once[name] = at_once
                before = RuntimeSizes.of(runtime)
                let_go()
                for size, step in RuntimeSizes.of(runtime).changes_from(before).items():
                    changed[size] = {"before": changed.get(size, step)["before"], "after": step["after"]}
            return changed

    # --- within -------------------------------------------------------------------------

    def _check(self, workflow_name: str) -> None:
        checked_app(self.app, "ParallelExecutionManager")
        registered_workflow(self.app, workflow_name)

    def _default_limit(self, workflow_name: str) -> int:
        if workflow_name in self._at_once:
            return self._at_once[workflow_name]
        runtime = attached_runtime(self.app)
        return _AT_ONCE if runtime is None else int(runtime.max_concurrent_nodes)

    def _measurements(self, name: str, workflow: Any, runtime: Any) -> Measurements:
        """What is known of a workflow on a runtime; of others under its name it says nothing."""
        known = self._measured.get(name)
        if known is not None and known[0]() is workflow:
            on = known[1]
            # A runtime that is gone is not the lack of one.
            if runtime is None if on is None else (runtime is not None and on() is runtime):
                return known[2]
        found = Measurements()
        self._measured[name] = (weakref.ref(workflow), None if runtime is None else weakref.ref(runtime), found)
        return found

    def _room(self, workflow_name: str, workflow: Any, runtime: Any) -> int:
        """How many runs of the workflow have room at once."""
        if runtime is None:
            return 1  # they have threads of their own, and share an interpreter without order
        shape = _shape(workflow_name, workflow)
        room: int = runtime.max_concurrent_nodes // shape.nodes
        if shape.threads:
            room = min(room, runtime.thread_pool_size // shape.threads)
        return max(1, min(room, turns_at_most(runtime, workflow) or room))

    def _account(self, name: str, run: BatchRun, limit: int, workflow: Any, runtime: Any) -> dict[str, Any]:
        results = run.replies()
        counts = {
            status: sum(reply["status"] == status for reply in results)
            for status in ("completed", "failed", "cancelled")
        }
        room = self._room(name, workflow, runtime)
        with self._lock:
            stats = self.execution_stats.setdefault(
                name,
                {
                    "executions": 0,
                    "total_batches": 0,
                    "completed": 0,
                    "failed": 0,
                    "cancelled": 0,
                    "execution_time": 0.0,
                },
            )
            stats["executions"] += 1
            stats["total_batches"] += len(results)
            for status, count in counts.items():
                stats[status] += count
            stats["execution_time"] += run.seconds
            seconds = stats["execution_time"]
            stats["throughput"] = stats["completed"] / seconds if seconds > 0 else 0.0
            latency = self._latencies.setdefault(name, LatencyHistogram())
            latency.merge(run.latency)
            stats["percentiles"] = _percentiles(latency)
            ended = counts["completed"] + counts["failed"] - run.answered_by_cache
            measured = self._measurements(name, workflow, runtime)
            measured.add(run.samples, ended, run.seconds, run.cpu_seconds, room, limit)
        return {
            "workflow_name": name,
            "total_batches": len(results),
            "execution_time": run.seconds,
            "throughput": counts["completed"] / run.seconds if run.seconds > 0 else 0.0,
            "results": results,
            **counts,
            "max_concurrency": limit,
            "percentiles": _percentiles(run.latency),
        }

    def _apply(self, name: str, runtime: Any, reply: dict[str, Any]) -> dict[str, dict[str, int]]:
        threads = reply["resource_allocation"]["thread_pool_size"]
        nodes = max(threads, reply["figures"].get("max_concurrent_nodes", reply["concurrent_executions"]))
        with self._lock:
            before = RuntimeSizes.of(runtime)
            let_go = ask_for(runtime, RuntimeSizes(nodes, threads))
            self._applied.append((runtime, let_go, name, self._at_once.get(name)))
            self._at_once[name] = reply["concurrent_executions"]
            return RuntimeSizes.of(runtime).changes_from(before)


def _shape(name: str, workflow: Any) -> Shape:
    from nexus_core.best_practices.workflow_facts import facts_of

    facts = facts_of(name, workflow)
    return Shape(max(1, facts.widest), facts.synchronous_side_by_side)


def _percentiles(latency: LatencyHistogram) -> dict[str, float]:
    summary = latency.summary()
    return {name: getattr(summary, name) for name in _PERCENTILES}


def _checked_batches(batches: Any) -> list[Mapping[str, Any]]:
    if isinstance(batches, (str, bytes, Mapping)) or not isinstance(batches, Iterable):
        raise TypeError(f"input_batches must be a list of mappings, got {batches!r}")
    found = list(batches)
    for number, batch in enumerate(found):
        if not isinstance(batch, Mapping):
            raise TypeError(f"input_batches[{number}] must be a mapping, got {batch!r}")
    return found
