"""graphlib, alone and with a ThreadPoolExecutor, in the manner of its documentation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import Any

from peers import Peer, Prepared
from workloads import Graph, callables


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    names = graph.names
    inputs = {
        name: tuple(names[p] for p in predecessors)
        for name, predecessors in zip(names, graph.predecessors, strict=True)
    }
    bodies = dict(zip(names, callables(graph), strict=True))
    if peer.key == "graphlib":
        yield Prepared(lambda: inline(inputs, bodies), dict)
        return
    with ThreadPoolExecutor(graph.workers or 4) as pool:
        yield Prepared(lambda: threaded(inputs, bodies, pool), dict)


def inline(inputs: dict[str, tuple[str, ...]], bodies: dict[str, Any]) -> dict[str, Any]:
    # A sorter is used up by one pass, so every run makes its own.
    sorter = TopologicalSorter(inputs)
    out: dict[str, Any] = {}
    for name in sorter.static_order():
        out[name] = bodies[name](*[out[i] for i in inputs[name]])
    return out


def threaded(inputs: dict[str, tuple[str, ...]], bodies: dict[str, Any], pool: ThreadPoolExecutor) -> dict[str, Any]:
    sorter = TopologicalSorter(inputs)
    sorter.prepare()
    out: dict[str, Any] = {}
    done: SimpleQueue[tuple[str, Future[Any]]] = SimpleQueue()

    def submit(name: str) -> None:
        future = pool.submit(bodies[name], *[out[i] for i in inputs[name]])
        future.add_done_callback(lambda f: done.put((name, f)))

    while sorter.is_active():
        for name in sorter.get_ready():
            submit(name)
        name, future = done.get()
        out[name] = future.result()
        sorter.done(name)
    return out
