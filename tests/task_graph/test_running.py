"""What a run returns: the results of its nodes, whatever ran where."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import Input, Ref, TaskGraph

from .support import BLOCKING, NodePlan, build, node_plans, reference


@given(plans=node_plans(), limit=st.none() | st.integers(1, 8), x=st.integers())
def test_results_are_those_of_calling_the_nodes_one_after_another(
    plans: list[NodePlan], limit: int | None, x: int
) -> None:
    compiled = build(plans).compile()
    inputs = {"x": x} if any(plan.shape == "positional" for plan in plans) else {}
    order = compiled.topological_order()
    expected = reference([*plans], order, x)
    for _ in range(2):  # the second run knows which nodes block
        results = compiled.run(inputs, max_concurrency=limit)
        assert results == expected
        assert list(results) == order


@given(plans=node_plans(), data=st.data())
def test_selected_outputs_are_those_of_a_whole_run_in_the_same_order(
    plans: list[NodePlan], data: st.DataObject
) -> None:
    compiled = build(plans).compile()
    whole = compiled.run()
    chosen = data.draw(st.sets(st.sampled_from(list(whole))))
    selected = compiled.run(outputs=chosen)
    assert list(selected.items()) == [(name, value) for name, value in whole.items() if name in chosen]


@given(plans=node_plans(), limit=st.integers(1, 8))
def test_a_run_with_a_timeout_that_it_keeps_is_like_any_other(plans: list[NodePlan], limit: int) -> None:
    compiled = build(plans).compile()
    assert list(compiled.run(timeout=60, max_concurrency=limit).items()) == list(compiled.run().items())


@given(plans=node_plans())
def test_the_order_of_results_is_topological(plans: list[NodePlan]) -> None:
    order = build(plans).compile().topological_order()
    place = {name: number for number, name in enumerate(order)}
    assert sorted(order) == sorted(plan.name for plan in plans)
    assert all(place[source] < place[plan.name] for plan in plans for source in plan.sources)


def test_nodes_added_in_topological_order_keep_the_order_in_which_they_were_added() -> None:
    names = ["z", "a", "m", "b"]
    graph = TaskGraph()
    for name in names:
        graph.add(name, int)
    assert list(graph.run()) == names


def test_two_nodes_that_wait_for_each_other_s_thread_run_together() -> None:
    barrier = threading.Barrier(3, timeout=30)
    graph = TaskGraph()
    for number in range(3):
        graph.add(f"n{number}", barrier.wait)
    for _ in range(5):
        assert sorted(graph.run(max_concurrency=3).values()) == [0, 1, 2]


def test_a_node_that_blocks_the_caller_does_not_hold_up_independent_nodes() -> None:
    released = threading.Event()
    graph = TaskGraph()
    graph.add("blocked", lambda: released.wait(30))
    before = graph.add("before", lambda: 1)
    graph.add("release", lambda _: released.set(), before)
    assert graph.run() == {"blocked": True, "before": 1, "release": None}


def test_at_one_node_at_a_time_everything_runs_on_the_calling_thread_in_topological_order() -> None:
    ran: list[tuple[str, int]] = []

    def node(name: str, *_: Any) -> str:
        time.sleep(BLOCKING)
        ran.append((name, threading.get_ident()))
        return name

    graph = TaskGraph()
    graph.add("d", node, "d", Ref("c"))
    for name in "abc":
        graph.add(name, node, name)
    compiled = graph.compile()
    for _ in range(2):
        ran.clear()
        compiled.run(max_concurrency=1)
        assert ran == [(name, threading.get_ident()) for name in compiled.topological_order()]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_no_more_nodes_run_at_once_than_allowed(limit: int, timeout: float | None) -> None:
    lock = threading.Lock()
    now, most = 0, 0

    def node(*_: Any) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(BLOCKING)
        with lock:
            now -= 1

    graph = TaskGraph()
    first = [graph.add(f"first{number}", node) for number in range(8)]
    for number in range(8):
        graph.add(f"second{number}", node, first[number], first[-1])
    compiled = graph.compile()
    for _ in range(3):
        compiled.run(max_concurrency=limit, timeout=timeout)
        assert 1 <= most <= limit
        assert now == 0


def test_a_limit_far_above_the_width_is_only_a_limit() -> None:
    graph = TaskGraph()
    for number in range(4):
        graph.add(f"n{number}", time.sleep, 0.002)
    graph.run(max_concurrency=1_000_000)


@pytest.mark.own_process
def test_a_wide_graph_of_short_nodes_does_not_start_a_thread_for_each() -> None:
    graph = TaskGraph()
    for number in range(20_000):
        graph.add(f"n{number}", int)
    before = threading.active_count()
    graph.run(max_concurrency=20_000)
    assert threading.active_count() - before < 200


def test_many_sleeping_nodes_run_together_when_the_limit_allows_it() -> None:
    barrier = threading.Barrier(60, timeout=60)
    graph = TaskGraph()
    for number in range(60):
        graph.add(f"n{number}", barrier.wait)
    assert len(set(graph.run(max_concurrency=60).values())) == 60


def test_runs_of_one_graph_from_many_threads_do_not_meet() -> None:
    graph = TaskGraph()
    a = graph.add("a", lambda x: time.sleep(0.001) or [x], Input("x"))
    b = graph.add("b", lambda x, a: (x, a), Input("x"), a)
    graph.add("c", lambda *rest: rest, b, [a, Input("x")])
    compiled = graph.compile()

    def runs(x: int) -> list[dict[str, Any]]:
        return [compiled.run({"x": (x, turn)}) for turn in range(20)]

    with ThreadPoolExecutor(64) as threads:
        for x, results in enumerate(threads.map(runs, range(64))):
            for turn, result in enumerate(results):
                given = (x, turn)
                assert result == {"a": [given], "b": (given, [given]), "c": ((given, [given]), [[given], given])}


def test_64_threads_call_one_graph_that_hands_over() -> None:
    graph = TaskGraph()
    sources = [graph.add(f"s{number}", lambda x: time.sleep(0.003) or x, Input("x")) for number in range(5)]
    graph.add("all", lambda values: values, sources)
    compiled = graph.compile()
    with ThreadPoolExecutor(64) as threads:
        results = list(threads.map(lambda x: compiled.run({"x": x}, outputs=["all"]), range(256)))
    assert results == [{"all": [x] * 5} for x in range(256)]


def test_64_threads_with_time_limits_all_come_through() -> None:
    graph = TaskGraph()
    graph.add("a", lambda x: time.sleep(0.05) or x, Input("x"))
    compiled = graph.compile()
    with ThreadPoolExecutor(64) as threads:
        results = list(threads.map(lambda x: compiled.run({"x": x}, timeout=30), range(64)))
    assert results == [{"a": x} for x in range(64)]


def test_a_graph_may_grow_while_another_thread_runs_it() -> None:
    graph = TaskGraph()
    graph.add("n0", int)
    stop = threading.Event()

    def grow() -> None:
        for number in range(1, 300):
            graph.add(f"n{number}", lambda x: x + 1, Ref(f"n{number - 1}"))
        stop.set()

    with ThreadPoolExecutor(1) as thread:
        growing = thread.submit(grow)
        while not stop.is_set():
            values = list(graph.run().values())
            assert values == list(range(len(values)))
        growing.result()
    assert graph.run()["n299"] == 299


def test_a_generator_is_a_result_like_any_other() -> None:
    def numbers() -> Any:
        yield from range(3)

    graph = TaskGraph()
    graph.add("list", list, graph.add("generator", numbers))
    assert graph.run()["list"] == [0, 1, 2]


def test_a_generator_may_run_a_graph_between_its_values() -> None:
    inner = TaskGraph()
    inner.add("x", lambda x: x + 1, Input("x"))

    def numbers() -> Any:
        for x in range(3):
            yield inner.run({"x": x})["x"]

    graph = TaskGraph()
    graph.add("list", list, graph.add("generator", numbers))
    assert graph.run()["list"] == [1, 2, 3]


def test_asyncio_runs_inside_nodes_on_every_thread() -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(BLOCKING)
        return x + 1

    graph = TaskGraph()
    nodes = [graph.add(f"n{number}", lambda x: asyncio.run(work(x)), number) for number in range(6)]
    graph.add("sum", sum, nodes)
    assert graph.run()["sum"] == 21


def test_a_graph_runs_inside_a_running_event_loop() -> None:
    graph = TaskGraph()
    for number in range(3):
        graph.add(f"n{number}", time.sleep, BLOCKING)

    async def main() -> tuple[Any, Any]:
        return graph.run(), await asyncio.to_thread(graph.run)

    assert asyncio.run(main()) == ({"n0": None, "n1": None, "n2": None},) * 2


def test_workers_are_threads_that_threading_knows_by_name() -> None:
    def name() -> str:
        time.sleep(BLOCKING)
        return threading.current_thread().name

    graph = TaskGraph()
    for number in range(6):
        graph.add(f"n{number}", name)
    names = set(graph.run(max_concurrency=6).values())
    assert all(each == "MainThread" or each.startswith("nexus-core-worker-") for each in names)
    assert any(each.startswith("nexus-core-worker-") for each in names)


def test_thread_locals_belong_to_the_thread_that_runs_the_node() -> None:
    local = threading.local()

    def node() -> int:
        local.count = getattr(local, "count", 0) + 1
        time.sleep(0.001)
        return threading.get_ident()

    graph = TaskGraph()
    for number in range(20):
        graph.add(f"n{number}", node)
    here = list(graph.run().values()).count(threading.get_ident())
    assert getattr(local, "count", 0) == here
