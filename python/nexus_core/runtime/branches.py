"""What the branches of a workflow with switches depend on, read once.

Kailash analyses the workflow at every run. All of it but the switches' outcome depends on
the workflow alone: which nodes run before switches have decided, in which order, and what
each output of a switch leads to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import kailash.analysis
import kailash.planning
from kailash.analysis import ConditionalBranchAnalyzer
from kailash.nodes.logic.operations import SwitchNode
from kailash.planning import DynamicExecutionPlanner
from kailash.runtime import hierarchical_switch_executor
from kailash.runtime.hierarchical_switch_executor import HierarchicalSwitchExecutor

from nexus_core._core import PlanStage, WorkflowPlan

__all__ = ["BranchPlan", "NotPrunable", "analysis_is_stock", "read_branches"]

#: Kailash prunes no workflow that has more nodes.
_MOST_NODES = 100
#: Outcomes of switches whose stage is remembered.
_MOST_OUTCOMES = 256

#: Programs whose nodes leave a dict, or fail.
_LEAVES_DICT = frozenset({"code", "named function", "function", "class", "run"})

_ANALYSIS = {
    (owner, name): vars(owner)[name]
    for owner in (ConditionalBranchAnalyzer, DynamicExecutionPlanner, HierarchicalSwitchExecutor)
    for name in vars(owner)
    if callable(vars(owner)[name])
}


class NotPrunable(Exception):
    """A workflow whose branches Kailash itself has to prune; the text says why."""


def analysis_is_stock() -> bool:
    """Whether what Kailash analyses branches with is its own."""
    return (
        kailash.analysis.ConditionalBranchAnalyzer is ConditionalBranchAnalyzer
        and kailash.planning.DynamicExecutionPlanner is DynamicExecutionPlanner
        and hierarchical_switch_executor.HierarchicalSwitchExecutor is HierarchicalSwitchExecutor
        and all(vars(owner).get(name) is method for (owner, name), method in _ANALYSIS.items())
    )


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch and what depends on it. Sets of nodes are sets of bits, by places in the plan.

    Attributes:
        node_id: Its id.
        bit: It alone.
        sources: The nodes that lead to it.
        outputs: Its outputs that lead anywhere, and the nodes that each leads to.
    """

    node_id: str
    bit: int
    sources: int
    outputs: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class BranchPlan:
    """How a workflow with switches runs in two phases. Nodes go by their places in the plan.

    Attributes:
        plan: Of the workflow.
        switches: In the order in which Kailash finds them.
        is_too_large: Kailash does not prune it, and so runs it as any other workflow.
        is_layered: Switches run in layers, in an order of its own.
        first: Nodes that run before the switches have decided, and those after that.
        first_stage: Those as a stage of the plan.
        done: Those as a set of bits.
        in_layers: With layers, the switches that run as such, not as what others depend on.
        layers: With layers, how many switches each has.
        decided: The switches as a set of bits.
        always: Nodes that run whatever the switches decide, as a set of bits.
    """

    plan: WorkflowPlan
    switches: tuple[Switch, ...]
    is_too_large: bool
    is_layered: bool
    first: tuple[int, ...]
    first_stage: PlanStage
    done: int
    in_layers: frozenset[int]
    layers: tuple[int, ...]
    decided: int
    always: int
    _members: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    _stages: dict[tuple[int, ...], PlanStage] = field(default_factory=dict)

    def remaining(self, results: Mapping[str, Any]) -> tuple[tuple[int, ...], int, int]:
        """The nodes that run after the switches, some of them again.

        Args:
            results: Of all switches, by node id.

        Returns:
            Their places, in order; then, as sets of bits, the nodes that the switches lead to, and all that
            run in either phase.
        """
        reached = self.decided
        undecided = []
        for switch in self.switches:
            result = results[switch.node_id].get
            for name, leads_to in switch.outputs:
                if result(name) is not None:
                    reached |= leads_to
            if result("true_output") is None and result("false_output") is None:
                undecided.append(switch)
        again = 0
        reachable = reached | self.always
        for switch in undecided:
            if switch.sources & reachable:
                again |= switch.bit
        known = self._members.get((reachable, again))
        if known is None:
            wanted = reachable & ~self.done | again
            if len(self._members) >= _MOST_OUTCOMES:
                self._members.clear()
            known = self._members[reachable, again] = tuple(
                place for place in range(len(self.plan)) if wanted >> place & 1
            )
        return known, reached, reachable

    def stage(self, members: tuple[int, ...]) -> PlanStage:
        """The nodes at these places as a stage of the plan."""
        known = self._stages.get(members)
        if known is None:
            if len(self._stages) >= _MOST_OUTCOMES:
                self._stages.clear()
            known = self._stages[members] = self.plan.stage(list(members))
        return known


