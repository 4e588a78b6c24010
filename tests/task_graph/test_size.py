"""Large graphs: 100,000 nodes are ordinary, a million work.

The million runs where ``NEXUS_MILLION_NODES`` is set; elsewhere the same script runs
with 200,000.
"""

from __future__ import annotations

import os
import time

import pytest

from nexus_core import Input, Ref, TaskGraph

from .support import run_script

COUNT = 100_000


def test_a_chain_of_100_000_nodes() -> None:
    graph = TaskGraph()
    last: object = Input("x")
    for number in range(COUNT):
        last = graph.add(f"n{number}", lambda x: x + 1, last)
    compiled = graph.compile()
    assert compiled.run({"x": 1}, outputs=[last]) == {f"n{COUNT - 1}": COUNT + 1}  # type: ignore[list-item]
    assert len(compiled.run({"x": 1}, timeout=250)) == COUNT
    assert len(compiled.levels()) == COUNT
    seconds = dict.fromkeys(compiled.topological_order(), 1.0)
    assert compiled.critical_path(seconds)[1] == COUNT
    assert compiled.predict_makespan(4, seconds) == COUNT


def test_a_chain_of_100_000_nodes_added_backwards() -> None:
    graph = TaskGraph()
    for number in reversed(range(1, COUNT)):
        graph.add(f"n{number}", lambda x: x + 1, Ref(f"n{number - 1}"))
    graph.add("n0", int)
    results = graph.run()
    assert list(results)[:2] == ["n0", "n1"]
    assert results[f"n{COUNT - 1}"] == COUNT - 1


@pytest.mark.parametrize("limit", [1, None])
def test_a_fan_of_100_000_nodes(limit: int | None) -> None:
    graph = TaskGraph()
    source = graph.add("source", lambda: 2)
    nodes = [graph.add(f"n{number}", lambda x, n: x * n, source, number) for number in range(COUNT)]
    graph.add("sum", sum, nodes)
    compiled = graph.compile()
    assert compiled.run(outputs=["sum"], max_concurrency=limit) == {"sum": COUNT * (COUNT - 1)}
    assert [len(level) for level in compiled.levels()] == [1, COUNT, 1]


def test_a_fan_of_100_000_nodes_is_handed_over_whole() -> None:
    graph = TaskGraph()
    sleeper = graph.add("sleeper", lambda: time.sleep(0.05) or 1)
    nodes = [graph.add(f"n{number}", lambda n: n, number) for number in range(COUNT)]
    graph.add("sum", lambda numbers, one: sum(numbers) + one, nodes, sleeper)
    compiled = graph.compile()
    for _ in range(2):
        assert compiled.run(outputs=["sum"]) == {"sum": COUNT * (COUNT - 1) // 2 + 1}


def test_a_very_large_graph_builds_runs_and_goes() -> None:
    count = 1_000_000 if os.environ.get("NEXUS_MILLION_NODES") else 200_000
    ended = run_script(
        f"""
        from nexus_core import Ref, TaskGraph
        count = {count}
        graph = TaskGraph()
        graph.add("n0", int)
        add = lambda a, b: (a + b) % 1_000_003
        for number in range(1, count):
            graph.add(f"n{{number}}", add, Ref(f"n{{number // 2}}"), number)
        compiled = graph.compile()
        results = compiled.run()
        expected = [0]
        for number in range(1, count):
            expected.append((expected[number // 2] + number) % 1_000_003)
        assert list(results.values()) == expected
        stepper, steps = compiled.stepper(), 0
        while stepper:
            ready = stepper.get_ready()
            steps += 1
            stepper.done(*ready)
        print(len(results), steps, len(compiled.levels()))
        """,
        timeout=250,
    )
    assert (ended.code, ended.err) == (0, "")
    depth = (count - 1).bit_length() + 1
    assert ended.out.split() == [str(count), str(depth), str(depth)]
