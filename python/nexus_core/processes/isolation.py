"""What ``isolation=`` of a runtime means."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nexus_core._node_names import no_such_node
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.errors import IsolationError
from nexus_core.process_pool import ProcessPool, default_process_pool
from nexus_core.processes.interpreter_lock import has_lock
from nexus_core.processes.named_nodes import check_named
from nexus_core.processes.statements import ISOLATION_KEY

if TYPE_CHECKING:
    from nexus_core._core import WorkflowPlan
    from nexus_core.processes.isolated_nodes import IsolatedNodes
    from nexus_core.runtime.compiler import CompiledWorkflow

__all__ = ["Isolation"]

_log = logging.getLogger("nexus_core.processes")

_MODES = ("process", "auto")


def _mode(given: Any, where: str) -> str | None:
    if given is True:
        return "process"
    if given is None or given is False:
        return None
    if isinstance(given, str) and given in _MODES:
        return given
    raise IsolationError(f"{where} must be 'process', 'auto' or None, got {given!r}")


class Isolation:
    """Which nodes of a runtime's workflows run in processes.

    Args:
        wanted: As ``isolation=`` is given.
        pool: The pool, or ``None`` for the one of the whole process.
    """

    def __init__(self, wanted: Any, pool: ProcessPool | None) -> None:
        #: Of every node of which nothing else is said.
        self.default: str | None = None
        #: By node id, or by workflow and node id with a slash between them.
        self.named: dict[str, str | None] = {}
        #: Whether what workflows and nodes say themselves counts.
        self.heeds = wanted is not False
        self.given_pool = pool
        if pool is not None and not isinstance(pool, ProcessPool):
            raise IsolationError(f"process_pool must be a nexus_core.ProcessPool, got {pool!r}")
        if isinstance(wanted, Mapping):
            for name, mode in wanted.items():
                self.named[_checked_name(name)] = _mode(mode, f"isolation[{name!r}]")
        elif isinstance(wanted, Iterable) and not isinstance(wanted, (str, bytes)):
            for name in wanted:
                self.named[_checked_name(name)] = "process"
        else:
            self.default = _mode(wanted, "isolation")
        #: Only what workflows and nodes say themselves can have an effect.
        self.is_idle = self.default is None and not any(self.named.values())
        #: Ids that no workflow has had so far, and of which nothing was said yet.
        self._unseen = {name for name in self.named if "/" not in name}
        self._plans: weakref.WeakKeyDictionary[WorkflowPlan, tuple[str, IsolatedNodes | None]] = (
            weakref.WeakKeyDictionary()
        )
        self._after_fork()
        after_fork(self)

    def _after_fork(self) -> None:
        # Another thread may have held it in the parent.
        self._lock = threading.Lock()

    @property
    def pool(self) -> ProcessPool:
        """Where nodes run."""
        return self.given_pool or default_process_pool()

    def mode_of(self, workflow_name: str, node_id: str, said: Mapping[str, Any]) -> tuple[str | None, bool]:
        """How a node runs, and whether it is named by somebody, rather than one of all.

        Args:
            workflow_name: The name of its workflow.
            node_id: The node.
            said: As ``what_is_said`` has it.
        """
        for name in (f"{workflow_name}/{node_id}", node_id):
            if name in self.named:
                return self.named[name], True
        if not self.heeds:
            return None, False
        if node_id in said:
            return _mode(said[node_id], f"node {node_id!r}: {ISOLATION_KEY}"), True
        listed = said.get("")
        if listed is not None:
            mode, is_named = _listed(listed, node_id)
            if is_named or mode is not None:
                return mode, is_named
        return self.default, False

    def nodes_of(self, workflow: Any, plan: CompiledWorkflow) -> IsolatedNodes | None:
        """Where the nodes of a plan run; ``None`` if all of them do so here.

        Args:
            workflow: The workflow.
            plan: Its plan.

        Raises:
            IsolationError: If a node is named that cannot run in a process.
        """
        if self.is_idle and not (self.heeds and plan.isolated_nodes):
            return None
        if not has_lock():
            # Threads do what processes would, for less.
            return None
        from nexus_core.processes.isolated_nodes import isolated_nodes

        with self._lock:
            known = self._plans.get(plan.plan)
        if known is None or known[0] != workflow.name:
            self._check_names(workflow.name, plan.node_ids, plan.isolated_nodes)
            # It may run code of the user's: not under a lock.
            made = isolated_nodes(self, workflow, plan)
            with self._lock:
                known = self._plans[plan.plan] = (workflow.name, made)
        nodes = known[1]
        if nodes is not None:
            nodes.check(workflow)
        return nodes

    def _check_names(self, workflow_name: str, node_ids: tuple[str, ...], said: Mapping[str, Any]) -> None:
        for name in self.named:
            if name.startswith(f"{workflow_name}/") and not self._is_of(name, workflow_name, node_ids):
                raise IsolationError(no_such_node("isolation", name, workflow_name, node_ids))
        if self.heeds:
            check_named(said.get(""), f"workflow.metadata[{ISOLATION_KEY!r}]", workflow_name, node_ids)
        with self._lock:
            self._unseen.difference_update(node_ids)
            told, self._unseen = sorted(self._unseen), set()
        for name in told:
            # It may be another workflow's: a runtime has many.
            _log.warning(
                "%s. If it is another workflow's, name it as 'workflow/node'",
                no_such_node("isolation", name, workflow_name, node_ids),
            )

    @staticmethod
    def _is_of(name: str, workflow_name: str, node_ids: tuple[str, ...]) -> bool:
        return name in node_ids or name.removeprefix(f"{workflow_name}/") in node_ids

    def unknown(self, workflow_name: str, node_ids: tuple[str, ...]) -> tuple[str, ...]:
        """What is named without a workflow, and which this one does not have, a sentence each.

        Args:
            workflow_name: The name of the workflow.
            node_ids: Its nodes.
        """
        return tuple(
            no_such_node("isolation", name, workflow_name, node_ids)
            for name in self.named
            if "/" not in name and name not in node_ids
        )

    def check(self, workflow: Any, plan: CompiledWorkflow) -> None:
        """Finds out before a run whether nodes can be where they are to be.

        Args:
            workflow: The workflow.
            plan: Its plan.

        Raises:
            IsolationError: If a node is named that cannot run in a process.
            NotShippable: If one is that cannot be sent to one.
        """
        if not self.is_idle or plan.isolated_nodes:
            self.nodes_of(workflow, plan)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise IsolationError(f"isolation must name nodes by their ids, as 'node' or 'workflow/node', got {name!r}")
    return name


def _listed(listed: Any, node_id: str) -> tuple[str | None, bool]:
    where = f"workflow.metadata[{ISOLATION_KEY!r}]"
    if isinstance(listed, Mapping):
        return _mode(listed.get(node_id), f"{where}[{node_id!r}]"), node_id in listed
    if isinstance(listed, (list, tuple, set, frozenset)):
        return ("process" if node_id in listed else None), node_id in listed
    return _mode(listed, where), False
