"""A run whose nodes run on a cluster, as its caller sees it."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from kailash.sdk_exceptions import WorkflowCancelledError, WorkflowExecutionError

from nexus_core.distributed.cluster_plan import ClusterPlan, Group, cluster_plan
from nexus_core.distributed.messages import Failure, GroupTask, Outcome, RunTerms
from nexus_core.distributed.placement import Placement, Where
from nexus_core.distributed.tasks import GroupFailed, run_group
from nexus_core.errors import ClusterError, NotShippable
from nexus_core.runtime import validation_counts
from nexus_core.runtime.pruning import is_pruned
from nexus_core.runtime.workflow_run import NativeRun
from nexus_core.shipping import Carried, Packed, ShippedWorkflow, pack, restore, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client, Future

    from nexus_core.distributed.connection import Connection

__all__ = ["ClusterRun"]

#: Parameters of so many bytes go to the workers by themselves, not with the graph through the scheduler.
_APART = 64 * 1024

#: How often a waiting caller looks for signals and for its token, in seconds.
_TURN = 0.05

#: How often it looks whether tasks were lost, or all workers.
_LOOK = 0.5


class ClusterRun(NativeRun):
    """A run of ``DaskRuntime``; arguments as of :class:`NativeRun`."""

    __slots__ = ("_failure", "_outcomes", "_packed", "_placement")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outcomes: dict[int, Outcome] = {}
        self._packed: dict[str, Packed] = {}
        #: What the nodes' failure has become, and its context.
        self._failure: tuple[BaseException, BaseException | None] | None = None
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
        if self.runtime._recorder is not None:
            return Placement(Where.HERE, "it is traced, and a trace is of one process")
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
            return await asyncio.get_running_loop().run_in_executor(None, run)
        except BaseException as error:
            if self._failure is not None and error is self._failure[0]:
                # Raising it has replaced what it was raised in the course of.
                error.__context__ = self._failure[1]
            raise
        finally:
            self._failure = None
            given_up.set()

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
        if self.token is not None and self.token.is_cancelled:
            raise self._cancelled_after({})
        client, slots = connection.ready()
        known = cluster_plan(self.workflow, plan)
        shipped = known.shipped(self.workflow)
        assert isinstance(shipped, ShippedWorkflow)
        terms = RunTerms(uuid4().hex, self.run_id, self._history_id is not None, runtime._worker_options())
        if self._placement.where is Where.WHOLE:
            everything = tuple(range(len(plan.node_ids)))
            again = all(runtime._rerun_of(self.workflow, plan))
            label = f"{getattr(self.workflow, 'name', '') or 'nexus'}: whole".replace("-", "_")
            groups: tuple[Group, ...] = (Group(0, everything, (), (), (), label, {}, again),)
        else:
            groups = known.groups(
                self.workflow, plan, slots, runtime._annotations, runtime.retry_on_worker_loss, runtime.batches
            )
        if not groups:
            return {}
        submitted = _Submitted(client, connection, terms)
        try:
            submitted.send(self, groups, connection.plan(client, shipped, getattr(self.workflow, "name", "") or ""))
            failure = self._wait(submitted, groups, given_up)
        finally:
            submitted.end()
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

    def _wait(self, submitted: _Submitted, groups: tuple[Group, ...], given_up: threading.Event) -> Failure | None:
        """Waits for all groups that matter; returns the failure that comes first in topological order."""
        failure: Failure | None = None
        first = {group.number: group.members[0] for group in groups}
        open_groups = set(first)
        looked = time.monotonic()
        while open_groups:
            for number, outcome in submitted.arrived(_TURN):
                self._outcomes[number] = outcome
                open_groups.discard(number)
                if outcome.failure is not None and (failure is None or outcome.failure.place < failure.place):
                    failure = outcome.failure
                    if failure.ends_at_once:
                        return failure
                    # What comes later does not run; what comes earlier may fail, and would have failed before it.
                    open_groups -= {number for number in open_groups if first[number] > failure.place}
                    submitted.cancel(set(first) - _with_sources(open_groups, groups))
            if given_up.is_set() or (self.token is not None and self.token.is_cancelled):
                raise self._cancelled_after(self._outputs())
            if time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                submitted.look(open_groups)
        return failure

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


class _Submitted:
    """The tasks of a run, as Dask's client knows them.

    Args:
        client: The client.
        connection: The runtime's.
        terms: Of the run.
    """

    def __init__(self, client: Client, connection: Connection, terms: RunTerms) -> None:
        self._client = client
        self._connection = connection
        self._terms = terms
        self._futures: dict[int, Future] = {}
        self._held: list[Future] = []
        #: Numbers of groups that are done, and what was fetched, or what has gone wrong.
        self._events: queue.SimpleQueue[int | dict[int, Outcome] | BaseException] = queue.SimpleQueue()
        self._nobody_since: float | None = None
        self._workers_asked: Any = None

    def send(self, run: ClusterRun, groups: tuple[Group, ...], plan: Future) -> None:
        """Sends all groups as one graph."""
        self._check(groups)
        keys = {group.number: (f"{group.label}-{self._terms.token}", group.number) for group in groups}
        layers: dict[str, tuple[dict[str, Any], dict[Any, Any]]] = {}
        for group in groups:
            task, apart = run.task(group, self._terms)
            parameters: Any = None
            if apart is not None:
                parameters = self._client.scatter(apart, hash=False)
                self._held.append(parameters)
            annotation = dict(group.annotation)
            _, layer = layers.setdefault(repr(sorted(annotation.items())), (annotation, {}))
            layer[keys[group.number]] = (run_group, task, plan, parameters, [keys[number] for number in group.sources])
        graph = HighLevelGraph(
            {
                name: MaterializedLayer(layer, annotations=annotation or None)
                for name, (annotation, layer) in layers.items()
            },
            {name: set() for name in layers},
        )
        futures = self._client.get(graph, list(keys.values()), sync=False)
        self._held.append(plan)
        for number, future in zip(keys, futures, strict=True):
            self._futures[number] = future
            future.add_done_callback(partial(self._done, number))

    def _done(self, number: int, future: Any) -> None:
        self._events.put(number)

    def _check(self, groups: tuple[Group, ...]) -> None:
        """Refuses what no worker can run: Dask would wait for one that can."""
        if not any("resources" in group.annotation or "workers" in group.annotation for group in groups):
            return
        identity = self._connection.ask(self._client.scheduler.identity(n_workers=-1))
        workers = identity["workers"]
        for group in groups:
            needed = group.annotation.get("resources") or {}
            if needed and not any(
                all(worker["resources"].get(name, 0) >= amount for name, amount in needed.items())
                for worker in workers.values()
            ):
                offered = [worker["resources"] for worker in workers.values()]
                raise ClusterError(
                    f"{group.label!r} needs {dict(needed)}, and no worker has that; the workers offer {offered}: "
                    "start one with dask worker --resources, or change annotations"
                )

    def arrived(self, timeout: float) -> Iterable[tuple[int, Outcome]]:
        """Outcomes that have come in, by group; waits for one at most `timeout` seconds.

        Raises:
            BaseException: What has kept a group from having an outcome.
        """
        try:
            events = [self._events.get(timeout=timeout)]
        except queue.Empty:
            return
        while True:
            try:
                events.append(self._events.get_nowait())
            except queue.Empty:
                break
        done = []
        for event in events:
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, int):
                done.append(event)
            else:
                yield from event.items()
        finished = []
        for number in done:
            future = self._futures.get(number)
            if future is None:
                continue
            if future.status == "finished":
                finished.append(number)
            elif future.status == "error":
                yield number, self._outcome_of_error(future)
            else:
                raise self._lost(future)
        if finished:
            self._fetch(finished)

    def _outcome_of_error(self, future: Future) -> Outcome:
        # It has been told with the state.
        error = future.exception(timeout=self._connection.timeout)
        if isinstance(error, GroupFailed):
            return error.outcome
        if isinstance(error, (ClusterError, NotShippable)):
            raise error
        raise ClusterError(
            f"the cluster could not run {self._name(future)}: {type(error).__name__}: {error}"
        ) from error

    def _fetch(self, numbers: list[int]) -> None:
        """Fetches outcomes while others are waited for."""
        futures = {number: self._futures[number] for number in numbers}
        client, events = self._client, self._events

        async def fetch() -> None:
            try:
                events.put(await client.gather(futures, asynchronous=True))
            except asyncio.CancelledError as cancelled:
                events.put(ClusterError(f"the cluster has dropped results of the run: {cancelled}"))
            except BaseException as error:
                if isinstance(error, (ClusterError, NotShippable)):
                    events.put(error)
                    return
                lost = ClusterError(f"results could not be fetched: {type(error).__name__}: {error}")
                lost.__cause__ = error
                events.put(lost)

        self._connection.begin(fetch())

    def look(self, numbers: set[int]) -> None:
        """Looks whether anything was lost that nobody tells of.

        Args:
            numbers: The groups that are waited for.

        Raises:
            ClusterError: If so.
        """
        if self._client.status in ("closed", "closing"):
            raise ClusterError(f"the client of the scheduler at {self._connection.address} was closed while it ran")
        for number in numbers:
            future = self._futures[number]
            if future.status in ("lost", "cancelled"):
                raise self._lost(future)
        if self._client.status == "connecting":
            self._nobody("does not answer any more")
            return
        asked = self._workers_asked
        if asked is None:
            self._workers_asked = self._connection.begin(self._threads())
        elif asked.done():
            self._workers_asked = None
            if asked.exception() is None and asked.result():
                self._nobody_since = None
            else:
                self._nobody("has no workers any more")

    async def _threads(self) -> int:
        identity = await self._client.scheduler.identity(n_workers=0)
        return int(identity["total_threads"])

    def _nobody(self, what: str) -> None:
        now = time.monotonic()
        if self._nobody_since is None:
            self._nobody_since = now
        elif now - self._nobody_since > self._connection.timeout:
            raise ClusterError(
                f"the scheduler at {self._connection.address} {what}, for {self._connection.timeout:g} s now: "
                "what has not finished is given up"
            )

    def _lost(self, future: Future) -> ClusterError:
        return ClusterError(
            f"the cluster has dropped {self._name(future)} ({future.status}): the scheduler or all workers were "
            "restarted, or somebody else cancelled it"
        )

    @staticmethod
    def _name(future: Future) -> str:
        key: Any = future.key
        return repr(str(key[0]).rpartition("-")[0])

    def cancel(self, numbers: set[int]) -> None:
        """Has groups not run, or end after the node that they are at.

        Args:
            numbers: The groups.
        """
        futures = [self._futures.pop(number) for number in numbers if number in self._futures]
        pending = [future for future in futures if not future.done()]
        if pending and self._client.status == "running":
            self._connection.begin(_cancel(self._client, pending))

    def end(self) -> None:
        """Lets go of everything; what still runs is cancelled."""
        self.cancel(set(self._futures))
        self._futures.clear()
        self._held.clear()
        self._connection.forget(self._terms.token)


async def _cancel(client: Client, futures: list[Future]) -> None:
    await client.cancel(futures, asynchronous=True)
