"""A run in ``skip_branches`` mode: the switches first, then what they have decided for.

Follows ``LocalRuntime._execute_conditional_approach``, phase by phase.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kailash.planning import DynamicExecutionPlanner

from nexus_core._core import MemoryLimit, RunOptions, WorkflowRun
from nexus_core.runtime import validation_counts
from nexus_core.runtime.branches import BranchPlan
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.host import RunHost
from nexus_core.runtime.pruning_log import PruningLog

__all__ = ["BranchHost", "run_branches"]

_layers_logger = logging.getLogger("kailash.runtime.hierarchical_switch_executor")

#: Drives a stage to its end.
Drive = Callable[[WorkflowRun], Awaitable[None]]


class BranchHost(RunHost):
    """The Python side of the nodes of one phase."""

    __slots__ = ("_enders", "_keep", "has_own_contexts", "memory_limit", "refusal")

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        compiled: CompiledWorkflow,
        parameters: dict[str, Any] | None,
        context: dict[str, Any],
    ) -> None:
        super().__init__(runtime, workflow, compiled, parameters, context, None, None)
        self._keep: Callable[[int, Exception], dict[str, Any] | BaseException] = self._keep_and_go_on
        self._enders: set[int] = set()
        #: What the code nodes of both phases are under, if that is one for all of them.
        self.memory_limit: MemoryLimit | None = None
        #: Each phase has a workflow context of its own.
        self.has_own_contexts = False
        #: Why the workflow is not pruned, what is wrong in short, and how many nodes have run.
        self.refusal: tuple[ValueError, str, int] | None = None

    def node_failed(
        self, index: int, error: Exception, inputs: Mapping[str, Any] | None
    ) -> dict[str, Any] | BaseException:
        """The record of a failure that the phase survives, or the error that ends it."""
        kept = self._keep(index, error)
        if isinstance(kept, BaseException):
            self._enders.add(index)
        return kept

    def refuse(self, what: str, why: str, completed: int = 0) -> ValueError:
        """The error with which stock stops pruning the workflow, before it runs it as any other."""
        error = ValueError(f"{what}: {why}")
        self.refusal = error, why, completed
        return error

    def begin_first(self) -> None:
        """The nodes that come now decide, or lead to those that do."""
        self._keep = self._keep_in_layers if self.branches.is_layered else self._keep_and_go_on
        self._enders = set()

    def begin_second(self) -> None:
        """The nodes that come now are what the switches have decided for."""
        self._keep = self._keep_or_stop
        self._enders = set()
        if self.has_own_contexts:
            self.context = {}
            if self.scope is not None:
                self.scope.context = self.context

    def results_before_end(self, members: tuple[int, ...]) -> dict[str, Any]:
        """Results of the nodes that stock would have run before the one that ended the phase."""
        results, kept = self.run.results(), {}
        for place in members:
            node_id = self.compiled.node_ids[place]
            if place in self._enders or node_id not in results:
                break
            kept[node_id] = results[node_id]
        return kept

    def count_phase(self, members: tuple[int, ...]) -> None:
        """Counts the connection validations that stock has not recorded itself."""
        explanations = self.compiled.explanations
        recorded = {place for place, index in enumerate(members) if index in self._validated_by_stock}
        nodes = [explanations[place] for place in members]
        validation_counts.count(nodes, self.runtime.connection_validation, recorded)
        self._validated_by_stock.clear()

    def _keep_and_go_on(self, index: int, error: Exception) -> dict[str, Any] | BaseException:
        node_id = self.compiled.node_ids[index]
        try:
            self.runtime.logger.error(f"Error executing node {node_id}: {error}")
            return _record(error)
        except Exception as broken:  # its __str__ raises, which ends the phase
            return broken

    def _keep_in_layers(self, index: int, error: Exception) -> dict[str, Any] | BaseException:
        node_id = self.compiled.node_ids[index]
        try:
            _layers_logger.error(f"Error executing node {node_id}: {error}")
            return {"error": str(error)}
        except Exception as broken:
            if index not in self.branches.in_layers:
                return broken
            _layers_logger.error(f"Error executing switch {node_id}: {broken}")
            return {"error": str(broken)}

    def _keep_or_stop(self, index: int, error: Exception) -> dict[str, Any] | BaseException:
        runtime = self.runtime
        node_id = self.compiled.node_ids[index]
        try:
            runtime.logger.error(f"Error executing remaining node {node_id}: {error}")
            return error if runtime._should_stop_on_error(self.workflow, node_id) else _record(error)
        except Exception as broken:
            return broken

    @property
    def branches(self) -> BranchPlan:
        """The workflow's branches."""
        known = self.compiled.branches
        assert isinstance(known, BranchPlan)
        return known


