"""The nodes of one plan that run, or may come to run, in worker processes."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

from kailash.nodes.base_async import AsyncNode
from kailash.nodes.logic.operations import MergeNode, SwitchNode

from nexus_core._core import _RemoteNodes
from nexus_core._node_attributes import attributes_of
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.cached_runs.watched_digest import WatchedDigest
from nexus_core.errors import IsolationError, NotShippable
from nexus_core.processes import context_variables, log_records
from nexus_core.processes.isolation import Isolation
from nexus_core.processes.named_nodes import check_named
from nexus_core.processes.node_state import take_over
from nexus_core.processes.statements import RETRY_KEY, what_is_said
from nexus_core.processes.static_look import Look
from nexus_core.processes.tasks import Failed, NodeTask, NotTold, Unknown
from nexus_core.processes.watched_run import WatchedRun
from nexus_core.processes.worker_process import Abandoned, Limits, Overdue, WorkerProcess
from nexus_core.shipping.exceptions import Carried, carry, restore
from nexus_core.shipping.values import Packed, pack
from nexus_core.shipping.workflows import ShippedWorkflow, part_of, ship, unshippable

if TYPE_CHECKING:
    from nexus_core.process_pool import ProcessPool
    from nexus_core.runtime.compiler import CompiledWorkflow
    from nexus_core.runtime.node_host import NodeHost

__all__ = ["IsolatedNodes", "isolated_nodes"]

Place = Literal["here", "there", "measured", "watched"]

#: Programs whose time Kailash limits.
_TIMED = frozenset({"code", "named function"})
#: Seconds that a worker has to say itself that its node took too long.
_MARGIN = 1.0

#: Of the workflow context: what is bound to the run's own process, and made for each run.
_OF_THE_RUN = frozenset({"signal_channel", "query_registry", "execution_tracker"})

_REASONS: dict[str | None, str] = {
    "too dear": "sending its inputs and outputs costs more than half of what it computes",
    "too idle": "it waits more than it computes",
}


def isolated_nodes(isolation: Isolation, workflow: Any, plan: CompiledWorkflow) -> IsolatedNodes | None:
    """Where the nodes of a plan run; ``None`` if all of them do so here, whatever they do.

    Args:
        isolation: What the runtime is made with.
        workflow: The workflow.
        plan: Its plan.

    Raises:
        IsolationError: If a node is named that cannot run in a process.
    """
    places: list[Place] = []
    reasons: dict[int, str] = {}
    named: set[int] = set()
    for index, node_id in enumerate(plan.node_ids):
        mode, is_named = isolation.mode_of(workflow.name, node_id, plan.isolated_nodes)
        refusal = None if mode is None else _refusal(plan, index)
        if mode is not None and is_named:
            named.add(index)
        if refusal is not None:
            if is_named:
                raise IsolationError(
                    f"node {node_id!r} is to run in a process, and cannot: {refusal}. Leave it out of the isolation"
                )
            reasons[index] = refusal
        places.append("here" if mode is None or refusal else "there" if mode == "process" else "measured")
    if not (named or reasons or any(place != "here" for place in places)):
        return None
    return IsolatedNodes(isolation.pool, workflow, plan, places, reasons, named)


def _refusal(plan: CompiledWorkflow, index: int) -> str | None:
    node = plan.instances[index]
    if plan.explanations[index].program == "async":
        return "it is awaited on the runtime's event loop"
    if isinstance(node, AsyncNode):
        return "it is asynchronous"
    if type(node) in (SwitchNode, MergeNode):
        return "it only hands data on"
    return None


class IsolatedNodes:
    """Has nodes of a plan run in a pool's workers.

    Args:
        pool: The pool.
        workflow: The workflow.
        plan: Its plan.
        places: Where each node runs.
        reasons: Why nodes stay that were meant to go, by their place in the plan.
        named: Nodes that somebody has named.
    """

    def __init__(
        self,
        pool: ProcessPool,
        workflow: Any,
        plan: CompiledWorkflow,
        places: list[Place],
        reasons: dict[int, str],
        named: set[int],
    ) -> None:
        self._pool = pool
        self._ids = plan.node_ids
        self._instances = plan.instances
        self._programs = [explanation.program for explanation in plan.explanations]
        self._shows_context = plan.shows_context
        self._named = named
        #: Those that are measured on, wherever they are.
        self._measured = {index for index, place in enumerate(places) if place == "measured"}
        #: Those that change themselves.
        self._changing: set[int] = set()
        self.reasons = reasons
        self.remote = _RemoteNodes(places)
        retried = what_is_said(workflow, plan.node_ids, RETRY_KEY)
        check_named(retried.get(""), f"workflow.metadata[{RETRY_KEY!r}]", workflow.name, plan.node_ids)
        self._retried = [_may_retry(pool, retried, node_id) for node_id in plan.node_ids]
        self._shipped: ShippedWorkflow | None = None
        self._watch: _Watch | None = None
        self._after_fork()
        after_fork(self)

    def _after_fork(self) -> None:
        # What is described may itself run a workflow. Another thread may have held it in the parent.
        self._lock = threading.RLock()

    # --- what is sent once --------------------------------------------------------------

    def check(self, workflow: Any) -> None:
        """Describes the nodes that go, if that has not been done or anything in them has changed since.

        Called before each run.

        Args:
            workflow: The workflow.

        Raises:
            NotShippable: If a node cannot be described that somebody has named.
        """
        watch = self._watch
        if watch is not None and watch.is_current():
            return
        with self._lock:
            if self._watch is not None and self._watch.is_current():
                return
            going = {self._ids[index] for index in self._going()}
            watch = _Watch(workflow, going, {self._ids[index] for index in self._changing})
            self._shipped = self._ship(workflow, going)
            self._watch = watch

    def _going(self) -> list[int]:
        return [index for index in range(len(self._ids)) if self.remote.place(index) != "here"]

    def _ship(self, workflow: Any, going: set[str]) -> ShippedWorkflow | None:
        if not going:
            return None
        try:
            return ship(workflow, going)
        except NotShippable:
            refusals = unshippable(workflow, going)
            if not refusals:
                raise
        for index, node_id in enumerate(self._ids):
            if node_id in refusals:
                if index in self._named:
                    raise refusals[node_id]
                self._keep(index, str(refusals[node_id]))
        return self._ship(workflow, going - refusals.keys())

    def _keep(self, index: int, reason: str) -> None:
        self.remote.put(index, "here")
        self.reasons[index] = reason

    # --- what is sent for each run of a node ----------------------------------------------

    def run(
        self, host: NodeHost, index: int, inputs: dict[str, Any], dialect: str, own_execute: bool, logs: bool
    ) -> tuple[Any, BaseException | None] | None:
        """Runs a node in a worker.

        Args:
            host: Of the run.
            index: The node's place in the plan.
            inputs: Its inputs.
            dialect: Whose rules the run follows.
            own_execute: Whether the node's own ``execute`` is called whatever it is.
            logs: Whether somebody reads what Kailash's ``Node.execute`` logs.

        Returns:
            Its output and ``None``, or ``None`` and what it has raised; ``None`` alone if it is to run here.

        Raises:
            NotShippable: If its inputs or its output cannot be described.
            WorkerLost: If its worker ended.
        """
        shipped = self._shipped
        if shipped is None:
            return None
        node_id, is_measured = self._ids[index], index in self._measured
        variables = context_variables.carried()
        given = getattr(host, "context", None) if self._shows_context and dialect == "local" else None
        context, withheld = _divided(given) if given else ({}, {})
        levels = host.levels
        if levels is None:
            levels = host.levels = log_records.levels()
        handled = _handled()
        state = attributes_of(self._instances[index]) if index in self._changing else None
        sent = 0.0

        def prepare(worker: WorkerProcess) -> Packed:
            nonlocal sent
            is_known = shipped.digest in worker.known
            told = None if worker.levels is levels or worker.levels == levels else levels
            workflow = None if is_known else shipped
            task = NodeTask(
                workflow, shipped.digest, node_id, dialect, own_execute, logs, inputs,
                context, withheld, variables, told, handled, state,
            )  # fmt: skip
            try:
                packed = _packed(task)
            except NotShippable as refused:
                raise _NotSent(refused) from refused
            worker.has(shipped.digest)
            worker.levels = levels
            sent = time.perf_counter()
            return packed

        limits = Limits(self._limit_of(index), host.is_given_up)
        try:
            reply = self._pool._run(
                prepare,
                what=f"node {node_id!r}",
                may_retry=self._retried[index],
                digest=shipped.digest,
                limits=limits,
            )
        except _NotSent as unsent:
            refused = unsent.refused
            refusal = NotShippable(refused.path.replace("[6]", "inputs", 1), refused.type_name, refused.reason, node_id)
            if not is_measured:
                raise refusal from refused
            # Nothing of it has run: it may do so here.
            self._keep(index, str(refusal))
            return None
        except Overdue:
            return None, host.code_failed(index, None, time.perf_counter() - sent)
        except Abandoned:
            return None, host.given_up()
        if reply.variables:
            context_variables.apply(reply.variables)
        if reply.context and given is not None:
            given.update(reply.context)
        if reply.records:
            log_records.emit(reply.records)
        if reply.state is not None:
            # From now on it is sent along: other runs of this plan may be under way.
            self._changing.add(index)
            take_over(self._instances[index], *reply.state)
            if is_measured:
                # It did not when it was watched. Nobody has asked for it to go.
                self._keep(index, "it changes itself")
        if is_measured:
            overhead = max(time.perf_counter() - sent - reply.elapsed, 0.0)
            verdict = self.remote.ran_there(index, reply.work, reply.waited, overhead)
            if verdict in _REASONS:
                self.reasons[index] = _REASONS[verdict]
        outcome = reply.outcome
        if isinstance(outcome, Failed):
            return None, restore(outcome.error)
        if isinstance(outcome, NotTold):
            raise NotShippable(f"{outcome.what}{outcome.path}", outcome.type_name, outcome.reason, node_id)
        assert not isinstance(outcome, Unknown)
        return outcome[0], None

    def _limit_of(self, index: int) -> float | None:
        """Seconds after which Kailash would say that a node took too long, and some more."""
        if self._programs[index] not in _TIMED:
            return None
        limit = self._instances[index].executor.security_config.execution_timeout
        return None if not limit else float(limit) + _MARGIN

    def consider(self, index: int) -> None:
        """A node has proved to be long and to compute: its next run is watched, unless its code shows that it has to stay.

        Args:
            index: The node's place in the plan.
        """
        try:
            reason = Look(self._instances[index]).reason
        except Exception as failed:  # what it holds may be nested too deeply, or raise; its run has ended well
            reason = f"its code cannot be looked through: {failed!r}"
        if reason is None:
            self.remote.put(index, "watched")
        else:
            self._keep(index, reason)

    def before_watched_run(self, index: int, inputs: dict[str, Any]) -> WatchedRun | None:
        """What is there before a node runs that may go.

        Args:
            index: The node's place in the plan.
            inputs: What it is given.
        """
        try:
            return WatchedRun(self._instances[index], inputs)
        except NotShippable as refused:
            self._keep(index, f"its inputs cannot go to another process: {refused}")
        except Exception as failed:  # as in `consider`
            self._keep(index, f"it cannot be watched: {failed!r}")
        return None

    def after_watched_run(self, index: int, inputs: dict[str, Any], output: Any, watched: WatchedRun | None) -> None:
        """A node goes, if nothing of what it did would have been missed.

        Args:
            index: The node's place in the plan.
            inputs: What it was given.
            output: What it has returned.
            watched: What was there before.
        """
        if watched is None or self.remote.place(index) != "watched":
            return
        try:
            pack(output)
        except NotShippable as refused:
            self._keep(index, f"its output cannot go to another process: {refused}")
            return
        try:
            reason = watched.difference(inputs)
        except Exception as failed:  # such as an input that cannot be pickled any more, or what compares itself
            reason = f"it cannot be watched: {failed!r}"
        if reason is None:
            self.remote.put(index, "there")
        else:
            self._keep(index, reason)

    # --- what is told ----------------------------------------------------------------------

    @property
    def pool(self) -> ProcessPool:
        """Where nodes run."""
        return self._pool

    def place(self, index: int) -> str:
        """Where a node runs: ``"here"``, ``"process"``, or ``"measured"`` if that is not decided.

        Args:
            index: The node's place in the plan.
        """
        place = self.remote.place(index)
        return {"there": "process", "watched": "measured"}.get(place, place)

    def explain(self) -> tuple[str, ...]:
        """What goes where, and why, a sentence each."""
        by_place: dict[str, list[str]] = {}
        for index, node_id in enumerate(self._ids):
            by_place.setdefault(self.place(index), []).append(node_id)
        told = []
        if there := by_place.get("process"):
            told.append(f"in processes of pool {self._pool.name!r}: {', '.join(there)}")
        if measured := by_place.get("measured"):
            told.append(f"measured, and in processes once they prove to be long and to compute: {', '.join(measured)}")
        told += [
            f"node {self._ids[index]!r} stays in this process: {why}" for index, why in sorted(self.reasons.items())
        ]
        return tuple(told)


def _may_retry(pool: ProcessPool, said: dict[str, Any], node_id: str) -> bool:
    if node_id in said:
        return _checked_retry(said[node_id], f"node {node_id!r}: {RETRY_KEY}")
    listed = said.get("")
    if listed is None:
        return pool.retry_on_worker_loss
    if isinstance(listed, (list, tuple, set, frozenset)):
        return node_id in listed
    return _checked_retry(listed, f"workflow.metadata[{RETRY_KEY!r}]")


def _checked_retry(says: Any, where: str) -> bool:
    if isinstance(says, bool):
        return says
    raise IsolationError(f"{where} must be True or False, or for a workflow ids of nodes, got {says!r}")


class _NotSent(Exception):
    """A task cannot be described; no worker has been told of it."""

    def __init__(self, refused: NotShippable) -> None:
        self.refused = refused


def _packed(task: NodeTask) -> Packed:
    """A task on its way; without context variables whose value cannot go although others of its type could."""
    try:
        return pack(task)
    except NotShippable:
        variables = context_variables.that_go(task.variables)
        if len(variables) == len(task.variables):
            raise
        return pack(task._replace(variables=variables))


def _handled() -> Carried | str | None:
    """What is being handled; its text alone if it is Kailash's own of every run."""
    error = sys.exception()
    if type(error) is RuntimeError and error.__context__ is None and len(error.args) == 1 and not error.__dict__:
        text = error.args[0]
        if type(text) is str:
            return text
    return None if error is None else carry(error)


