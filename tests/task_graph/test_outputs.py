"""Selected outputs: every other result is given back once its last consumer has run."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pytest

from nexus_core import Input, Ref, TaskGraph
from nexus_core.errors import RunTimeout

from .support import BLOCKING, NodeFailed


class Result:
    """A result that can be watched."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


@pytest.mark.parametrize("seconds", [0.0, BLOCKING])
def test_an_intermediate_result_dies_when_its_last_consumer_has_run(seconds: float) -> None:
    seen: dict[str, Any] = {}

    def make() -> Result:
        time.sleep(seconds)
        result = Result()
        seen["result"] = weakref.ref(result)
        return result

    def consume(result: Result) -> None:
        time.sleep(seconds)

    graph = TaskGraph()
    made = graph.add("made", make)
    first = graph.add("first", consume, made)
    second = graph.add("second", lambda *_: consume(_[0]), made, first)
    graph.add("between", lambda _: seen["result"]() is not None, first)
    graph.after(second, "between")
    graph.add("after", lambda _: seen["result"]() is None, second)
    for _ in range(2):
        assert graph.run(outputs=["between", "after"]) == {"between": True, "after": True}


def test_an_intermediate_inside_a_container_dies_too() -> None:
    seen: list[Any] = []

    def make() -> Result:
        result = Result()
        seen.append(weakref.ref(result))
        return result

    graph = TaskGraph()
    made = graph.add("made", make)
    used = graph.add("used", lambda data: None, {"k": [made]})
    graph.add("after", lambda _: seen[-1]() is None, used)
    assert graph.run(outputs=[Ref("after")]) == {"after": True}


def test_a_result_that_nobody_wants_dies_at_once() -> None:
    seen: list[Any] = []

    def make() -> Result:
        result = Result()
        seen.append(weakref.ref(result))
        return result

    graph = TaskGraph()
    graph.add("unwanted", make)
    graph.add("later", lambda: seen[-1]() is None)
    assert graph.run(outputs=["later"], max_concurrency=1) == {"later": True}


def test_a_chain_holds_two_results_at_a_time() -> None:
    alive: weakref.WeakSet[Result] = weakref.WeakSet()
    most = 0

    def step(before: Result | None) -> Result:
        nonlocal most
        result = Result()
        alive.add(result)
        most = max(most, len(alive))
        return result

    graph = TaskGraph()
    last = graph.add("n0", step, None)
    for number in range(1, 200):
        last = graph.add(f"n{number}", step, last)
    graph.run(outputs=[last])
    assert most == 2


def test_no_output_is_a_selection_too() -> None:
    graph = TaskGraph()
    graph.add("a", lambda: 1)
    assert graph.run(outputs=[]) == {}
    assert graph.run(outputs=iter(["a", "a"])) == {"a": 1}


def test_a_kept_output_with_consumers_stays() -> None:
    graph = TaskGraph()
    a = graph.add("a", Result, 1)
    graph.add("b", lambda a: a, a)
    results = graph.run(outputs=["a", "b"])
    assert results["a"] is results["b"]


@pytest.mark.parametrize("blocking", [0.0, BLOCKING])
def test_nothing_of_a_run_survives_its_results(blocking: float) -> None:
    def make(given: Result) -> Result:
        time.sleep(blocking)
        return Result()

    graph = TaskGraph()
    for number in range(4):
        graph.add(f"n{number}", make, Input("given"))
    compiled = graph.compile()
    for _ in range(10):
        given = Result()
        results = compiled.run({"given": given})
        watched = [weakref.ref(given), *map(weakref.ref, results.values())]
        del given, results
        assert_dead(watched)


@pytest.mark.parametrize("blocking", [0.0, BLOCKING])
def test_nothing_of_a_failed_run_survives_its_exception(blocking: float) -> None:
    watched: list[Any] = []

    def make() -> Result:
        time.sleep(blocking)
        result = Result()
        watched.append(weakref.ref(result))
        return result

    def fail(*_: Any) -> None:
        raise NodeFailed

    graph = TaskGraph()
    graph.add("failing", fail, *(graph.add(f"n{number}", make) for number in range(4)))
    for _ in range(5):
        with pytest.raises(NodeFailed):
            graph.run()
    assert len(watched) == 20
    assert_dead(watched)


def test_results_of_abandoned_nodes_die_when_the_nodes_return() -> None:
    release = threading.Event()
    watched: list[Any] = []

    def make() -> Result:
        result = Result()
        watched.append(weakref.ref(result))
        release.wait(60)
        return result

    graph = TaskGraph()
    graph.add("n0", make)
    with pytest.raises(RunTimeout):
        graph.run(timeout=0.1)
    assert len(watched) == 1
    release.set()
    assert_dead(watched)


def assert_dead(watched: list[Any]) -> None:
    """A worker may still be leaving the node in which it used them last."""
    deadline = time.monotonic() + 30
    while any(reference() is not None for reference in watched) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.001)
    assert [reference() for reference in watched] == [None] * len(watched)
