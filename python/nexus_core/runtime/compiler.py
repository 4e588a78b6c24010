"""Reads a workflow and makes the plan that the native engine runs."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from operator import itemgetter
from typing import Any

from nexus_core._core import MemoryLimit, WorkflowPlan
from nexus_core.cached_runs.nodes import what_nodes_say
from nexus_core.processes.statements import ISOLATION_KEY, what_is_said
from nexus_core.runtime import stock
from nexus_core.runtime.branches import BranchPlan, NotPrunable
from nexus_core.runtime.breaths import Breaths, hold_breath
from nexus_core.runtime.code_nodes import (
    NoProgram,
    Shared,
    code_program,
    function_program,
    imported,
    is_plain_name,
    read_sets,
)
from nexus_core.runtime.code_rules import is_set
from nexus_core.runtime.cycles import CyclePlan, UnknownCycles, read_cycles
from nexus_core.runtime.explain import NodeExplanation
from nexus_core.runtime.generic_nodes import generic_program
from nexus_core.runtime.plan_sources import class_is_stock, watched_classes, watched_dicts

__all__ = ["Awaits", "CompiledWorkflow", "NotNative", "compile_aside", "compiled", "known", "plans"]

#: Keys under which ``_prepare_node_inputs`` looks for parameters of some node
#: types: with a node of such a name, stock assembles every node's inputs.
_RESERVED_IDS = frozenset({"consumer_timeout_ms", "max_messages", "timeout_ms", "limit", "offset"})


#: Keys of a configuration that say nothing of what a node does.
_INSIGNIFICANT = frozenset({"metadata", "name", "id"})


class Awaits(IntEnum):
    """Which nodes a runtime awaits on an event loop."""

    #: Those that have a ``cleanup``.
    CLEANUP = 1
    #: Those, and all that have an ``execute_async``.
    ANY = 2
    #: The ``AsyncNode`` s, as ``AsyncLocalRuntime`` does.
    ASYNC_NODES = 3
    #: None, as it does with ``enable_analysis=False``.
    NONE = 4

    # An enumeration's own is written in Python, and every run looks a plan up.
    __hash__ = int.__hash__


class NotNative(Exception):
    """A workflow that the native engine does not run; the text says why."""


@dataclass(slots=True, weakref_slot=True)
class CompiledWorkflow:
    """A plan, and what Python has to know of it."""

    plan: WorkflowPlan
    node_ids: tuple[str, ...]
    node_id_set: frozenset[str]
    instances: tuple[Any, ...]
    explanations: tuple[NodeExplanation, ...]
    #: ``(node_id, parameter names)`` that only a run's parameters can provide.
    runtime_requirements: tuple[tuple[str, tuple[str, ...]], ...]
    has_contracts: bool
    switch_count: int
    #: Some node can look at the workflow context.
    shows_context: bool
    #: Some node is awaited on the event loop.
    needs_loop: bool
    #: Security configuration of the code nodes; ``None`` without any.
    guarded_by: Any
    only_code_nodes: bool
    #: All nodes that are not awaited are code nodes.
    only_code_on_threads: bool
    #: A loop's own thread may run it: its nodes are code, or Kailash's own, that does not know of loops.
    fits_on_loop: bool
    #: And all of them are code.
    fits_short_way: bool
    #: Nodes at the same distance from the sources, and how many such levels there are.
    widest_level: int
    level_count: int
    cleanup_ids: tuple[str, ...]
    #: Nodes whose instance is given the workflow context.
    context_nodes: tuple[Any, ...]
    #: How to go through it, if it has cycles; its nodes are in no order then.
    cycles: CyclePlan | None = None
    #: It has cycles, and one pass is made of them.
    one_pass: bool = False
    #: What its branches depend on, once a run has pruned them; or why Kailash has to.
    branches: BranchPlan | NotPrunable | None = None
    #: Code nodes of an earlier run were seen on other threads than the caller's.
    ran_together: bool = False
    #: Stock's fingerprint of the workflow, once somebody has asked for it.
    fingerprint: str | None = None
    #: What nodes say of being cached, by their id.
    cacheable_nodes: dict[str, Any] = field(default_factory=dict)
    #: What nodes say of running in processes, by their id.
    isolated_nodes: dict[str, Any] = field(default_factory=dict)

    def enter_memory_limit(self, limit: MemoryLimit) -> None:
        """Puts a run under the limit, with what earlier runs have shown of their threads."""
        limit.enter_run(self.ran_together)

    def leave_memory_limit(self, limit: MemoryLimit) -> None:
        """Ends what :meth:`enter_memory_limit` began, and remembers which threads it saw."""
        self.ran_together |= limit.is_shared
        limit.leave()


#: By the workflow's address.
plans: dict[tuple[int, Awaits], tuple[weakref.ref[Any], CompiledWorkflow]] = {}


def known(workflow: Any, awaits: Awaits) -> CompiledWorkflow | None:
    """The plan of a workflow, if it has one and has not changed since.

    Args:
        workflow: A built workflow.
        awaits: Which of its nodes the runtime awaits.
    """
    entry = plans.get((id(workflow), awaits))
    if entry is not None and entry[0]() is workflow and entry[1].plan.is_current():
        return entry[1]
    return None


class Changing(Exception):
    """A workflow was changed while it was read, again and again."""


#: How often a workflow is read that is changed meanwhile.
_READINGS = 3


def compile_aside(workflow: Any, awaits: Awaits) -> None:
    """Makes the plan of a large workflow on a thread, while an event loop goes on.

    Args:
        workflow: A built workflow.
        awaits: Which of its nodes the runtime awaits.

    Raises:
        NotNative: If the native engine cannot run the workflow.
        Changing: If it did not stand still.
    """
    _, stood_still = _read(workflow, awaits, Breaths())
    if not stood_still:
        raise Changing


def compiled(workflow: Any, awaits: Awaits) -> CompiledWorkflow:
    """The plan of a workflow, made anew if the workflow has changed since the last one.

    Args:
        workflow: A built workflow.
        awaits: Which of its nodes the runtime awaits.

    Raises:
        NotNative: If the native engine cannot run the workflow.
    """
    return known(workflow, awaits) or _read(workflow, awaits, hold_breath)[0]


def _read(workflow: Any, awaits: Awaits, breathe: Callable[[], object]) -> tuple[CompiledWorkflow, bool]:
    """A new plan, and whether the workflow stood still for it; it is remembered only then."""
    for _ in range(_READINGS):
        fresh, stood_still = _compile(workflow, awaits, breathe)
        if stood_still:
            _remember(workflow, awaits, fresh)
            break
    return fresh, stood_still


def _remember(workflow: Any, awaits: Awaits, fresh: CompiledWorkflow) -> None:
    key = (id(workflow), awaits)

    # The names of a module are gone before the last workflows are, when the interpreter ends.
    def forget(_: object, key: tuple[int, Awaits] = key, plans: dict[Any, Any] = plans) -> None:
        known = plans.get(key)
        if known is not None and known[0]() is None:
            plans.pop(key, None)

    plans[key] = (weakref.ref(workflow, forget), fresh)


def _compile(workflow: Any, awaits: Awaits, breathe: Callable[[], object]) -> tuple[CompiledWorkflow, bool]:
    """A plan, and whether nothing that it was made from has changed meanwhile."""
    kind_of_order, order = _ordered(workflow, awaits)
    instances = workflow._node_instances
    if any(node_id not in instances for node_id in order):
        raise NotNative("a node of the graph has no instance")
    if not all(isinstance(node_id, str) for node_id in order):
        raise NotNative("a node's id is not a string")
    # Other threads have their turns, and may change what is read.
    before = WorkflowPlan(
        (), watched_dicts(workflow, order, breathe), watched_classes(order, instances), (), lambda: None
    )
    was_ordered = _ordered(workflow, awaits) == (kind_of_order, order)
    cycles = _cycles(workflow, kind_of_order)
    is_local = awaits in (Awaits.ANY, Awaits.CLEANUP)
    # Stock awaits the nodes of cycles one by one, on loops of their own.
    reading = _Reading(workflow, order, awaits if cycles is None else Awaits.NONE, kind_of_order, breathe)
    isolated = what_is_said(workflow, order, ISOLATION_KEY)
    fresh = CompiledWorkflow(
        plan=WorkflowPlan(
            reading.describe_all(),
            watched_dicts(workflow, order, breathe, reading.modules),
            watched_classes(order, instances),
            reading.sets,
            reading.memory_limit,
            has_cycles=cycles is not None,
        ),
        node_ids=order,
        node_id_set=frozenset(order),
        instances=tuple(instances[node_id] for node_id in order),
        explanations=tuple(reading.explanations),
        runtime_requirements=_runtime_requirements(workflow) if is_local else (),
        has_contracts=reading.has_contracts,
        switch_count=sum(isinstance(node, stock.SwitchNode) for node in instances.values()),
        shows_context=reading.shows_context,
        needs_loop=reading.needs_loop,
        guarded_by=reading.guarded_by,
        only_code_nodes=reading.only_code_nodes,
        only_code_on_threads=reading.only_code_on_threads,
        fits_on_loop=reading.fits_on_loop and not isolated,
        fits_short_way=reading.fits_on_loop and reading.only_code_on_threads and not isolated,
        widest_level=max(reading.levels.values(), default=1),
        level_count=len(reading.levels),
        cleanup_ids=tuple(node_id for node_id in order if hasattr(instances[node_id], "cleanup")),
        context_nodes=tuple(reading.context_nodes),
        cycles=cycles,
        one_pass=kind_of_order is _Order.ONE_PASS,
        cacheable_nodes=what_nodes_say(workflow, order),
        isolated_nodes=isolated,
    )
    return fresh, was_ordered and before.is_current() and fresh.plan.is_current()


class _Reading:
    """Describes the nodes of a workflow one by one, and sums up what is to be known of all.

    Attributes:
        explanations: One a node.
        levels: How many nodes there are at each distance from the sources.
        sets: Which sets the programs go by.
        modules: Names of the modules that they are given.
        guarded_by: The security configuration of the code nodes; ``None`` without any.
        context_nodes: The nodes that are given the run's workflow context.

    The others are as in :class:`CompiledWorkflow`.
    """

    def __init__(
        self,
        workflow: Any,
        order: tuple[str, ...],
        awaits: Awaits,
        kind_of_order: _Order,
        breathe: Callable[[], object],
    ) -> None:
        self._workflow = workflow
        self._awaits = awaits
        self._kind_of_order = kind_of_order
        self._breathe = breathe
        self._places = {node_id: place for place, node_id in enumerate(order)}
        self._shared: Shared = {}
        self.sets = read_sets(self._shared)
        self.modules = imported(self._shared)
        self._depths: list[int] = []
        self.has_contracts = bool(workflow.metadata.get("connection_contracts"))
        self.explanations: list[NodeExplanation] = []
        self.levels: Counter[int] = Counter()
        self.guarded_by: Any = None
        self.context_nodes: list[Any] = []
        self.shows_context = self.needs_loop = False
        self.only_code_nodes = self.only_code_on_threads = self.fits_on_loop = True

    def describe_all(self) -> Iterator[dict[str, Any]]:
        """The descriptions, each for as long as it is looked at: together they would be a heap of objects."""
        stock_inputs = self.has_contracts or bool(_RESERVED_IDS & self._places.keys())
        for node_id in self._places:
            self._breathe()
            spec, explanation = _describe(
                self._workflow, node_id, self._places, self._awaits, self._shared, self._kind_of_order
            )
            spec["stock_inputs"] = spec["stock_inputs"] or stock_inputs
            self.explanations.append(explanation)
            self._note(spec)
            yield spec

    def memory_limit(self) -> tuple[dict[str, Any], int] | None:
        """What code nodes are limited by, once all are described."""
        return None if self.guarded_by is None else _memory_limit(self.guarded_by)

    def _note(self, spec: dict[str, Any]) -> None:
        node, is_code = spec["instance"], spec["kind"] == "code"
        is_awaited = spec["kind"] == "async"
        if spec["kind"] in ("execute", "run"):
            self._note_sets(node)
        if is_code:
            config = node.executor.security_config
            if self.guarded_by is None:
                self.guarded_by = config
            elif config is not self.guarded_by:
                raise NotNative("its code nodes have different security configurations")
        if spec["needs_context"]:
            self.context_nodes.append(node)
        self.shows_context |= bool(spec["needs_context"] or spec.get("names_context"))
        self.needs_loop |= is_awaited
        needs_no_limit = is_code or bool(spec.get("needs_no_memory"))
        self.only_code_nodes &= needs_no_limit
        self.only_code_on_threads &= needs_no_limit or is_awaited
        self.fits_on_loop &= (is_code or bool(spec.get("is_self_contained"))) and not spec.get("names_asyncio")
        depth = 0
        if self._kind_of_order is not _Order.CYCLIC:
            depth = 1 + max((self._depths[source] for source, *_ in spec["edges"]), default=-1)
            self._depths.append(depth)
        self.levels[depth] += 1

    def _note_sets(self, node: Any) -> None:
        """What a node goes by that Kailash runs: it may be described to another process as it is now."""
        executor = vars(node).get("executor")
        if type(executor) is stock.CodeExecutor:
            for held in (executor.allowed_modules, executor.allowed_builtins):
                if is_set(held):
                    self.sets.own(held, None)


class _Order(IntEnum):
    """In which order nodes are described."""

    #: Every node comes after its sources.
    TOPOLOGICAL = 1
    #: There are cycles, of which one pass is made, as ``AsyncLocalRuntime`` does.
    ONE_PASS = 2
    #: There are cycles, and no order.
    CYCLIC = 3


def _ordered(workflow: Any, awaits: Awaits) -> tuple[_Order, tuple[str, ...]]:
    """In which order nodes are described, and the nodes in it."""
    kind = _order(workflow, awaits)
    try:
        return kind, tuple(workflow.graph.nodes() if kind is _Order.CYCLIC else workflow.get_execution_order())
    except Exception as refused:
        raise NotNative("the workflow has no execution order") from refused


def _order(workflow: Any, awaits: Awaits) -> _Order:
    if not workflow.has_cycles():
        return _Order.TOPOLOGICAL
    if awaits in (Awaits.ANY, Awaits.CLEANUP):
        return _Order.CYCLIC
    if any(isinstance(node, stock.AsyncNode) for node in workflow._node_instances.values()):
        raise NotNative("the workflow has cycles, and nodes to await")
    return _Order.ONE_PASS


def _cycles(workflow: Any, order: _Order) -> CyclePlan | None:
    if order is not _Order.CYCLIC:
        return None
    try:
        return read_cycles(workflow)
    except UnknownCycles as refused:
        raise NotNative(str(refused)) from refused


def _memory_limit(config: Any) -> tuple[dict[str, Any], int]:
    """Where stock keeps book of memory limits, and the limit in bytes."""
    limit = config.memory_limit or 0
    if type(limit) is not int or limit < 0:
        raise NotNative(f"its memory limit is {limit!r}, which is no number of bytes")
    return vars(stock.security), limit


def _describe(
    workflow: Any,
    node_id: str,
    places: dict[str, int],
    awaits: Awaits,
    shared: Shared,
    order: _Order,
) -> tuple[dict[str, Any], NodeExplanation]:
    node = workflow._node_instances[node_id]
    spec, program, reason = _program(node, awaits, shared)
    edges, overriding, odd, unmapped = [], False, False, False
    targets: list[str] = []
    switch_source = False
    for source, _, attributes in workflow.graph.in_edges(node_id, data=True):
        is_switch = type(workflow._node_instances.get(source)).__name__ == "SwitchNode"
        if order is not _Order.CYCLIC and places.get(source, len(places)) >= places[node_id]:
            if order is _Order.TOPOLOGICAL:
                raise NotNative("its execution order is older than its edges")
            if is_switch:
                raise NotNative("a switch leads back in its cycles")
            # In the one pass that is made, the source comes too late.
            continue
        mappings = []
        unmapped = unmapped or "mapping" not in attributes
        for source_key, target_key in attributes.get("mapping", {}).items():
            if type(source_key) is not str or type(target_key) is not str:
                odd = True
                continue
            path = source_key.split(".") if "." in source_key else None
            mappings.append((source_key, path, target_key))
            targets.append(target_key)
            overriding = overriding or target_key in node.config
        leads_back = bool(attributes.get("cycle", False))
        feeds_back = leads_back and not attributes.get("synthetic", False)
        edges.append((places[source], mappings, feeds_back, is_switch, leads_back))
        switch_source = switch_source or is_switch
    if order is _Order.CYCLIC:
        # What a cycle delivers has the last word.
        edges.sort(key=itemgetter(4))
    spec.update(
        id=node_id,
        class_name=type(node).__name__,
        instance=node,
        config=node.config,
        edges=[edge[:4] for edge in edges],
        has_switch_source=switch_source,
        has_dependents=workflow.graph.out_degree(node_id) > 0,
        is_configured=any(key not in _INSIGNIFICANT and value is not None for key, value in node.config.items()),
        has_nested_config=isinstance(node.config.get("config"), dict),
        edges_override_config=overriding,
        plain_edges=len(set(targets)) == len(targets) and all(map(is_plain_name, targets)),
        stock_inputs=odd or "self" in targets,
        stock_async_inputs=odd or unmapped,
        needs_context=not (spec["kind"] in ("code", "function") or spec.get("is_self_contained")),
    )
    return spec, NodeExplanation(node_id, type(node).__name__, program, reason)


def _program(node: Any, awaits: Awaits, shared: Shared) -> tuple[dict[str, Any], str, str | None]:
    """A node's description, the name of its program, and why it has no native one."""
    if not isinstance(node, stock.Node) or type(node.config) is not dict:
        raise NotNative(f"{type(node).__name__} is not an ordinary Kailash node")
    if awaits is Awaits.ASYNC_NODES:
        if isinstance(node, stock.AsyncNode):
            return {"kind": "async"}, "async", "its execute_async is awaited"
    elif awaits is not Awaits.NONE:
        if hasattr(node, "cleanup"):
            return {"kind": "async"}, "async", "it has a cleanup to await"
        if awaits is Awaits.ANY and hasattr(node, "execute_async"):
            return {"kind": "async"}, "async", "its execute_async is awaited"
    if type(node) is not stock.PythonCodeNode:
        try:
            return generic_program(node), "run", None
        except NoProgram as refused:
            return {"kind": "execute"}, "execute", str(refused)
    if {"execute", "run", "validate_inputs", "validate_outputs"} & vars(node).keys():
        return {"kind": "execute"}, "execute", "a method of the instance was replaced"
    if "code nodes are stock" not in shared:
        shared["code nodes are stock"] = class_is_stock()
    if not shared["code nodes are stock"]:
        return {"kind": "execute"}, "execute", "a method of its class was replaced"
    try:
        if node.code and not node.function and not node.class_type:
            name = "named function" if node.config.get("function_name") is not None else "code"
            return code_program(node, shared), name, None
        if node.function and not node.code and not node.class_type:
            return function_program(node, node.get_parameters()), "function", None
        if node.class_type and not node.code and not node.function:
            return function_program(node, node.get_parameters()), "class", None
    except NoProgram as refused:
        return {"kind": "execute"}, "execute", str(refused)
    return {"kind": "execute"}, "execute", "it has no body that is known"


