"""PythonCodeNodes on Kailash's own runtime and on nexus_core's: the same workflow, another import."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peers import Peer, PeerUnavailable, Prepared
from workloads import Graph, chain, code_strings, input_names, values_of_results

LIBRARIES = ("numpy", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "plotly")

_warm: set[str] = set()


def build(graph: Graph, *, asynchronous: bool = False) -> Any:
    """The graph as a built Kailash workflow, for the one or the other of Kailash's two runtimes."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    names = graph.names
    for name, code in zip(names, code_strings(graph, wrapped=asynchronous), strict=True):
        builder.add_node("PythonCodeNode", name, {"code": code})
    for name, predecessors in zip(names, graph.predecessors, strict=True):
        for predecessor, keyword in zip(predecessors, input_names(len(predecessors)), strict=True):
            builder.add_connection(names[predecessor], "result", name, keyword)
    return builder.build()


def runtime_class(peer: Peer) -> Any:
    """The class the peer stands for; whatever it lacks is said here."""
    ours = peer.key.startswith("nexus_core")
    name = "AsyncLocalRuntime" if peer.key in ("nexus_core_async", "stock_async") else "LocalRuntime"
    module = "nexus_core.runtime" if ours else "kailash.runtime"
    try:
        importlib.import_module("kailash.runtime")
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PeerUnavailable(f"{module}.{name} cannot be imported: {error}") from None
    check_libraries(peer)
    # What stock logs for every node is not its work here, and ours would look at the level only.
    logging.getLogger("kailash").setLevel(logging.ERROR)
    return found


def check_libraries(peer: Peer) -> None:
    """Refuse to measure "with libraries" where one is missing, and "without" where one is there."""
    present = [library for library in LIBRARIES if importlib.util.find_spec(library)]
    if peer.environment == "slim" and present:
        raise PeerUnavailable(f"{', '.join(present)} installed: not an environment without the libraries")
    if peer.environment == "full" and len(present) < len(LIBRARIES):
        missing = [library for library in LIBRARIES if library not in present]
        raise PeerUnavailable(f"{', '.join(missing)} missing: not an environment with the libraries")


@contextmanager
def open_runtime(graph: Graph, peer: Peer, *, history: bool) -> Iterator[Any]:
    """A runtime of the peer's class, warmed up with a small workflow (the first run imports the allowed modules)."""
    options: dict[str, Any] = {"enable_monitoring": history}
    if graph.workers is not None:
        options["max_concurrency"] = graph.workers
    with runtime_class(peer)(**options) as runtime:
        if peer.key not in _warm:
            runtime.execute(build(chain(3)))
            _warm.add(peer.key)
        yield runtime


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    if peer.key == "nexus_core_async":
        yield from prepare_async(graph, peer)
        return
    with open_runtime(graph, peer, history=False) as runtime:
        workflow = build(graph)
        yield Prepared(lambda: runtime.execute(workflow), lambda raw: values_of_results(raw[0]))


def prepare_async(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    runtime = runtime_class(peer)()
    workflow = build(graph, asynchronous=True)
    loop = asyncio.new_event_loop()
    try:
        yield Prepared(
            lambda: loop.run_until_complete(runtime.execute_workflow_async(workflow, {})),
            lambda raw: values_of_results(raw[0]),
        )
    finally:
        loop.run_until_complete(runtime.cleanup())
        loop.close()
