"""What a careful programmer writes without any library: a loop over (name, function, where its arguments come from)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peers import Peer, Prepared
from workloads import Graph, callables, input_names


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    if peer.key == "loop_keywords":
        yield Prepared(by_keyword(graph), dict)
    else:
        yield Prepared(by_position(graph), dict)


def by_position(graph: Graph) -> Any:
    names = graph.names
    steps = [
        (name, fn, tuple(names[p] for p in predecessors))
        for name, fn, predecessors in zip(names, callables(graph), graph.predecessors, strict=True)
    ]

    def run() -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, fn, inputs in steps:
            out[name] = fn(*[out[i] for i in inputs])
        return out

    return run


def by_keyword(graph: Graph) -> Any:
    names = graph.names
    steps = [
        (name, fn, [(keyword, names[p]) for keyword, p in zip(input_names(len(ps)), ps, strict=True)])
        for name, fn, ps in zip(names, callables(graph, keywords=True), graph.predecessors, strict=True)
    ]

    def run() -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, fn, inputs in steps:
            out[name] = fn(**{keyword: out[i] for keyword, i in inputs})
        return out

    return run