def _are_valid(switch_results: dict[str, Any]) -> bool:
    """Whether stock would surely accept them, and log nothing."""
    return all(
        type(result) is dict and "true_output" in result and "failed" not in result
        for result in switch_results.values()
    )


def _are_unsuspicious(results: dict[str, Any], workflow: Any) -> bool:
    """The same for all results together."""
    if not len(workflow.graph.nodes) * 0.3 <= len(results):
        return False
    return all(type(result) is dict and "failed" not in result for result in results.values())


def _record(error: Exception) -> dict[str, Any]:
    return {"error": str(error), "error_type": type(error).__name__, "failed": True}


async def run_branches(host: BranchHost, options: Callable[[bool], RunOptions], drive: Drive) -> dict[str, Any]:
    """Runs the two phases.

    Args:
        host: Of all nodes.
        options: Of a phase; whether it is the first without layers.
        drive: Drives a stage to its end.

    Returns:
        Results by node id: the first phase's nodes, then the others that ran.

    Raises:
        ValueError: If Kailash would refuse to prune it; the host then knows as ``refusal``.
    """
    runtime, workflow, branches = host.runtime, host.workflow, host.branches
    log = PruningLog(runtime, workflow, branches)
    log.begins()
    if branches.is_too_large:
        runtime.logger.warning("Workflow too large for conditional execution optimization")
        raise host.refuse("Conditional execution prerequisites not met", "Prerequisites validation failed")
    log.first_phase_begins()
    results = await _first_phase(host, options(not branches.is_layered), drive, log)
    log.has_results()
    switch_results = {s.node_id: results[s.node_id] for s in branches.switches if s.node_id in results}
    if not (_are_valid(switch_results) or runtime._validate_switch_results(switch_results)):
        raise host.refuse("Switch results validation failed", "Invalid switch results detected")
    log.second_phase_begins()
    if len(switch_results) == len(branches.switches):
        members, reached, reachable = branches.remaining(switch_results)
        log.planned(reached, reachable)
    else:
        members = _as_stock_plans(host, switch_results, results)
    log.remaining(len(members))
    results.update(await _second_phase(host, members, results, options(False), drive, log))
    if not (_are_unsuspicious(results, workflow) or runtime._validate_conditional_execution_results(results, workflow)):
        raise host.refuse("Conditional execution results invalid", "Results validation failed", len(results))
    log.ended(results)
    return results


async def _first_phase(host: BranchHost, options: RunOptions, drive: Drive, log: PruningLog) -> dict[str, Any]:
    branches = host.branches
    host.begin_first()
    run = host.run = branches.plan.start_stage(
        branches.first_stage,
        {},
        host,
        options,
        host.parameters or None,
        host.context,
        host.memory_limit,
        None,
        host.native_caching,
        host.runtime._figures,
        host.remote,
    )
    try:
        await drive(run)
    except Exception as error:
        host.runtime.logger.error(f"Error in switch execution phase: {error}")
        return {} if branches.is_layered else host.results_before_end(branches.first)
    finally:
        host.count_phase(branches.first)
    results = run.results()
    log.first_phase_ended(results)
    return results


async def _second_phase(
    host: BranchHost,
    members: tuple[int, ...],
    before: dict[str, Any],
    options: RunOptions,
    drive: Drive,
    log: PruningLog,
) -> dict[str, Any]:
    if not members:
        log.second_phase_ended(0)
        return {}
    branches = host.branches
    host.begin_second()
    again = {host.compiled.node_ids[place] for place in members}
    # What the first phase's nodes have set in context variables is still set.
    run = host.run.context().run(
        branches.plan.start_stage,
        branches.stage(members),
        {node_id: result for node_id, result in before.items() if node_id not in again},
        host,
        options,
        host.parameters or None,
        host.context,
        host.memory_limit,
        None,
        host.native_caching,
        host.runtime._figures,
        host.remote,
    )
    host.run = run
    try:
        await drive(run)
    except Exception as error:
        host.runtime.logger.error(f"Error in pruned plan execution: {error}")
        return host.results_before_end(members)
    finally:
        host.count_phase(members)
    results = run.results()
    log.second_phase_ended(len(results))
    return results


def _as_stock_plans(host: BranchHost, switch_results: dict[str, Any], results: dict[str, Any]) -> tuple[int, ...]:
    """The remaining nodes, where some switch has no result."""
    planned = set(DynamicExecutionPlanner(host.workflow).create_execution_plan(switch_results))
    again = {
        switch
        for switch, result in switch_results.items()
        if result.get("true_output") is None
        and result.get("false_output") is None
        and switch in planned
        and any(source in planned for source in host.workflow.graph.predecessors(switch))
    }
    return tuple(
        place
        for place, node_id in enumerate(host.compiled.node_ids)
        if node_id in planned and (node_id not in results or node_id in again)
    )
