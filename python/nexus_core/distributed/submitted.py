"""The tasks of a run, on their way through Dask."""

from __future__ import annotations

import asyncio
import queue
import time
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from nexus_core.distributed.cluster_plan import Group
from nexus_core.distributed.messages import Outcome, RunTerms
from nexus_core.distributed.tasks import GroupFailed, exports_of, hold, run_group
from nexus_core.errors import ClusterError, NotShippable

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from distributed import Client, Future

    from nexus_core.distributed.cluster_run import ClusterRun
    from nexus_core.distributed.connection import Connection
    from nexus_core.shipping import Packed

__all__ = ["Submitted"]

#: Parameters of more bytes go to the workers directly; Dask warns of graphs that are larger.
_MOST_BY_SCHEDULER = 8 * 2**20


class Submitted:
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
        self._asked: Any = None

    def send(self, run: ClusterRun, groups: tuple[Group, ...], plan: Future, keep_much: Container[int]) -> None:
        """Sends all groups as one graph.

        Args:
            run: The run.
            groups: Its groups.
            plan: The workflow's description on the cluster.
            keep_much: Numbers of groups of whose outcome others get what they need alone.
        """
        self._check(groups)
        keys = {group.number: (f"{group.label}-{self._terms.token}", group.number) for group in groups}
        sources_of_any = {number for group in groups for number in group.sources}
        exports = {number: (*keys[number], "exports") for number in sorted(sources_of_any) if number in keep_much}
        layers: dict[str, tuple[dict[str, Any], dict[Any, Any]]] = {}
        for group in groups:
            task, apart = run.task(group, self._terms)
            parameters: Any = None
            if apart is not None:
                parameters = self._parameters(apart)
                self._held.append(parameters)
            annotation = dict(group.annotation)
            _, layer = layers.setdefault(repr(sorted(annotation.items())), (annotation, {}))
            sources = [exports.get(number, keys[number]) for number in group.sources]
            layer[keys[group.number]] = (run_group, task, plan, parameters, sources)
        if exports:
            layers["exports"] = {}, {key: (exports_of, keys[number]) for number, key in exports.items()}
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

    def _parameters(self, packed: Packed) -> Future:
        """Parameters that do not go with the graph."""
        if packed.size > _MOST_BY_SCHEDULER:
            return self._client.scatter(packed, hash=False)
        # Of these the scheduler has a copy, should the worker go that they are brought to.
        return Context().run(self._client.submit, hold, packed, key=f"nexus parameters-{uuid4().hex}", pure=False)

    def _done(self, number: int, future: Any) -> None:
        self._events.put(number)

    def _check(self, groups: tuple[Group, ...]) -> None:
        """Refuses what no worker can run: Dask would wait for one that can."""
        for_all = dask.get_annotations().get("resources") or {}
        resources = [group.annotation.get("resources") or for_all for group in groups]
        if not any(resources):
            return
        identity = self._connection.ask(self._client.scheduler.identity(n_workers=-1))
        workers = identity["workers"]
        for group, needed in zip(groups, resources, strict=True):
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
        asked = self._asked
        if asked is None:
            self._asked = self._connection.begin(self._waiting())
        elif asked.done():
            self._asked = None
            if asked.cancelled() or asked.exception() is not None:
                self._nobody("does not say what the run waits for")
                return
            threads, stuck = asked.result()
            if not threads:
                self._nobody("has no workers any more")
            elif stuck:
                self._nobody(f"has no worker that can run {', '.join(map(repr, stuck))} with its annotations")
            else:
                self._nobody_since = None

    async def _waiting(self) -> tuple[int, list[str]]:
        threads, stuck = await self._client.scheduler.nexus_core_waiting(run=self._terms.token)
        return threads, stuck

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
            "restarted, a worker with large parameters of it is gone, or somebody else cancelled it"
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