def read_branches(workflow: Any, plan: WorkflowPlan, node_ids: tuple[str, ...], programs: list[str]) -> BranchPlan:
    """Reads what the branches of a workflow depend on.

    Args:
        workflow: A workflow with switches and without cycles.
        plan: Its plan.
        node_ids: Its nodes, in the plan's order.
        programs: The names of their programs.

    Raises:
        NotPrunable: If Kailash has to run it.
    """
    graph = workflow.graph
    places = {node_id: place for place, node_id in enumerate(node_ids)}
    if tuple(graph.topological_sort()) != node_ids:
        raise NotPrunable("its execution order is another one than that of its branches")
    for node_id in node_ids:
        data = graph.nodes[node_id]
        if (data.get("node") or data.get("instance")) is not workflow._node_instances[node_id]:
            raise NotPrunable(f"the graph and the workflow have different instances of node {node_id!r}")
    switches = [n for n in graph.nodes() if isinstance(workflow._node_instances[n], SwitchNode)]
    analyzer = ConditionalBranchAnalyzer(workflow)
    hierarchy = analyzer.analyze_switch_hierarchies(switches) if len(switches) > 1 else {}
    is_layered = len(hierarchy.get("execution_layers", ())) > 1 or any(
        len(chain) > 1 for chain in hierarchy.get("dependency_chains", ())
    )
    in_layers: frozenset[int] = frozenset()
    if is_layered:
        first, in_layers = _layers(workflow, hierarchy["execution_layers"], places)
        if any(programs[place] not in _LEAVES_DICT for place in first) or any(
            type(workflow._node_instances[switch]) is not SwitchNode for switch in switches
        ):
            raise NotPrunable("its switches depend on one another, and on nodes that have no native program")
    else:
        needed = {*switches}.union(*(_ancestors(graph, switch) for switch in switches))
        first = [place for place, node_id in enumerate(node_ids) if node_id in needed]
    closures = _closures(graph, node_ids, places, set(switches))
    planner = DynamicExecutionPlanner(workflow)
    always = sum(1 << places[n] for n in planner._get_always_reachable_nodes(set(switches)) | set(switches))
    found = []
    for switch in switches:
        outputs: dict[str, int] = {}
        for _, target, data in graph.out_edges(switch, data=True):
            for name in data.get("mapping", {}):
                outputs[name] = outputs.get(name, 0) | closures[target]
        sources = sum(1 << places[source] for source in set(graph.predecessors(switch)))
        found.append(Switch(switch, 1 << places[switch], sources, tuple(outputs.items())))
    return BranchPlan(
        plan=plan,
        switches=tuple(found),
        is_too_large=len(graph.nodes) > _MOST_NODES,
        is_layered=is_layered,
        first=tuple(first),
        first_stage=plan.stage(list(first)),
        done=sum(1 << place for place in first),
        in_layers=in_layers,
        layers=tuple(map(len, hierarchy["execution_layers"])) if is_layered else (),
        decided=sum(1 << places[switch] for switch in switches),
        always=always,
    )


def _ancestors(graph: Any, node_id: str) -> set[str]:
    found: set[str] = set()
    pending = list(graph.predecessors(node_id))
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending.extend(graph.predecessors(current))
    return found


def _closures(graph: Any, node_ids: tuple[str, ...], places: dict[str, int], switches: set[str]) -> dict[str, int]:
    """Each node and all that follows it, up to the next switches, as sets of bits."""
    closures: dict[str, int] = {}
    for node_id in reversed(node_ids):
        bits = 1 << places[node_id]
        if node_id not in switches:
            for successor in graph.successors(node_id):
                bits |= closures[successor]
        closures[node_id] = bits
    return closures


def _layers(workflow: Any, layers: list[list[str]], places: dict[str, int]) -> tuple[list[int], frozenset[int]]:
    """Nodes in the order in which ``HierarchicalSwitchExecutor`` runs them."""
    executor = HierarchicalSwitchExecutor(workflow)
    order: list[str] = []
    as_switches: set[str] = set()
    for layer in layers:
        order.extend(executor._get_layer_dependencies(layer, set(order)))
        own = [switch for switch in layer if switch not in order]
        as_switches.update(own)
        order.extend(own)
    return [places[node_id] for node_id in order], frozenset(places[node_id] for node_id in as_switches)
