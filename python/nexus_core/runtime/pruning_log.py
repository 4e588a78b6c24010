"""What Kailash tells at level INFO while it prunes branches."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from nexus_core.runtime.branches import BranchPlan
from nexus_core.runtime.log_visibility import is_visible

__all__ = ["PruningLog", "log_beginning"]

_analysis = logging.getLogger("kailash.analysis.conditional_branch_analyzer")
_planning = logging.getLogger("kailash.planning.dynamic_execution_planner")
_async = logging.getLogger("kailash.runtime.async_local")
_layers = logging.getLogger("kailash.runtime.hierarchical_switch_executor")


class PruningLog:
    """Tells of one run; says nothing where nobody reads it.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        branches: What its branches depend on.
    """

    __slots__ = ("_branches", "_is_read", "_runtime", "_workflow")

    def __init__(self, runtime: Any, workflow: Any, branches: BranchPlan) -> None:
        self._runtime = runtime
        self._workflow = workflow
        self._branches = branches
        self._is_read = any(is_visible(logger, logging.INFO) for logger in (runtime.logger, _analysis))

    def _say(self, text: str) -> None:
        self._runtime.logger.info(text)

    def _found(self) -> None:
        _analysis.info(f"Found {len(self._branches.switches)} SwitchNode instances")

    def begins(self) -> None:
        """Before anything."""
        if self._is_read:
            self._say("Starting conditional execution approach")
            self._found()

    def first_phase_begins(self) -> None:
        """Before the nodes that decide."""
        if not self._is_read:
            return
        branches = self._branches
        self._say("Phase 1: Executing SwitchNodes")
        self._say("Phase 1: Executing SwitchNodes and their dependencies")
        self._found()
        if not branches.is_layered:
            self._say("Using standard switch execution")
            self._say(f"Executing {len(branches.first)} nodes in Phase 1 (switches and their dependencies)")
            return
        self._say("Using hierarchical switch execution for optimized performance")
        self._found()
        count = len(branches.layers)
        _layers.info(f"Executing switches in {count} hierarchical layers")
        for number, size in enumerate(branches.layers, start=1):
            _layers.info(f"Executing layer {number}/{count} with {size} switches")

    def first_phase_ended(self, results: Mapping[str, Any]) -> None:
        """After them, unless something ended the phase."""
        if not self._is_read:
            return
        ran = [switch for switch in self._branches.switches if switch.node_id in results]
        switches = [results[switch.node_id] for switch in ran]
        if self._branches.is_layered:
            # One that ran because another depends on it is not counted.
            counted = [
                result
                for switch, result in zip(ran, switches, strict=True)
                if switch.bit.bit_length() - 1 in self._branches.in_layers
            ]
            well = sum("error" not in result for result in counted)
            _layers.info(
                f"Hierarchical switch execution complete: {well}/{len(counted)} switches executed successfully"
            )
        else:
            self._say(f"Phase 1 completed: {len(results)} nodes executed ({len(switches)} switches)")

    def has_results(self) -> None:
        """Before the switches' results are looked at."""
        if self._is_read:
            self._found()

    def second_phase_begins(self) -> None:
        """Before it is planned."""
        if self._is_read:
            self._say("Phase 2: Creating and executing pruned plan")
            self._say("Phase 2: Executing pruned plan based on switch results")

    def planned(self, reached: int, reachable: int) -> None:
        """Sets of nodes, as bits: those that the switches lead to, and all that run."""
        if self._is_read:
            branches = self._branches
            self._found()
            _analysis.info(f"Built branch map for {len(branches.switches)} switches")
            _analysis.info(
                f"Determined {reached.bit_count()} reachable nodes from switch results (including downstream)"
            )
            _planning.info(f"Created execution plan: {reachable.bit_count()}/{len(branches.plan)} nodes")

    def remaining(self, count: int) -> None:
        """How many nodes run in the second phase."""
        if self._is_read:
            self._say(f"Executing {count} remaining nodes after pruning")

    def second_phase_ended(self, count: int) -> None:
        """After it, unless something ended it."""
        if self._is_read:
            self._say(f"Phase 2 completed: {count} remaining nodes executed")

    def ended(self, results: dict[str, Any]) -> None:
        """After everything."""
        if not self._is_read:
            return
        total, executed = len(self._branches.plan), len(results)
        self._runtime._track_conditional_execution_performance(self._workflow, results, 0.0)
        if total > executed:
            share = (total - executed) / total * 100
            self._say(
                f"Conditional execution performance: {share:.1f}% reduction in executed nodes "
                f"({total - executed}/{total} skipped)"
            )
        self._say(f"Conditional execution completed successfully: {executed} nodes executed")

    def began_again(self, why: str) -> None:
        """After the workflow ran as any other."""
        if self._is_read:
            self._runtime._track_fallback_usage(self._workflow, why)


def log_beginning(runtime: Any, switches: int, *, is_awaited: bool = False) -> None:
    """What ``LocalRuntime``, or ``AsyncLocalRuntime``, tells before it begins to prune.

    Args:
        runtime: The runtime.
        switches: How many switches the workflow has.
        is_awaited: Whether it is an ``AsyncLocalRuntime``.
    """
    _analysis.info(f"Found {switches} SwitchNode instances")
    if is_awaited:
        _async.info("Conditional workflow with skip_branches mode detected, using conditional execution")
    else:
        runtime.logger.info("Conditional workflow detected, using conditional execution optimization")
