"""A run whose nodes run on a cluster, as its caller sees it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask
from kailash.sdk_exceptions import WorkflowCancelledError, WorkflowExecutionError

from nexus_core.distributed.carried_logs import levels, log_again, this_process
from nexus_core.distributed.cluster_plan import ClusterPlan, Group, cluster_plan
from nexus_core.distributed.messages import VERSIONS, Failure, GroupTask, Outcome, RunTerms
from nexus_core.distributed.observation import observe
from nexus_core.distributed.placement import Placement, Where, annotations_of, check_names, together
from nexus_core.distributed.submitted import Submitted
from nexus_core.errors import NotShippable
from nexus_core.runtime import validation_counts
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.pruning import is_pruned
from nexus_core.runtime.workflow_run import NativeRun
from nexus_core.shipping import Carried, Packed, ShippedWorkflow, pack, restore, unpack

if TYPE_CHECKING:
    from nexus_core.distributed.connection import Connection

__all__ = ["ClusterRun"]

_manager_logger = logging.getLogger("kailash.tracking.manager")

#: Parameters of so many bytes are tasks of their own: workers take them when they need them.
_APART = 64 * 1024

#: How often a waiting caller looks for signals and for its token, in seconds.
_TURN = 0.05

#: How often it looks whether tasks were lost, or all workers.
_LOOK = 0.5


class ClusterRun(NativeRun):
    """A run of ``DaskRuntime``; arguments as of :class:`NativeRun`."""

    __slots__ = ("_arrived", "_failure", "_outcomes", "_packed", "_placement")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outcomes: dict[int, Outcome] = {}
        #: When they came, in seconds since 1970.
        self._arrived: dict[int, float] = {}
        self._packed: dict[str, Packed] = {}
        #: What the nodes' failure has become, and its context.
        self._failure: tuple[BaseException, BaseException | None] | None = None
        check_names(self.runtime, self.workflow, self.plan)
        self._placement = self._place()
        if self._placement.where is not Where.HERE:
            self.needs_loop = False

    def _place(self) -> Placement:
        if not self._prunes:
            return Placement(Where.HERE, "it begins again")
        if self.task_manager is not None:
            return Placement(Where.HERE, "its task manager is told of each node")
        if self._resumption is not None:
            return Placement(Where.HERE, "it resumes or keeps what it has completed")
        if self._parameters and "workflow_context" in self._parameters:
            return Placement(Where.HERE, "its workflow context is given, and the caller's")
        return cluster_plan(self.workflow, self.plan).placement(self.runtime, self.workflow, self.plan)

    async def _results(
        self, context: dict[str, Any], supplied: bool, processed: dict[str, Any] | None
    ) -> dict[str, Any]:
        if self._placement.where is not Where.HERE:
            refusal = self._pack_parameters(processed)
            if refusal is not None:
                self._placement = Placement(Where.HERE, refusal)
        self.runtime._count_placement(self._placement)
        if self._placement.where is Where.HERE:
            return await super()._results(context, supplied, processed)
        given_up = threading.Event()
        run = partial(self._on_cluster, given_up)
        try:
            if self._is_driven:
                return await self._outside(run)
            # An event loop is not to wait for a cluster.
            # Dask's annotations are those of the context.
            return await asyncio.get_running_loop().run_in_executor(None, copy_context().run, run)
        except BaseException as error:
            if self._failure is not None and error is self._failure[0]:
                # Raising it has replaced what it was raised in the course of.
                error.__context__ = self._failure[1]
            raise
        finally:
            self._failure = None
            given_up.set()

    def _tells_of_nodes(self) -> bool:
        return self._placement.where is Where.HERE

    def _end_tracking(self, status: str, error: str | None, processed: dict[str, Any] | None, began: datetime) -> None:
        super()._end_tracking(status, error, processed, began)
        # Whether it was on the cluster after all or not; stock cannot note that a run was cancelled.
        if self._history_id is not None and status != "cancelled":
            _manager_logger.info("Updated run %s status to: %s", self._history_id, status)

    async def _final_cleanup(self) -> None:
        if self._placement.where is Where.HERE:
            await super()._final_cleanup()

    def _node_rows(self) -> tuple[int, list[Any], dict[int, str]]:
        if self._placement.where is Where.HERE:
            return super()._node_rows()
        size = 0
        rows: list[Any] = []
        ids: dict[int, str] = {}
        for _, outcome in sorted(self._outcomes.items()):
            if isinstance(outcome.rows, Carried):
                raise restore(outcome.rows)
            length, own, own_ids = outcome.rows
            ids.update({place + len(rows): known for place, known in own_ids.items()})
            rows.extend(own)
            size += length
        return size, rows, ids

    # --- what goes out --------------------------------------------------------------------

    def _pack_parameters(self, processed: dict[str, Any] | None) -> str | None:
        """Packs the nodes' parameters; says why they cannot go."""
        try:
            for node_id, own in (processed or {}).items():
                if node_id in self.plan.node_id_set:
                    self._packed[node_id] = pack({node_id: own})
        except NotShippable as refused:
            return f"parameters of node {node_id!r} cannot leave the process: {refused}"
        return None

    def _on_cluster(self, given_up: threading.Event) -> dict[str, Any]:
        runtime, plan = self.runtime, self.plan
        connection: Connection = runtime._connection
        self._look(given_up)
        client, slots = connection.ready(partial(self._look, given_up))
        known = cluster_plan(self.workflow, plan)
        shipped = known.shipped(self.workflow)
        assert isinstance(shipped, ShippedWorkflow)
        terms = RunTerms(
            uuid4().hex, client.id, VERSIONS, self.run_id, self._history_id is not None, runtime._worker_options(),
            this_process(), levels(),
        )  # fmt: skip
        if self._placement.where is Where.WHOLE:
            everything = tuple(range(len(plan.node_ids)))
            again = all(runtime._rerun_of(self.workflow, plan))
            label = f"{getattr(self.workflow, 'name', '') or 'nexus'}: whole".replace("-", "_")
            annotation = together(annotations_of(self.workflow, plan, runtime._annotations))
            groups: tuple[Group, ...] = (Group(0, everything, (), (), (), label, annotation, again),)
        else:
            groups = known.groups(
                self.workflow, plan, slots, runtime._annotations, runtime.retry_on_worker_loss, runtime.batches
            )
        if not groups:
            return {}
        if not self._decides_itself() and is_visible(runtime.logger, logging.INFO):
            self._log_beginning()
        submitted = Submitted(client, connection, terms)
        began = time.time()
        if runtime._figures is not None:
            runtime._figures.begins()
        try:
            plan_there = connection.plan(client, shipped, getattr(self.workflow, "name", "") or "")
            keep_much = {group.number for group in groups if known.keeps_much(group)}
            submitted.send(self, groups, plan_there, keep_much)
            failure = self._wait(submitted, groups, given_up)
        finally:
            submitted.end()
            if runtime._figures is not None:
                runtime._figures.leaves()
            observe(self, groups, known.sources, began, self._outcomes, self._arrived)
            if self._tracker is not None and not self._decides_itself():
                failed = {place for outcome in self._outcomes.values() for place in outcome.failed}
                unfinished = {self.plan.node_ids[place] for place in failed}
                for node_id, output in self._outputs().items():
                    if node_id not in unfinished:
                        self._tracker.record_completion(node_id, output)
        known.learn_sizes(
            {
                group.members: self._outcomes[group.number].kept.size
                for group in groups
                if group.number in self._outcomes and self._outcomes[group.number].failure is None
            }
        )
        return self._conclude(known, failure)

    def task(self, group: Group, terms: RunTerms) -> tuple[GroupTask, Packed | None]:
        """What a worker is told of a group, and its parameters if they are to go by themselves.

        Args:
            group: The group.
            terms: Of the run.
        """
        ids = self.plan.node_ids
        packed = [self._packed[ids[place]] for place in group.members if ids[place] in self._packed]
        parameters: Packed | None = None
        if len(packed) == 1:
            parameters = packed[0]
        elif packed:
            merged: dict[str, Any] = {}
            for each in packed:
                merged.update(unpack(each))
            parameters = pack(merged)
        apart = parameters if parameters is not None and parameters.size >= _APART else None
        retries = group.annotation.get("retries") or dask.get_annotations().get("retries")
        task = GroupTask(
            terms,
            group.number,
            {ids[place]: place for place in group.members},
            self._placement.where is Where.WHOLE and self._decides_itself(),
            tuple(ids[place] for place in group.inputs),
            frozenset(ids[place] for place in group.exports),
            parameters if apart is None else None,
            group.may_run_again or bool(retries),
            bool(retries),
        )
        return task, apart

    def _decides_itself(self) -> bool:
        """Whether more than the order of the nodes says which of them run."""
        return self.plan.cycles is not None or is_pruned(self.runtime, self.plan)

    # --- waiting --------------------------------------------------------------------------

    def _wait(self, submitted: Submitted, groups: tuple[Group, ...], given_up: threading.Event) -> Failure | None:
        """Waits for all groups that matter; returns the failure that comes first in topological order."""
        failure: Failure | None = None
        first = {group.number: group.members[0] for group in groups}
        open_groups = set(first)
        # What nodes have logged is logged in their order.
        unlogged = deque(sorted(first, key=first.__getitem__))
        looked = time.monotonic()
        try:
            while open_groups:
                for number, outcome in submitted.arrived(_TURN):
                    # In this order: whatever has come has come at some time, also if Ctrl-C comes in between.
                    self._arrived[number] = time.time()
                    self._outcomes[number] = outcome
                    open_groups.discard(number)
                    if outcome.failure is not None and (failure is None or outcome.failure.place < failure.place):
                        failure = outcome.failure
                        # What comes after it would not have run in one process.
                        unlogged = deque(each for each in unlogged if first[each] <= outcome.failure.place)
                        if failure.ends_at_once:
                            return failure
                        # What comes later does not run; what comes earlier may fail, and would have failed before it.
                        open_groups -= {number for number in open_groups if first[number] > failure.place}
                        submitted.cancel(set(first) - _with_sources(open_groups, groups))
                self._log(unlogged)
                self._look(given_up)
                if time.monotonic() - looked > _LOOK:
                    looked = time.monotonic()
                    submitted.look(open_groups)
        finally:
            self._log(unlogged, True)
        return failure

    def _log(self, unlogged: deque[int], is_over: bool = False) -> None:
        """Logs what the nodes of groups have logged that have come, up to the first that has not, unless all is over."""
        while unlogged and (is_over or unlogged[0] in self._outcomes):
            outcome = self._outcomes.get(unlogged.popleft())
            if outcome is not None and outcome.records is not None:
                log_again(outcome.records)

    def _look(self, given_up: threading.Event) -> None:
        """Ends a run that nobody waits for, or that was cancelled."""
        if given_up.is_set() or (self.token is not None and self.token.is_cancelled):
            raise self._cancelled_after(self._outputs())

    def _outputs(self) -> dict[str, Any]:
        """What is known of the nodes, in topological order."""
        found: dict[str, Any] = {}
        for outcome in self._outcomes.values():
            found.update(unpack(outcome.kept))
            found.update(unpack(outcome.exported))
        if self._decides_itself():
            return found  # in the order in which they came
        return {node_id: found[node_id] for node_id in self.plan.node_ids if node_id in found}

    def _cancelled_after(self, completed: dict[str, Any]) -> WorkflowCancelledError:
        pending = next((node_id for node_id in self.plan.node_ids if node_id not in completed), None)
        reason = (self.token.reason if self.token is not None else None) or "no reason provided"
        self.runtime.logger.info("Workflow cancelled before node '%s' (completed: %s)", pending, list(completed))
        return WorkflowCancelledError(
            message=f"Workflow cancelled: {reason}", completed_nodes=list(completed), cancelled_at_node=pending
        )

    # --- the end --------------------------------------------------------------------------

    def _conclude(self, known: ClusterPlan, failure: Failure | None) -> dict[str, Any]:
        ran: list[int] = []
        stock: set[int] = set()
        for outcome in self._outcomes.values():
            known.learn(outcome.seconds)
            ran.extend(outcome.seconds)
            stock.update(outcome.validated)
            if outcome.run_id is not None:
                self.run_id = outcome.run_id
        explanations = self.plan.explanations
        nodes = [explanations[place] for place in sorted(ran) if place not in stock]
        validation_counts.count(nodes, self.runtime.connection_validation, ())
        if failure is not None:
            error = self._restored(failure)
            self._failure = error, error.__context__
            raise error
        return self._outputs()

    def _restored(self, failure: Failure) -> BaseException:
        error = restore(failure.error)
        _as_raised_here(error)
        if type(error) is WorkflowExecutionError:
            failed = sorted({place for outcome in self._outcomes.values() for place in outcome.failed})
            earlier = [self.plan.node_ids[place] for place in failed if place < failure.place]
            if earlier and str(error).startswith(f"Node '{self.plan.node_ids[failure.place]}' failed: "):
                error.args = (f"{error} (Previously failed nodes: {earlier})",)
        return error


def _with_sources(numbers: set[int], groups: tuple[Group, ...]) -> set[int]:
    """Groups, and all that they wait for: Dask cancels what waits for a cancelled task too."""
    found = set(numbers)
    # Each comes after those that it waits for.
    for group in reversed(groups):
        if group.number in found:
            found.update(group.sources)
    return found


def _as_raised_here(error: BaseException) -> None:
    """Runs happen while the lack of an event loop is handled, on the worker as here: it is one and the same."""
    here = sys.exc_info()[1]
    if not isinstance(here, RuntimeError):
        return
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        context = each.__context__
        if type(context) is RuntimeError and context.args == here.args:
            suppress, cause = each.__suppress_context__, each.__cause__
            each.__context__ = here
            each.__cause__, each.__suppress_context__ = cause, suppress
        left.extend(other for other in (each.__cause__, each.__context__) if other is not None and other is not here)
