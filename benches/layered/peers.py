"""Who runs the layers: one small adapter a peer, as in `peers`, and what they share while a load is measured."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from layered.loads import AT_ONCE, Load, Work
from peers import Prepared
from workloads import values_of_results

#: Worker processes of the pool and of the cluster, of one thread each.
PROCESSES = 2


@dataclass
class Shared:
    """What several peers use: a pool of worker processes, or a client of a cluster."""

    pool: Any = None
    client: Any = None


@dataclass(frozen=True)
class Peer:
    """One way to run a workflow.

    Attributes:
        key: In the figures.
        title: For people.
        place: What it runs on: `here`, `pool` or `cluster`. Peers of one place take turns.
        prepare: Everything that is done once; yields what is done on every run.
        ours: Whether it is nexus_core that is measured.
        sequential: Whether it runs one node after the other.
        learns: Whether the first run of a workflow measures what later ones make use of.
        short_only: Left out of loads that take minutes, for which another peer takes just as long.
    """

    key: str
    title: str
    place: str
    prepare: Callable[[Work, Shared], AbstractContextManager[Prepared]]
    ours: bool = True
    sequential: bool = False
    learns: bool = False
    short_only: bool = False

    def slots(self, load: Load) -> int:
        """How many nodes it can run at the same time, an interpreter's lock considered."""
        if self.sequential:
            return 1
        if load.computes:
            return 1 if self.place == "here" else PROCESSES
        return AT_ONCE if self.overlaps else PROCESSES

    @property
    def overlaps(self) -> bool:
        """Whether nodes that wait do so on threads."""
        return not self.sequential and (self.place == "here" or self.learns)

    def takes_part(self, load: Load) -> bool:
        """Whether it is measured: what waits for minutes one after the other tells nothing new."""
        if not load.is_long:
            return True
        return not self.short_only and (load.computes or self.overlaps)


def _runs(runtime: Any, work: Work) -> Prepared:
    workflow = work.workflow()
    return Prepared(lambda: runtime.execute(workflow), lambda raw: values_of_results(raw[0]))


def _options(work: Work, threads: int) -> dict[str, Any]:
    return {"enable_monitoring": False} | ({} if work.load.computes else {"max_concurrency": threads})


@contextlib.contextmanager
def _stock(work: Work, _: Shared) -> Iterator[Prepared]:
    from kailash.runtime.local import LocalRuntime

    with LocalRuntime(enable_monitoring=False) as runtime:
        yield _runs(runtime, work)


@contextlib.contextmanager
def _stock_async(work: Work, _: Shared) -> Iterator[Prepared]:
    from kailash.runtime import AsyncLocalRuntime

    runtime = AsyncLocalRuntime()
    workflow = work.workflow(wrapped=True)
    with asyncio.Runner() as runner:
        try:
            yield Prepared(
                lambda: runner.run(runtime.execute_workflow_async(workflow, {})),
                lambda raw: values_of_results(raw[0]),
            )
        finally:
            runner.run(runtime.cleanup())


@contextlib.contextmanager
def _local(work: Work, _: Shared) -> Iterator[Prepared]:
    from nexus_core.runtime import LocalRuntime

    with LocalRuntime(**_options(work, AT_ONCE)) as runtime:
        yield _runs(runtime, work)


@contextlib.contextmanager
def _processes(work: Work, shared: Shared) -> Iterator[Prepared]:
    from nexus_core.runtime import LocalRuntime

    with LocalRuntime(**_options(work, AT_ONCE), isolation="process", process_pool=shared.pool) as runtime:
        yield _runs(runtime, work)


@contextlib.contextmanager
def _groups(work: Work, shared: Shared) -> Iterator[Prepared]:
    from nexus_core.distributed import DaskRuntime

    # Each worker has a part of the threads.
    with DaskRuntime(shared.client, **_options(work, AT_ONCE // PROCESSES)) as runtime:
        yield _runs(runtime, work)


@contextlib.contextmanager
def _singles(work: Work, shared: Shared) -> Iterator[Prepared]:
    from nexus_core.distributed import DaskRuntime

    with DaskRuntime(shared.client, **_options(work, AT_ONCE // PROCESSES), batches=False) as runtime:
        yield _runs(runtime, work)


@contextlib.contextmanager
def _dask(work: Work, shared: Shared) -> Iterator[Prepared]:
    """The nodes as functions, without Kailash: what Dask alone takes for the same graph."""

    function, argument = work.call()

    def run() -> dict[str, int]:
        # Dask knows results by their keys; new ones, so that none is left from the run before.
        token = uuid4().hex
        keys = [f"n{node}-{token}" for node in range(len(work.load))]
        graph = {
            key: (function, argument, *(keys[above] for above in predecessors))
            for key, predecessors in zip(keys, work.load.predecessors(), strict=True)
        }
        found = shared.client.get(graph, keys)
        return {f"n{node}": value for node, value in enumerate(found)}

    yield Prepared(run, lambda raw: raw)


PEERS = {
    peer.key: peer
    for peer in (
        Peer("stock", "Kailash's LocalRuntime", "here", _stock, ours=False, sequential=True),
        Peer(
            "stock_async",
            "Kailash's AsyncLocalRuntime",
            "here",
            _stock_async,
            ours=False,
            sequential=True,
            short_only=True,
        ),
        Peer("local", "LocalRuntime, threads", "here", _local),
        Peer("processes", "LocalRuntime, 2 processes", "pool", _processes),
        Peer("dask", "DaskRuntime, 2 processes, groups", "cluster", _groups, learns=True),
        Peer("dask_singles", "DaskRuntime, 2 processes, a task a node", "cluster", _singles),
        Peer("dask_plain", "Dask alone, 2 processes, a task a node", "cluster", _dask, ours=False),
    )
}


@contextlib.contextmanager
def opened(place: str) -> Iterator[Shared]:
    """What the peers of a place run on."""
    # What stock logs for every node is not its work here, and ours would look at the level only.
    logging.getLogger("kailash").setLevel(logging.ERROR)
    if place == "pool":
        from nexus_core import ProcessPool

        with ProcessPool(PROCESSES) as pool:
            pool.start()
            yield Shared(pool=pool)
    elif place == "cluster":
        with cluster() as client:
            yield Shared(client=client)
    else:
        yield Shared()


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """A client of a cluster of this machine."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=PROCESSES,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as made,
        Client(made) as client,
    ):
        yield client


def warm_up(peer: Peer, work: Work, shared: Shared) -> None:
    """Imports what nodes need, wherever they run, with a workflow of its own."""
    few = replace(work.load, layers=2, width=4 * PROCESSES)
    little = replace(work, load=few, steps=min(work.steps, 1))
    with peer.prepare(little, shared) as prepared:
        for _ in range(2):
            little.check(prepared.values(prepared.run()), peer.title)
