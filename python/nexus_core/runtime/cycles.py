"""What a workflow with cycles consists of, read once: stages, cycle groups, and the order within them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kailash.workflow.cyclic_runner import CyclicWorkflowExecutor

from nexus_core._core import PlanStage, WorkflowPlan

__all__ = ["CycleGroup", "CyclePlan", "StageDescription", "UnknownCycles", "executor_is_stock", "read_cycles"]

#: Methods of stock's executor that the native engine stands in for.
_STANDS_IN_FOR = (
    "execute", "_execute_with_cycles", "_create_execution_plan", "_execute_plan", "_execute_dag_portion",
    "_execute_cycle_group", "_execute_node", "_filter_none_values", "_should_skip_conditional_node_cyclic",
)  # fmt: skip
_runner_logger = logging.getLogger("kailash.workflow.cyclic_runner")
_ORIGINALS = {name: getattr(CyclicWorkflowExecutor, name) for name in _STANDS_IN_FOR}


class UnknownCycles(Exception):
    """Cycles that only stock can run, or refuse; the text says why."""


@dataclass(frozen=True, slots=True)
class CycleGroup:
    """Nodes that run again and again, together.

    Attributes:
        cycle_id: The group's id.
        nodes: In the order in which an iteration runs them.
        members: The same, as stock iterates over them.
        exits: Those that have successors outside of the group.
        downstream: Those successors.
        edges: As stock keeps them: source, target and attributes; the first one says how the cycle ends.
        steers: Nodes whose ``condition_result`` can end the cycle, with what it must be for that.
    """

    cycle_id: str
    nodes: tuple[str, ...]
    members: tuple[str, ...]
    exits: tuple[str, ...]
    downstream: tuple[str, ...]
    edges: tuple[tuple[str, str, dict[str, Any]], ...]
    steers: dict[str, tuple[bool, bool]]


@dataclass(frozen=True, slots=True)
class StageDescription:
    """A cycle group, or nodes that run once; as stock's plan has it.

    Attributes:
        nodes: The nodes that run once.
        group: The group.
    """

    nodes: tuple[str, ...] = ()
    group: CycleGroup | None = None


@dataclass(slots=True)
class CyclePlan:
    """The stages of a workflow with cycles, and their parts of its native plan.

    Attributes:
        stages: In order.
        is_questionable: ``Workflow.validate`` has something to say about the cycles, at every run.
        warnings: What stock warns of as it plans, at every run.
    """

    stages: tuple[StageDescription, ...]
    is_questionable: bool
    warnings: tuple[str, ...] = ()
    _parts: dict[tuple[str, ...], PlanStage] = field(default_factory=dict)

    def part(self, plan: WorkflowPlan, places: dict[str, int], nodes: tuple[str, ...]) -> PlanStage:
        """The native part that runs some nodes.

        Args:
            plan: The workflow's native plan.
            places: The number of each node in it.
            nodes: In the order in which a sequential run has them.
        """
        part = self._parts.get(nodes)
        if part is None:
            part = self._parts[nodes] = plan.stage([places[node_id] for node_id in nodes])
        return part


def executor_is_stock(executor: Any) -> bool:
    """Whether an executor of cycles does what the native engine knows.

    Args:
        executor: A runtime's ``cyclic_executor``.
    """
    return (
        type(executor) is CyclicWorkflowExecutor
        and vars(executor).keys().isdisjoint(_STANDS_IN_FOR)
        and all(getattr(CyclicWorkflowExecutor, name, None) is method for name, method in _ORIGINALS.items())
    )


def read_cycles(workflow: Any) -> CyclePlan:
    """How stock would go through a workflow with cycles.

    Follows ``CyclicWorkflowExecutor._execute_with_cycles``, whose own analysis is asked, once.

    Args:
        workflow: A built workflow with marked cycles.

    Raises:
        UnknownCycles: If stock refuses the workflow.
    """
    if any(getattr(CyclicWorkflowExecutor, name, None) is not method for name, method in _ORIGINALS.items()):
        raise UnknownCycles("a method of Kailash's executor of cycles was replaced")
    try:
        dag_edges, _ = workflow.separate_dag_and_cycle_edges()
        groups = workflow.get_cycle_groups()
        with _warnings_kept() as warnings:
            plan = CyclicWorkflowExecutor()._create_execution_plan(workflow, list(dag_edges), groups)
        stages = tuple(
            StageDescription(group=_group(workflow, stage.cycle_group))
            if stage.is_cycle and stage.cycle_group is not None
            else StageDescription(nodes=tuple(stage.nodes))
            for stage in plan.stages
        )
    except Exception as refused:
        raise UnknownCycles(f"its cycles cannot be planned: {refused}") from refused
    return CyclePlan(stages, _is_questionable(groups), tuple(warnings))


@contextmanager
def _warnings_kept() -> Iterator[list[str]]:
    """Keeps what stock warns of as it plans: it plans at every run, and not where that is refused before."""
    kept: list[str] = []
    own = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != own or record.levelno != logging.WARNING:
            return True
        kept.append(record.getMessage())
        return False

    _runner_logger.addFilter(keep)
    try:
        yield kept
    finally:
        _runner_logger.removeFilter(keep)


def _is_questionable(groups: dict[str, list[tuple[str, str, dict[str, Any]]]]) -> bool:
    """Whether ``Workflow._validate_cycles`` may warn or raise."""
    for edges in groups.values():
        for name in ("max_iterations", "convergence_check", "timeout"):
            first = edges[0][2].get(name)
            if isinstance(first, (dict, list, set)) or any(data.get(name) is not first for _, _, data in edges):
                return True
        if any(data.get("parent_cycle") for _, _, data in edges):
            return True
    return False


def _group(workflow: Any, group: Any) -> CycleGroup:
    return CycleGroup(
        cycle_id=group.cycle_id,
        nodes=tuple(group.get_execution_order(workflow.graph)),
        members=tuple(group.nodes),
        exits=tuple(group.exit_nodes),
        downstream=tuple(group.get_downstream_nodes(workflow)),
        edges=tuple(group.edges),
        steers=_steers(group.nodes, group.edges),
    )


def _steers(nodes: Iterable[str], edges: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, tuple[bool, bool]]:
    steers: dict[str, tuple[bool, bool]] = {}
    for node_id in nodes:
        mappings = [data["mapping"] for source, _, data in edges if source == node_id and data.get("mapping")]
        while_true = any("true_output" in mapping for mapping in mappings)
        while_false = any("false_output" in mapping for mapping in mappings)
        if while_true or while_false:
            steers[node_id] = (while_true, while_false)
    return steers
