"""Nothing is kept alive by a graph that is gone, nor piled up by runs."""

from __future__ import annotations

import gc
import itertools
import sys
import time
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import CancellationToken, Input, TaskGraph
from nexus_core.errors import CycleError, RunTimeout

from .support import BLOCKING, NodeFailed


class Node:
    """A callable that can be watched and can refer to anything."""

    other: Any = None

    def __call__(self, *args: Any) -> Any:
        return args


def refer_to_graph(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", node)
    node.other = graph


def refer_to_graph_that_ran(node: Node) -> None:
    refer_to_graph(node)
    node.other.run()


def refer_to_compiled_graph(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", node)
    node.other = graph.compile()


def refer_to_compiled_graph_and_its_stepper(node: Node) -> None:
    refer_to_compiled_graph(node)
    node.other = [node.other, node.other.stepper()]


def refer_by_an_argument(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", lambda *_: None, {"k": [node, Input("x", 1)]}, kept=node)
    node.other = graph.compile()


def refer_by_an_inputs_default(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", lambda x: x, Input("x", node))
    node.other = graph.compile()


def refer_by_a_bound_run(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", node)
    node.other = graph.compile().run


def refer_by_an_input_alone(node: Node) -> None:
    node.other = Input("x", node)


def refer_from_a_refused_graph(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", node, graph.add("other", node))
    graph.after("other", "node")
    node.other = graph
    with pytest.raises(CycleError):
        graph.compile()


def refer_by_results(node: Node) -> None:
    graph = TaskGraph()
    graph.add("node", lambda: node)
    node.other = (graph, graph.run())


def refer_from_a_failed_run(node: Node) -> None:
    graph = TaskGraph()

    def fail() -> None:
        raise NodeFailed(node, graph)

    graph.add("node", fail)
    try:
        graph.run()
    except NodeFailed as error:
        node.other = error


@pytest.mark.parametrize(
    "refer",
    [
        refer_to_graph,
        refer_to_graph_that_ran,
        refer_to_compiled_graph,
        refer_to_compiled_graph_and_its_stepper,
        refer_by_an_argument,
        refer_by_an_inputs_default,
        refer_by_a_bound_run,
        refer_by_an_input_alone,
        refer_from_a_refused_graph,
        refer_by_results,
        refer_from_a_failed_run,
    ],
)
def test_a_graph_and_what_refers_to_it_are_collected_together(refer: Callable[[Node], None]) -> None:
    node = Node()
    refer(node)
    watched = weakref.ref(node)
    gc.collect()
    assert watched() is node
    del node
    gc.collect()
    assert watched() is None


def test_a_graph_without_cycles_dies_with_its_last_reference() -> None:
    gc.disable()
    try:
        node = Node()
        watched = weakref.ref(node)
        graph = TaskGraph()
        graph.add("node", node)
        graph.run()
        del node, graph
        assert watched() is None
    finally:
        gc.enable()


def test_collecting_while_runs_are_in_flight_harms_nobody() -> None:
    def node(*args: Any) -> Any:
        gc.collect(0)
        time.sleep(0.0005)
        return [args]

    for _ in range(10):
        graph = TaskGraph()
        last = [graph.add(f"a{number}", node, {"x": [Input("x")]}) for number in range(6)]
        graph.add("last", lambda *_: gc.collect() and None, *last)
        # Only the run itself refers to the graph now.
        run = graph.compile().run
        del graph
        run({"x": Node()})


def fine(graph: TaskGraph) -> None:
    graph.run({"x": [1]})


def fine_with_threads(graph: TaskGraph) -> None:
    graph.run({"x": BLOCKING / 4}, max_concurrency=3)


def released(graph: TaskGraph) -> None:
    graph.run({"x": [1]}, outputs=["n2"])


def measured(graph: TaskGraph) -> None:
    graph.run({"x": [1]}, measure=True)


def with_a_limit(graph: TaskGraph) -> None:
    graph.run({"x": [1]}, timeout=60, cancel=CancellationToken())


def failing(graph: TaskGraph) -> None:
    with pytest.raises(NodeFailed):
        graph.run({"x": NodeFailed()})


def refused(graph: TaskGraph) -> None:
    with pytest.raises(KeyError):
        graph.run({"y": [1]})
    with pytest.raises(ValueError, match="timeout"):
        graph.run({"x": [1]}, timeout=-1)


def compiled_anew(graph: TaskGraph) -> None:
    other = TaskGraph()
    other.add("a", len, [other.add("b", str), Input("x", "d")])
    other.run()
    other.compile().stepper().get_ready()


@pytest.mark.own_process
@pytest.mark.parametrize(
    "run", [fine, fine_with_threads, released, measured, with_a_limit, failing, refused, compiled_anew]
)
def test_many_runs_pile_up_neither_memory_nor_references(run: Callable[[TaskGraph], None]) -> None:
    constant = object()

    def node(x: Any, *_: Any, **__: Any) -> Any:
        if isinstance(x, NodeFailed):
            raise NodeFailed
        if isinstance(x, float):
            time.sleep(x)
        return {"x": [x]}

    graph = TaskGraph()
    for number in range(3):
        graph.add(f"n{number}", node, Input("x"), constant, k=[Input("x"), constant])
    turns = 200
    run(graph)

    def block() -> tuple[int, int]:
        for _ in range(turns):
            run(graph)
        time.sleep(0.01)
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        return sys.getrefcount(constant), memory

    tracemalloc.start()
    try:
        blocks = [block() for _ in range(12)]
    finally:
        tracemalloc.stop()
    assert len({references for references, _ in blocks[1:]}) == 1
    # The interpreter's own caches grow now and then; a leak grows in every block.
    growth = [after - before for (_, before), (_, after) in itertools.pairwise(blocks)]
    assert min(growth) < turns * 8


def test_abandoned_runs_are_let_go_when_their_nodes_return() -> None:
    class Big:
        """Given to a node, so that it can be watched."""

    graph = TaskGraph()
    graph.add("node", lambda x: time.sleep(0.1), Input("x"))
    watched = []
    for _ in range(5):
        big = Big()
        watched.append(weakref.ref(big))
        with pytest.raises(RunTimeout):
            graph.run({"x": big}, timeout=0.01)
        del big
    deadline = time.monotonic() + 30
    while any(reference() for reference in watched) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [reference() for reference in watched] == [None] * 5
