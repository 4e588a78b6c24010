"""Which failure a run reports, and what does not run after it."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import Ref, TaskGraph

from .support import BLOCKING, NodeFailed, NodePlan, build, node_plans


@given(plans=node_plans(failing=True), limit=st.integers(1, 8))
def test_the_first_failure_in_topological_order_is_reported_whatever_the_timing(
    plans: list[NodePlan], limit: int
) -> None:
    compiled = build(plans).compile()
    fails = {plan.name for plan in plans if plan.fails}
    first = next(name for name in compiled.topological_order() if name in fails)
    for _ in range(2):
        with pytest.raises(NodeFailed) as caught:
            compiled.run(max_concurrency=limit)
        assert caught.value.args == (first,)
        assert caught.value.__notes__ == [f"raised by node {first!r}"]


def test_an_earlier_node_that_fails_later_wins() -> None:
    def fail(seconds: float, name: str) -> None:
        time.sleep(seconds)
        raise NodeFailed(name)

    graph = TaskGraph()
    graph.add("slow", fail, 0.05, "slow")
    graph.add("fast", fail, 0.0, "fast")
    for _ in range(3):
        with pytest.raises(NodeFailed, match="slow"):
            graph.run(max_concurrency=4)


def test_nodes_before_the_failed_one_still_run_and_later_ones_do_not_start() -> None:
    failed = threading.Event()
    ran: list[str] = []

    def note(name: str, *_: Any) -> None:
        ran.append(name)

    def fail() -> None:
        failed.set()
        raise NodeFailed

    graph = TaskGraph()
    first = graph.add("first", lambda: failed.wait(30) and time.sleep(BLOCKING))
    graph.add("second", note, "second", first)
    graph.add("failing", fail)
    for number in range(50):
        graph.add(f"later{number}", note, "later", first)
    for _ in range(3):
        failed.clear()
        ran.clear()
        with pytest.raises(NodeFailed):
            graph.run(max_concurrency=4)
        assert ran == ["second"]


def test_a_node_that_is_running_at_a_failure_finishes_before_the_run_returns() -> None:
    ended = threading.Event()
    started = threading.Event()

    def slow() -> None:
        started.set()
        time.sleep(0.05)
        ended.set()

    def fail() -> None:
        started.wait(30)
        raise NodeFailed

    graph = TaskGraph()
    graph.add("slow", slow)
    graph.add("failing", fail)
    with pytest.raises(NodeFailed):
        graph.run()
    assert ended.is_set()


@pytest.mark.parametrize("on_worker", [False, True])
def test_the_exception_is_the_node_s_own_object_with_its_traceback(on_worker: bool) -> None:
    error = NodeFailed("mine")

    def raising() -> None:
        time.sleep(BLOCKING)
        raise error

    graph = TaskGraph()
    if on_worker:
        graph.add("sleeper", time.sleep, 0.05)
    graph.add("node", raising)
    with pytest.raises(NodeFailed) as caught:
        graph.run()
    assert caught.value is error
    assert "in raising" in "".join(traceback.format_exception(error))
    assert error.__notes__ == ["raised by node 'node'"]
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize("on_worker", [False, True])
def test_an_exception_that_the_caller_handles_is_the_context_of_a_node_s(on_worker: bool) -> None:
    def raising() -> None:
        time.sleep(BLOCKING)
        raise NodeFailed

    graph = TaskGraph()
    if on_worker:
        graph.add("sleeper", time.sleep, 0.05)
    graph.add("node", raising)
    handled = LookupError("handled")
    try:
        raise handled
    except LookupError:
        with pytest.raises(NodeFailed) as caught:
            graph.run()
    assert caught.value.__context__ is handled


def test_notes_of_nested_runs_lead_to_the_node() -> None:
    def fail() -> None:
        raise NodeFailed

    inner = TaskGraph()
    inner.add("inner", fail)
    outer = TaskGraph()
    outer.add("outer", inner.run)
    with pytest.raises(NodeFailed) as caught:
        outer.run()
    assert caught.value.__notes__ == ["raised by node 'inner'", "raised by node 'outer'"]


class BrokenText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class BrokenNotes(Exception):
    def add_note(self, note: str) -> None:
        raise RuntimeError("no notes")


class NoEquality(Exception):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparing")


@pytest.mark.parametrize("kind", [BrokenText, BrokenNotes, NoEquality, StopIteration, MemoryError, RecursionError])
@pytest.mark.parametrize("on_worker", [False, True])
def test_odd_exceptions_come_through(kind: type[Exception], on_worker: bool) -> None:
    def raising() -> None:
        time.sleep(BLOCKING)
        raise kind

    graph = TaskGraph()
    if on_worker:
        graph.add("sleeper", time.sleep, 0.03)
    graph.add("node", raising)
    caught: BaseException | None = None
    try:
        graph.run()
    except Exception as error:
        caught = error
    assert type(caught) is kind


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("place", ["caller", "worker"])
def test_exceptions_that_end_programs_come_through_at_once(kind: type[BaseException], place: str) -> None:
    release = threading.Event()
    here = threading.get_ident()

    def node() -> None:
        # One of the two nodes runs on the calling thread, the other one on a worker.
        time.sleep(BLOCKING * 2)
        if (threading.get_ident() == here) == (place == "caller"):
            raise kind(7)
        if place == "caller":
            release.wait(60)

    graph = TaskGraph()
    graph.add("a", node)
    graph.add("b", node)
    start = time.monotonic()
    try:
        with pytest.raises(kind) as caught:
            graph.run()
    finally:
        release.set()
    assert caught.value.args == (7,)
    # Far less than what the other node waits: it was not waited for.
    assert time.monotonic() - start < 40


def test_a_failed_run_leaves_the_graph_usable() -> None:
    fails = [True]

    def node() -> str:
        time.sleep(BLOCKING)
        if fails[0]:
            raise NodeFailed
        return "fine"

    graph = TaskGraph()
    graph.add("a", node)
    graph.add("b", node)
    graph.add("c", lambda *xs: xs, Ref("a"), Ref("b"))
    for _ in range(3):
        fails[0] = True
        with pytest.raises(NodeFailed):
            graph.run()
        fails[0] = False
        assert graph.run()["c"] == ("fine", "fine")


@pytest.mark.parametrize(
    ("callable_", "args", "text"),
    [
        (lambda: 1, (1,), "takes 0 positional arguments but 1 was given"),
        (lambda x: x, (), "missing 1 required positional argument: 'x'"),
        (int, ("x",), "invalid literal for int"),
    ],
)
def test_a_call_that_does_not_fit_fails_as_it_would_anywhere(
    callable_: Callable[..., Any], args: tuple[Any, ...], text: str
) -> None:
    graph = TaskGraph()
    graph.add("node", callable_, *args)
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        graph.run()
    assert caught.value.__notes__ == ["raised by node 'node'"]


def test_an_unhashable_key_made_by_a_node_is_that_node_s_consumer_s_error() -> None:
    graph = TaskGraph()
    a = graph.add("a", lambda: [1])
    graph.add("b", lambda x: {x: 1}, a)
    with pytest.raises(TypeError, match="unhashable") as caught:
        graph.run()
    assert caught.value.__notes__ == ["raised by node 'b'"]
