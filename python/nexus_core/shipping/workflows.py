"""Workflows as bytes: their own description where that says all, pickles of their nodes elsewhere."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Collection
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nexus_core.errors import NotKeyable, NotShippable
from nexus_core.shipping import security_rules
from nexus_core.shipping.context_variables import BY_VALUE
from nexus_core.shipping.picklers import dumps, install_hint
from nexus_core.shipping.values import culprit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ShippedWorkflow", "SingleNodes", "load", "part_of", "ship", "unshippable"]

#: Workflows that a process keeps loaded.
_MOST_LOADED = 64

_LOCKS: dict[type, Any] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.local: threading.local,
}


@dataclass(frozen=True, slots=True)
class ShippedWorkflow:
    """A workflow on its way.

    Attributes:
        digest: Of the payload; equal digests mean equal workflows.
        payload: What :func:`load` reads.
        described: Whether it is the workflow's own ``to_dict()``; if not, its objects are pickled.
    """

    digest: str
    payload: bytes
    described: bool


def ship(workflow: Any, only: Collection[str] | None = None) -> ShippedWorkflow:
    """Describes a workflow for another process.

    ``Workflow.to_dict()`` is taken where a workflow made from it is the same: the same digest of all that
    decides its results. Elsewhere its objects are pickled; what the main module defines goes by value. Locks
    in nodes are made afresh on the other side, and contexts of runs are left out.

    Args:
        workflow: A built workflow.
        only: Ids of the nodes that are wanted, with the connections between them; ``None`` for all.

    Returns:
        The description.

    Raises:
        NotShippable: If a node cannot be described. The error names it and what in it cannot.

    Example:
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        >>> load(ship(builder.build())).get_execution_order()
        ('one',)
    """
    if only is not None:
        workflow = part_of(workflow, only)
    payload = _description(workflow)
    described = payload is not None
    if payload is None:
        try:
            payload = dumps(("objects", workflow), first=_reduce)
        except Exception as refused:
            if refusals := unshippable(workflow):
                raise next(iter(refusals.values())) from refused
            raise NotShippable("", _name(workflow), f"{refused}{install_hint()}") from refused
    digest = hashlib.blake2b(payload, digest_size=32).hexdigest()
    return ShippedWorkflow(digest, payload, described)


def unshippable(workflow: Any, only: Collection[str] | None = None) -> dict[str, NotShippable]:
    """Nodes of a workflow that cannot go to another process, each looked at alone.

    Args:
        workflow: A built workflow.
        only: Ids of the nodes that are looked at; ``None`` for all.

    Returns:
        Why not, by node id.
    """
    refusals = {}
    for node_id, node in workflow._node_instances.items():
        if only is not None and node_id not in only:
            continue
        try:
            dumps(node, first=_reduce)
        except Exception as refused:
            path, part, reason = culprit(node, refused, first=_reduce)
            refusals[node_id] = NotShippable(path, _name(part), f"{reason}{install_hint()}", node_id)
    return refusals


def load(shipped: ShippedWorkflow) -> Any:
    """The workflow that :func:`ship` has described.

    Args:
        shipped: The description.

    Returns:
        A built workflow. A process makes it once, and keeps the last ones that it was asked for.
    """
    with _lock:
        known = _loaded.get(shipped.digest)
        if known is not None:
            _loaded.move_to_end(shipped.digest)
            return known
        turn = _turns.setdefault(shipped.digest, threading.Lock())
    # Others may want other workflows meanwhile; loading runs code of theirs.
    with turn:
        with _lock:
            known = _loaded.get(shipped.digest)
        if known is not None:
            return known
        workflow = _read(shipped.payload)
        forgotten = None
        with _lock:
            _loaded[shipped.digest] = workflow
            _turns.pop(shipped.digest, None)
            if len(_loaded) > _MOST_LOADED:
                forgotten = _loaded.popitem(last=False)
        del forgotten
    return workflow


_loaded: OrderedDict[str, Any] = OrderedDict()
_turns: dict[str, threading.Lock] = {}
_lock = threading.Lock()


def _in_child() -> None:
    """Who loads something is in the parent."""
    global _lock
    _lock = threading.Lock()
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _read(payload: bytes) -> Any:
    kind, *rest = pickle.loads(payload)
    if kind == "objects":
        return rest[0]
    modules, data, rules, loggers = rest
    for module in modules:
        importlib.import_module(module)
    workflow = _from_dict(data)
    # Whatever holds here: a node keeps what it was made with.
    for node_id, name in loggers.items():
        # A node whose id was given to it later logs under the name that it had.
        workflow._node_instances[node_id].logger = logging.getLogger(name)
    if rules is not None:
        rules.apply_to(workflow._node_instances.values())
    return workflow


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _reduce(value: Any) -> Any:
    """What of a workflow is pickled in a way of its own."""
    make = _LOCKS.get(type(value))
    if make is not None:
        return make, ()
    if (
        hasattr(type(value), "get_parameters")
        and hasattr(value, "_node_metadata")
        and "_workflow_context" in vars(value)
    ):
        reduced = value.__reduce_ex__(5)
        # That of the run that is under way is given to it with its inputs.
        if len(reduced) > 2 and isinstance(reduced[2], dict):
            state = {key: held for key, held in reduced[2].items() if key != "_workflow_context"}
            return (*reduced[:2], state, *reduced[3:])
    return NotImplemented


# --- a workflow's own description -------------------------------------------------------


def _description(workflow: Any) -> bytes | None:
    """What ``to_dict`` says, if it says all."""
    from kailash.workflow.graph import Connection

    nodes = workflow._node_instances
    classes = {type(node) for node in nodes.values()}
    if any(kind.__module__ in BY_VALUE or "<locals>" in kind.__qualname__ for kind in classes):
        return None
    if any(type(connection) is not Connection for connection in workflow.connections):
        return None
    try:
        data = workflow.to_dict()
        rules = security_rules.current()
        loggers = {node_id: node.logger.name for node_id, node in nodes.items() if hasattr(node, "logger")}
        payload = dumps(("dict", sorted({kind.__module__ for kind in classes}), data, rules, loggers))
        if _facts(_from_dict(pickle.loads(payload)[2])) == _facts(workflow):
            return payload
    except Exception:  # it cannot be described in this way, whatever the reason: the other way is tried
        return None
    return None


def _facts(workflow: Any) -> Any:
    """What two workflows have in common that do the same."""
    from nexus_core._core import _digest
    from nexus_core._key_workflow import WorkflowReduction, parts_of

    nodes = workflow._node_instances
    with suppress(NotKeyable):
        return (
            _digest(parts_of(workflow), "workflow", WorkflowReduction()),
            workflow.workflow_id,
            workflow.name,
            workflow.metadata,
            # A code node's variables have this order, and so its outputs.
            [(node_id, node.id, tuple(node.config)) for node_id, node in nodes.items()],
            workflow.get_execution_order(),
        )
    return object()  # equal to nothing


def _from_dict(data: dict[str, Any]) -> Any:
    from kailash.workflow.graph import Workflow

    with _quiet():
        return Workflow.from_dict(data)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nobody has built a workflow: what Kailash logs of that has been said already."""
    logger = logging.getLogger("kailash.workflow.graph")
    me = threading.get_ident()

    # Not by its level: setting that makes all loggers look anew, and each node has one.
    def is_said(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.thread != me

    logger.addFilter(is_said)
    try:
        yield
    finally:
        logger.removeFilter(is_said)


def part_of(workflow: Any, only: Collection[str]) -> Any:
    """A workflow of some of the nodes, which are the same objects."""
    wanted = set(only)
    part = _without_nodes(workflow)
    for node_id in workflow.graph.nodes():
        if node_id in wanted:
            _take_over(part, workflow, node_id)
    for source, target, data in workflow.graph.edges(data=True):
        if source in wanted and target in wanted:
            part.graph.add_edge(source, target, **data)
    part.connections = [
        connection
        for connection in workflow.connections
        if connection.source_node in wanted and connection.target_node in wanted
    ]
    return part


class SingleNodes:
    """Workflows of one node each, without going through a workflow's connections for each of them.

    Args:
        workflow: The workflow whose nodes they are.
    """

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        edges = {source for source, target in workflow.graph.edges() if source == target}
        connections = {each.source_node for each in workflow.connections if each.source_node == each.target_node}
        self._connected_to_themselves = edges | connections

    def part(self, node_id: str) -> Any:
        """As :func:`part_of`.

        Args:
            node_id: The node's.
        """
        if node_id in self._connected_to_themselves:
            return part_of(self._workflow, {node_id})
        part = _without_nodes(self._workflow)
        _take_over(part, self._workflow, node_id)
        return part


def _without_nodes(workflow: Any) -> Any:
    from kailash.workflow.graph import Workflow

    with _quiet():
        return Workflow(
            workflow_id=workflow.workflow_id,
            name=workflow.name,
            description=workflow.description,
            version=workflow.version,
            author=workflow.author,
            metadata=dict(workflow.metadata),
        )


def _take_over(part: Any, workflow: Any, node_id: str) -> None:
    part.graph.add_node(node_id, **workflow.graph.nodes[node_id])
    part._node_instances[node_id] = workflow._node_instances[node_id]
    part.nodes[node_id] = workflow.nodes[node_id]
