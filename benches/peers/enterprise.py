"""kailash-enterprise: its Rust engine calling bare Python callbacks.

It has no PythonCodeNode that takes code, so this is compared as what it is: callables. Each kind of node is a type
registered in its registry, and its callback gets all inputs as one dict.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from peers import Peer, PeerUnavailable, Prepared
from workloads import Graph, combine, input_names, values_of_results

Callback = Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        workflow, registry, kailash = build(graph)
        workers = graph.workers
        config = kailash.RuntimeConfig(max_concurrent_nodes=workers) if workers else kailash.RuntimeConfig()
        runtime = kailash.Runtime(registry, config)
        yield Prepared(lambda: runtime.execute(workflow), lambda raw: values_of_results(raw["results"]))


def build(graph: Graph) -> tuple[Any, Any, Any]:
    builder, registry, kailash = fill(graph)
    return builder.build(registry), registry, kailash


def fill(graph: Graph) -> tuple[Any, Any, Any]:
    """A builder with the graph in it, and the registry that it needs."""
    try:
        import kailash
    except ImportError as error:
        raise PeerUnavailable(f"kailash-enterprise is not installed: {error}") from None
    if not hasattr(kailash, "NodeRegistry"):
        raise PeerUnavailable("the installed kailash is the open one, not kailash-enterprise")
    registry = kailash.NodeRegistry()
    builder = kailash.WorkflowBuilder()
    known: set[str] = set()
    pauses = graph.seconds or (0.0,) * len(graph)
    names = graph.names
    for name, predecessors, pause in zip(names, graph.predecessors, pauses, strict=True):
        kind = f"Bench{len(predecessors)}In{round(pause * 1e6)}"
        if kind not in known:
            known.add(kind)
            registry.register_callback(
                kind, callback(len(predecessors), pause), list(input_names(len(predecessors))), ["result"]
            )
        builder.add_node(kind, name, {})
    for name, predecessors in zip(names, graph.predecessors, strict=True):
        for predecessor, keyword in zip(predecessors, input_names(len(predecessors)), strict=True):
            builder.connect(names[predecessor], "result", name, keyword)
    return builder, registry, kailash


def callback(inputs: int, seconds: float) -> Callback:
    def source(values: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"v": 1}}

    def add_one(values: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"v": values["data"]["v"] + 1}}

    def add_three(values: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"v": values["p0"]["v"] + values["p1"]["v"] + values["p2"]["v"]}}

    def add_all(values: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"v": sum([value["v"] for value in values.values()])}}

    def sleep(values: dict[str, Any]) -> dict[str, Any]:
        time.sleep(seconds)
        return {"result": {"v": combine([value["v"] for value in values.values()])}}

    if seconds:
        return sleep
    return {0: source, 1: add_one, 3: add_three}.get(inputs, add_all)