def _divided(context: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A workflow context: what can go, and why the rest cannot."""
    goes, withheld = {}, {}
    for key, value in context.items():
        if key in _OF_THE_RUN:
            withheld[key] = "it belongs to the run's own process"
            continue
        try:
            pack(value)
        except NotShippable as refused:
            withheld[key] = str(refused)
        else:
            goes[key] = value
    return goes, withheld


class _Watch:
    """Notices when something in nodes changes that were described.

    Args:
        workflow: The workflow.
        going: Ids of the nodes.
        changing: Ids of those that change themselves: what they hold is sent along each time.
    """

    def __init__(self, workflow: Any, going: set[str], changing: set[str]) -> None:
        self._digest: WatchedDigest | None = None
        try:
            watched = part_of(workflow, workflow._node_instances.keys() - changing) if changing else workflow
            digest = WatchedDigest(watched)
        except Exception:  # something in it has no key, or its own code raises
            digest = None
        if digest is not None and digest.is_watched:
            self._digest = digest
            return
        # What the nodes themselves hold, at least.
        self._nodes = [
            (node, attributes_of(node))
            for node_id, node in workflow._node_instances.items()
            if node_id in going - changing
        ]

    def is_current(self) -> bool:
        """Whether nothing has changed."""
        if self._digest is not None:
            return self._digest.is_current()
        return all(
            len(now := attributes_of(node)) == len(before)
            and all(name in now and now[name] is value for name, value in before.items())
            for node, before in self._nodes
        )
