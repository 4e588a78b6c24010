"""Runs inside nodes: on workers, at any depth, and more of them than threads."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nexus_core import Input, TaskGraph

from .support import BLOCKING, run_script


def test_a_graph_runs_inside_its_own_node() -> None:
    graph = TaskGraph()
    graph.add("n", lambda depth: depth if depth == 0 else graph.run({"depth": depth - 1})["n"] + 1, Input("depth"))
    assert graph.run({"depth": 50}) == {"n": 50}


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_every_node_of_a_wide_graph_runs_a_wide_graph(timeout: float | None) -> None:
    inner = TaskGraph()
    parts = [inner.add(f"n{number}", lambda x: time.sleep(0.002) or x, Input("x")) for number in range(8)]
    inner.add("sum", sum, parts)
    compiled = inner.compile()
    outer = TaskGraph()
    for number in range(40):
        outer.add(f"n{number}", lambda x: compiled.run({"x": x}, timeout=timeout)["sum"], number)
    for _ in range(2):
        assert list(outer.run(timeout=timeout).values()) == [8 * number for number in range(40)]


@pytest.mark.parametrize("timeout", [None, 60.0])
@pytest.mark.parametrize(("depth", "width"), [(5, 3), (30, 1), (3, 7)])
def test_deep_nesting_on_workers_ends(depth: int, width: int, timeout: float | None) -> None:
    graph = TaskGraph()
    for number in range(width):
        graph.add(f"n{number}", lambda depth: descend(depth - 1), Input("depth"))
    compiled = graph.compile()

    def descend(depth: int) -> int:
        if depth == 0:
            time.sleep(0.0002)
            return 1
        return sum(compiled.run({"depth": depth}, timeout=timeout).values())

    assert descend(depth) == width**depth


def test_nested_runs_with_one_node_at_a_time_stay_sequential() -> None:
    running: list[int] = []

    def leaf() -> int:
        running.append(1)
        time.sleep(0.001)
        return len(running)

    inner = TaskGraph()
    for number in range(5):
        inner.add(f"n{number}", leaf)
    outer = TaskGraph()
    for number in range(5):
        outer.add(f"n{number}", lambda: list(inner.run(max_concurrency=1).values()))
    results = outer.run(max_concurrency=1).values()
    assert [count for result in results for count in result] == list(range(1, 26))


def test_a_nested_time_limit_ends_only_the_inner_run() -> None:
    inner = TaskGraph()
    inner.add("slow", time.sleep, 0.5)

    def node() -> str:
        try:
            inner.run(timeout=0.05)
        except TimeoutError:
            return "late"
        return "done"

    outer = TaskGraph()
    for number in range(10):
        outer.add(f"n{number}", node)
    assert set(outer.run().values()) == {"late"}


def test_recursive_division_of_work_does_not_multiply_threads() -> None:
    ended = run_script("""
        import threading, time
        from nexus_core import Input, TaskGraph

        def total(low, high):
            if high - low <= 4:
                time.sleep(0.0005)
                return sum(range(low, high))
            graph = TaskGraph()
            middle = (low + high) // 2
            graph.add("left", total, low, middle)
            graph.add("right", total, middle, high)
            return sum(graph.run().values())

        assert total(0, 4096) == sum(range(4096))
        print(threading.active_count() < 100, threading.active_count())
    """)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("True"), ended.out


def test_nodes_compile_and_run_graphs_of_their_own() -> None:
    def node(number: int) -> Any:
        graph = TaskGraph()
        a = graph.add("a", lambda: time.sleep(BLOCKING) or number)
        graph.add("b", time.sleep, BLOCKING)
        graph.add("c", lambda a: a * 2, a)
        return graph.run()["c"]

    graph = TaskGraph()
    for number in range(12):
        graph.add(f"n{number}", node, number)
    assert list(graph.run().values()) == [2 * number for number in range(12)]
