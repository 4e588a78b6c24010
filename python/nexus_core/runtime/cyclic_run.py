"""A run of a workflow with cycles: which round comes when, and when a cycle ends.

Follows ``CyclicWorkflowExecutor._execute_with_cycles`` step for step. Each round (an iteration
of a cycle, or nodes outside of cycles) is a run of the native engine, in which independent
nodes run together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kailash.sdk_exceptions import RuntimeExecutionError, WorkflowExecutionError
from kailash.workflow.cycle_state import CycleState
from kailash.workflow.safety import CycleMonitor

from nexus_core._core import MemoryLimit, Round, RunOptions, _RecordedRun
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.convergence import has_converged, make_condition
from nexus_core.runtime.cycle_host import CycleHost, cycle_logger
from nexus_core.runtime.cycles import CycleGroup, CyclePlan, StageDescription
from nexus_core.runtime.log_visibility import is_visible

if TYPE_CHECKING:
    from nexus_core.runtime.cycle_tasks import CycleTasks

__all__ = ["CyclicRun"]

_state_logger = logging.getLogger("kailash.workflow.cycle_state")
_graph_logger = logging.getLogger("kailash.workflow.graph")
_NEVER = float("inf")


class CyclicRun:
    """One run.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan, with cycles.
        parameters: By node id.
        options: Of its rounds.
        run_id: The run's id, or ``None`` for one made here.
        memory_limit: What its code nodes are under, or ``None``.
        tasks: Told of groups, iterations and nodes, or ``None``.
        traced: The run in a trace, or ``None``.
        token: The run's cancellation token, or ``None``.
    """

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        parameters: dict[str, Any] | None,
        options: RunOptions,
        run_id: str | None,
        memory_limit: MemoryLimit | None,
        tasks: CycleTasks | None,
        traced: _RecordedRun | None = None,
        token: Any = None,
    ) -> None:
        assert plan.cycles is not None
        self.run_id = run_id or str(uuid4())
        self.host = CycleHost(runtime, workflow, plan, tasks)
        # Its limits end nodes in other processes; between nodes it is not looked at, as Kailash does not.
        self.host.token = token
        self._runtime = runtime
        self._workflow = workflow
        self._plan = plan
        self._cycles: CyclePlan = plan.cycles
        self._places = {node_id: place for place, node_id in enumerate(plan.node_ids)}
        self._parameters = parameters or {}
        self._options = options
        self._memory_limit = memory_limit
        self._tasks = tasks
        self._traced = traced
        self._talks = is_visible(cycle_logger, logging.INFO)
        self._summaries: list[tuple[str, CycleState]] = []
        #: What is known of each node: ``WorkflowState.node_outputs``.
        self._outputs: dict[str, Any] = {}

    def execute(self) -> dict[str, Any]:
        """Runs to the end; returns the results by node id, in stock's order."""
        try:
            return self._execute()
        except Exception as error:
            self._runtime.logger.error(f"Cyclic workflow execution failed: {error!s}")
            raise RuntimeExecutionError(f"Cycle execution failed: {error!s}") from error

    def _execute(self) -> dict[str, Any]:
        name = self._workflow.name
        if self._cycles.is_questionable or is_visible(_graph_logger, logging.INFO):
            # A second time; the first was before the run was begun.
            self._workflow.validate(runtime_parameters=self._parameters)
        self._say("Starting cyclic workflow execution: %s (run_id: %s)", name, self.run_id)
        try:
            results = self._stages()
            for cycle_id, state in self._summaries:
                if self._talks:
                    self._say("Cycle %s summary: %s", cycle_id, state.get_summary())
            self._say("Cyclic workflow execution completed: %s", name)
            return results
        except Exception as error:
            cycle_logger.error(f"Cyclic workflow execution failed: {error}")
            raise WorkflowExecutionError(f"Execution failed: {error}") from error
        finally:
            if is_visible(_state_logger, logging.INFO):
                _state_logger.info("Cleared all cycle states")

    def _say(self, text: str, *values: Any) -> None:
        if self._talks:
            # A finished text, as stock's records have it.
            cycle_logger.info(text % values)

    # --- stages -------------------------------------------------------------------------

    def _stages(self) -> dict[str, Any]:
        results: dict[str, Any] = {}
        pending: set[str] = set()
        for text in self._cycles.warnings:
            cycle_logger.warning(text)
        self._say("Executing plan with %s stages", len(self._cycles.stages))
        for number, stages in self._in_company(self._cycles.stages):
            group = stages[0].group
            if group is None:
                for offset, stage in enumerate(stages):
                    self._say("Executing stage %s: is_cycle=%s, nodes=%s", number + offset, False, list(stage.nodes))
                nodes = tuple(node_id for stage in stages for node_id in stage.nodes)
                results.update(self._once(nodes))
                pending.difference_update(nodes)
                continue
            self._say("Executing stage %s: is_cycle=%s, nodes=%s", number, True, [])
            self._say("Stage %s is a cycle group: %s", number, group.cycle_id)
            results.update(self._cycle(group))
            if group.downstream:
                pending.update(group.downstream)
                self._say("Added %s nodes for post-cycle execution", len(group.downstream))
        if pending:
            self._say("Executing %s post-cycle nodes", len(pending))
            results.update(self._once(self._after_cycles(pending)))
        return results

    def _in_company(self, stages: Iterable[StageDescription]) -> Iterator[tuple[int, list[StageDescription]]]:
        """Stages with the number of the first: those without cycles run together, unless each is to be told of."""
        company: list[StageDescription] = []
        first = 1
        for number, stage in enumerate(stages, 1):
            if company and (self._talks or stage.group is not None or company[-1].group is not None):
                yield first, company
                company = []
            if not company:
                first = number
            company.append(stage)
        if company:
            yield first, company

    def _after_cycles(self, pending: set[str]) -> tuple[str, ...]:
        """Nodes that waited for a cycle to end, and what they need that has not run, in order."""
        graph = self._workflow.graph
        wanted = set(pending)
        for node_id in pending:
            wanted.update(source for source in graph.predecessors(node_id) if source not in self._outputs)
        part = graph.subgraph(wanted)
        return tuple(part.topological_sort() if part.is_dag() else wanted)

    def _once(self, nodes: tuple[str, ...]) -> dict[str, Any]:
        """Nodes outside of cycles: ``_execute_dag_portion``."""
        left = tuple(node_id for node_id in nodes if node_id not in self._outputs)
        if not left:
            return {}
        for node_id in left:
            self._say("Executing DAG node: %s", node_id)
        results = self._round(left, None, None)
        self._outputs.update(results)
        return results

    def _round(
        self,
        nodes: tuple[str, ...],
        previous: dict[str, Any] | None,
        state: CycleState | None,
    ) -> dict[str, Any]:
        plan = self._plan
        cycle = None if state is None else (state.cycle_id, state.iteration, state.start_time, state.node_states)
        round_ = Round(self._outputs, previous, self._workflow.workflow_id, self.run_id, cycle)
        part = self._cycles.part(plan.plan, self._places, nodes)
        run = self.host.run = plan.plan.start_round(
            part, round_, self.host, self._options, self._parameters, self._memory_limit,
            self._runtime._figures, self.host.remote,
        )  # fmt: skip
        if self._traced is not None:
            self._traced.follow(run)
        failure: Exception | None = None
        try:
            run.drive()
        except Exception as error:
            failure = error
        if self._tasks is not None:
            self._tasks.round_ended(run)
        self.host.run = None  # type: ignore[assignment]  # they refer to one another
        if failure is not None:
            # As the thread hands it on that stock runs the node on.
            raise failure
        return run.results()

    # --- a cycle ------------------------------------------------------------------------

    def _cycle(self, group: CycleGroup) -> dict[str, Any]:
        """Iterations until the cycle ends: ``_execute_cycle_group``."""
        cycle_id = group.cycle_id
        self._say("Executing cycle group: %s", cycle_id)
        limits, spec = _limits(group)
        condition = make_condition(spec)
        state = CycleState(cycle_id)
        self._summaries.append((cycle_id, state))
        if is_visible(_state_logger, logging.INFO):
            _state_logger.info(f"Created new cycle state for: {cycle_id}")
        results: dict[str, Any] = {}
        previous: dict[str, Any] = {}
        converged: Any = False
        count = 0
        tasks = self._tasks
        with self._monitored(cycle_id, limits) as monitor:
            if tasks is not None:
                tasks.group_started(group, limits["max_iterations"])
            while True:
                count += 1
                self._say("Cycle %s - Starting loop iteration %s", cycle_id, count)
                monitor.record_iteration()
                if tasks is not None:
                    tasks.iteration_started(group, count)
                left = self._round(group.nodes, previous if state.iteration > 0 and previous else None, state)
                for node_id, output in left.items():
                    if output is not None:
                        results[node_id] = self._outputs[node_id] = output
                previous = left.copy()
                self._say("Cycle %s iteration %s (before update) results: %s", cycle_id, state.iteration, left)
                state.update(left)
                self._say("Cycle %s iteration now at %s (after update)", cycle_id, state.iteration)
                ends = False
                if count >= limits["max_iterations"]:
                    self._say("Cycle %s reached max iterations: %s/%s", cycle_id, count, limits["max_iterations"])
                    ends = True
                if condition is not None:
                    converged = has_converged(condition, left, state)
                    if self._talks:
                        about = condition.describe()
                        self._say("Cycle %s convergence check: %s = %s", cycle_id, about, converged)
                        if converged:
                            self._say("Cycle %s converged: %s", cycle_id, about)
                    ends = ends or bool(converged)
                if monitor.check_violations():
                    cycle_logger.warning(f"Cycle {cycle_id} safety violation: {monitor.violations}")
                    ends = True
                if tasks is not None:
                    tasks.iteration_ended(left, converged, ends)
                reasons = _natural_ends(group, left)
                if reasons:
                    self._say("Cycle %s naturally terminating: %s", cycle_id, "; ".join(reasons))
                    ends = True
                if ends:
                    self._say("Cycle %s terminating after %s iterations", cycle_id, count)
                    self._leave(group, left, count >= limits["max_iterations"], bool(reasons))
                    break
                self._say("Cycle %s continuing to next iteration", cycle_id)
            if group.downstream:
                self._say("Cycle %s has downstream nodes: %s", cycle_id, set(group.downstream))
            if tasks is not None:
                tasks.group_ended(results, count, converged, state)
            if self._talks:
                self._say("Cycle %s completed: %s", cycle_id, state.get_summary())
        return results

    @contextmanager
    def _monitored(self, cycle_id: str, limits: dict[str, Any]) -> Iterator[CycleMonitor]:
        """A monitor of this run's own, which the runtime's manager knows unless it knows another run's."""
        manager = self._runtime.cyclic_executor.safety_manager
        timeout, memory = limits["timeout"], limits["memory_limit"]
        monitor = CycleMonitor(
            cycle_id=cycle_id,
            max_iterations=limits["max_iterations"],
            timeout=manager.global_timeout if timeout is None else timeout,
            memory_limit=manager.global_memory_limit if memory is None else memory,
        )
        with manager._lock:
            is_known = manager.active_cycles.setdefault(cycle_id, monitor) is monitor
        monitor.start()
        try:
            yield monitor
        finally:
            monitor.stop()
            if is_known:
                with manager._lock:
                    manager.active_cycles.pop(cycle_id, None)

    def _leave(self, group: CycleGroup, left: dict[str, Any], at_limit: bool, naturally: bool) -> None:
        """What nodes after the cycle see of it: the last iteration, and what a switch in it lets out."""
        for node_id in group.exits:
            if node_id in left:
                self._outputs[node_id] = left[node_id]
        self._say("Processing exit nodes: %s, natural_termination_detected: %s", set(group.exits), naturally)
        for node_id in group.exits:
            node = self._workflow.get_node(node_id)
            if not node or type(node).__name__ != "SwitchNode" or node_id not in left:
                continue
            output = left[node_id]
            if output is None:
                continue
            if at_limit and output.get("condition_result", False) and output.get("true_output"):
                output["false_output"] = self._last_data(group, left, node_id) or output["true_output"]
                self._outputs[node_id] = output
            elif not at_limit and not output.get("condition_result", True):
                self._outputs[node_id] = output
            elif naturally and output.get("false_output") is None and self._lets_false_out(group, node_id):
                data = output.get("true_output")
                if data is not None:
                    output["false_output"] = data
                    self._outputs[node_id] = output
                    self._say("Synthesized false_output for %s on natural termination: %s", node_id, data)

    def _last_data(self, group: CycleGroup, left: dict[str, Any], node_id: str) -> Any:
        for source in self._workflow.graph.predecessors(node_id):
            if source in group.members and source in left:
                output = left[source]
                if isinstance(output, dict) and "result" in output:
                    return output["result"]
        return None

    def _lets_false_out(self, group: CycleGroup, node_id: str) -> bool:
        """Whether an edge from ``false_output`` leaves the group, as stock looks for it."""
        graph = self._workflow.graph
        for target in graph.successors(node_id):
            if target in group.members:
                continue
            for attributes in graph[node_id][target].values():
                if isinstance(attributes, dict) and "false_output" in attributes.get("mapping", {}):
                    return True
        return False


def _limits(group: CycleGroup) -> tuple[dict[str, Any], Any]:
    """The limits of a group and its condition: those of its first edge."""
    if not group.edges:
        return {"max_iterations": _NEVER, "timeout": None, "memory_limit": None}, None
    attributes = group.edges[0][2]
    limits = {name: attributes.get(name) for name in ("max_iterations", "timeout", "memory_limit")}
    return limits, attributes.get("convergence_check")


def _natural_ends(group: CycleGroup, left: dict[str, Any]) -> list[str]:
    """Why switches in the cycle end it: what leads back is not what they chose."""
    reasons = []
    for node_id, (while_true, while_false) in group.steers.items():
        output = left.get(node_id)
        if not isinstance(output, dict) or "condition_result" not in output:
            continue
        if while_true and not output["condition_result"]:
            reasons.append(f"{node_id} condition=False in true_output cycle")
        elif while_false and output["condition_result"]:
            reasons.append(f"{node_id} condition=True in false_output cycle")
    return reasons