def _is_in_nested_config(node: Any, name: str) -> bool:
    if "config" not in node.config:
        return False
    try:
        return name in node.config["config"]
    except TypeError as broken:  # as ``Workflow.validate`` finds out, too
        # Not shown itself: an int may be too long to be shown.
        kind = type(node.config["config"]).__name__
        raise NotNative(f"the config of {type(node).__name__} holds a 'config' of type {kind}") from broken


def _runtime_requirements(workflow: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What ``Workflow.validate`` would miss unless a run's parameters provide it."""
    required = []
    for node_id, node in workflow._node_instances.items():
        try:
            parameters = node.get_parameters()
        except Exception as broken:
            raise NotNative(f"node {node_id!r} cannot say which parameters it takes") from broken
        connected: set[str] = set()
        for _, _, attributes in workflow.graph.in_edges(node_id, data=True):
            target = attributes.get("to_input")
            if target:
                connected.update(target if isinstance(target, list) else [target])
            connected.update(attributes.get("mapping", {}).values())
        missing = []
        for name, parameter in parameters.items():
            if not parameter.required or name in connected or name in node.config:
                continue
            if _is_in_nested_config(node, name):
                continue
            if parameter.default is None:
                missing.append(name)
        if missing:
            required.append((node_id, tuple(missing)))
    return tuple(required)
