"""nexus_core's TaskGraph over plain callables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peers import Peer, PeerUnavailable, Prepared
from workloads import Graph, callables, input_names


def task_graph(graph: Graph, *, keywords: bool = False) -> Any:
    """The graph as an uncompiled TaskGraph."""
    try:
        from nexus_core import TaskGraph
    except ImportError as error:
        raise PeerUnavailable(f"nexus_core.TaskGraph cannot be imported: {error}") from None
    tasks = TaskGraph()
    refs: list[Any] = []
    for name, fn, predecessors in zip(
        graph.names, callables(graph, keywords=keywords), graph.predecessors, strict=True
    ):
        inputs = [refs[p] for p in predecessors]
        if keywords:
            refs.append(tasks.add(name, fn, **dict(zip(input_names(len(inputs)), inputs, strict=True))))
        else:
            refs.append(tasks.add(name, fn, *inputs))
    return tasks


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    plan = task_graph(graph, keywords=peer.key == "nexus_core_keywords").compile()
    workers = graph.workers
    if workers is None:
        yield Prepared(plan.run, dict)
    else:
        yield Prepared(lambda: plan.run(max_concurrency=workers), dict)
