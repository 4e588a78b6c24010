"""Context variables: one context for all nodes of a run, wherever they run."""

from __future__ import annotations

import contextvars
import decimal
import threading
import time
from typing import Any

import pytest

from nexus_core import TaskGraph

from .support import BLOCKING

VARIABLE: contextvars.ContextVar[Any] = contextvars.ContextVar("VARIABLE", default="unset")


def wide(node: Any, count: int = 6) -> TaskGraph:
    graph = TaskGraph()
    for number in range(count):
        graph.add(f"n{number}", node)
    return graph


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_what_the_caller_has_set_is_seen_by_every_node_on_every_thread(timeout: float | None) -> None:
    def node() -> tuple[Any, int]:
        time.sleep(BLOCKING)
        return VARIABLE.get(), threading.get_ident()

    graph = wide(node)
    for value in ("one", "two"):
        token = VARIABLE.set(value)
        results = graph.run(timeout=timeout).values()
        VARIABLE.reset(token)
        assert {seen for seen, _ in results} == {value}
        assert len({thread for _, thread in results}) > 1


@pytest.mark.parametrize("place", ["caller", "worker"])
def test_what_a_node_has_set_is_seen_by_later_nodes(place: str) -> None:
    value = object()

    def set_it() -> None:
        VARIABLE.set(value)
        time.sleep(BLOCKING)

    def get() -> Any:
        time.sleep(BLOCKING)
        return VARIABLE.get()

    graph = TaskGraph()
    if place == "worker":
        graph.add("sleeper", time.sleep, 0.05)
    graph.add("set", set_it)
    for number in range(6):
        graph.add(f"get{number}", get)
        graph.after(f"get{number}", "set")
    for _ in range(3):
        results = graph.run(max_concurrency=4)
        assert all(results[f"get{number}"] is value for number in range(6))
    assert VARIABLE.get() == "unset"


def test_an_equal_value_set_by_a_node_is_still_another_object() -> None:
    fresh: list[int] = []

    def set_it() -> None:
        time.sleep(BLOCKING)
        VARIABLE.set(fresh)

    graph = TaskGraph()
    graph.add("sleeper", time.sleep, 0.05)
    graph.add("set", set_it)
    graph.add("get", VARIABLE.get)
    graph.after("get", "set")
    token = VARIABLE.set([])
    try:
        for _ in range(3):
            assert graph.run()["get"] is fresh
    finally:
        VARIABLE.reset(token)


def test_values_that_cannot_be_compared_are_carried_on() -> None:
    class NoEquality:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparing")

    value = NoEquality()

    def set_it() -> None:
        time.sleep(BLOCKING)
        VARIABLE.set(value)

    graph = TaskGraph()
    graph.add("sleeper", time.sleep, 0.05)
    graph.add("set", set_it)
    graph.add("get", VARIABLE.get)
    graph.after("get", "set")
    token = VARIABLE.set(NoEquality())
    try:
        assert graph.run()["get"] is value
    finally:
        VARIABLE.reset(token)


def test_the_last_of_many_values_set_on_workers_wins_for_a_later_node() -> None:
    def bump(*_: Any) -> None:
        VARIABLE.set(VARIABLE.get() + 1)
        time.sleep(0.0005)

    graph = TaskGraph()
    graph.add("sleeper", time.sleep, 0.3)
    last = graph.add("n0", bump)
    for number in range(1, 100):
        last = graph.add(f"n{number}", bump, last)
    graph.add("get", lambda _: VARIABLE.get(), last)
    token = VARIABLE.set(0)
    try:
        assert graph.run()["get"] == 100
    finally:
        VARIABLE.reset(token)


def test_the_caller_s_own_context_stays_as_it_was() -> None:
    def node() -> None:
        VARIABLE.set("changed")
        time.sleep(BLOCKING)

    before = contextvars.copy_context()
    wide(node).run()
    wide(node, 1).run()
    assert VARIABLE.get() == "unset"
    assert list(contextvars.copy_context().items()) == list(before.items())


def test_a_failed_or_interrupted_run_leaves_the_caller_s_context_too() -> None:
    def node() -> None:
        VARIABLE.set("changed")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wide(node).run()
    assert VARIABLE.get() == "unset"
    contextvars.Context().run(VARIABLE.set, "no context is left entered")


def test_a_node_may_reset_what_it_has_set() -> None:
    def node() -> None:
        token = VARIABLE.set("inside")
        time.sleep(BLOCKING)
        VARIABLE.reset(token)

    graph = wide(node)
    graph.add("get", VARIABLE.get)
    graph.after("get", *(f"n{number}" for number in range(6)))
    assert graph.run()["get"] == "unset"


def test_concurrent_runs_have_contexts_of_their_own() -> None:
    def node() -> Any:
        time.sleep(0.002)
        return VARIABLE.get()

    compiled = wide(node).compile()
    wrong: list[Any] = []

    def run(value: int) -> None:
        VARIABLE.set(value)
        for _ in range(10):
            if set(compiled.run().values()) != {value}:
                wrong.append(value)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_nested_run_sees_the_context_of_its_node() -> None:
    inner = wide(lambda: time.sleep(BLOCKING) or VARIABLE.get())

    def node() -> Any:
        token = VARIABLE.set(threading.get_ident())
        seen = set(inner.run().values())
        VARIABLE.reset(token)
        return seen == {threading.get_ident()}

    assert set(wide(node).run().values()) == {True}


def test_a_run_inside_a_context_object_uses_it() -> None:
    context = contextvars.copy_context()
    context.run(VARIABLE.set, "its own")
    assert set(context.run(wide(VARIABLE.get).run).values()) == {"its own"}


def test_decimal_precision_follows_the_run() -> None:
    graph = TaskGraph()
    for number in range(6):
        graph.add(f"n{number}", lambda: time.sleep(BLOCKING) or str(decimal.Decimal(1) / 3))
    with decimal.localcontext() as context:
        context.prec = 5
        assert set(graph.run().values()) == {"0.33333"}
