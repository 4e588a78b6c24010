"""Time limits and cancellation: no node starts any more, and the caller gets away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nexus_core import CancellationToken, Ref, TaskGraph
from nexus_core.errors import NexusCoreError, RunCancelled, RunTimeout

from .support import BLOCKING


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What nodes wait for; set at the end, so that no worker stays blocked."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("limit", [None, 1, 3])
def test_a_timeout_holds_while_a_node_blocks(release: threading.Event, limit: int | None) -> None:
    graph = TaskGraph()
    graph.add("blocked", release.wait, 60)
    graph.add("next", lambda x: x, Ref("blocked"))
    start = time.monotonic()
    with pytest.raises(RunTimeout) as caught:
        graph.run(timeout=0.1, max_concurrency=limit)
    assert time.monotonic() - start < 30
    assert isinstance(caught.value, TimeoutError | NexusCoreError)
    assert caught.value.timeout == 0.1
    assert str(caught.value) == (
        "the run of 2 nodes did not finish within 0.1 s; raise timeout, or raise max_concurrency"
    )


def test_no_node_starts_after_a_timeout_though_a_running_one_ends_by_itself() -> None:
    release, ended = threading.Event(), threading.Event()
    ran: list[str] = []

    def first() -> None:
        release.wait(60)
        ended.set()

    graph = TaskGraph()
    graph.add("next", ran.append, "next")
    graph.after("next", graph.add("first", first))
    with pytest.raises(RunTimeout):
        graph.run(timeout=0.05)
    release.set()
    assert ended.wait(30)
    time.sleep(0.05)
    assert ran == []


def test_the_graph_runs_again_after_a_timeout(release: threading.Event) -> None:
    seconds = [60.0]
    graph = TaskGraph()
    graph.add("a", lambda: release.wait(seconds[0]))
    graph.add("b", lambda: 1)
    for _ in range(3):
        seconds[0] = 60.0
        with pytest.raises(RunTimeout):
            graph.run(timeout=0.05)
        seconds[0] = 0.01
        assert graph.run() == {"a": False, "b": 1}
        assert graph.run(timeout=60) == {"a": False, "b": 1}


def test_runs_with_a_time_limit_go_on_while_abandoned_nodes_hold_workers(release: threading.Event) -> None:
    blocked = TaskGraph()
    for number in range(8):
        blocked.add(f"n{number}", release.wait, 60)
    with pytest.raises(RunTimeout):
        blocked.run(timeout=0.1, max_concurrency=8)
    graph = TaskGraph()
    graph.add("a", lambda: 1)
    assert graph.run(timeout=20) == {"a": 1}


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 1e10])
def test_a_timeout_longer_than_any_clock_is_no_limit(timeout: float) -> None:
    graph = TaskGraph()
    graph.add("a", lambda: 1)
    assert graph.run(timeout=timeout) == {"a": 1}


def test_a_failure_is_reported_as_such_under_a_time_limit() -> None:
    graph = TaskGraph()
    graph.add("a", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        graph.run(timeout=60)


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_run_cancelled_before_it_starts_runs_nothing(timeout: float | None) -> None:
    ran: list[int] = []
    graph = TaskGraph()
    graph.add("a", ran.append, 1)
    token = CancellationToken()
    token.cancel("not today")
    with pytest.raises(RunCancelled) as caught:
        graph.run(cancel=token, timeout=timeout)
    assert caught.value.reason == "not today"
    assert str(caught.value) == "the run was cancelled: not today"
    assert ran == []


def test_a_cancellation_without_a_reason_says_so() -> None:
    graph = TaskGraph()
    graph.add("a", int)
    token = CancellationToken()
    token.cancel()
    with pytest.raises(RunCancelled, match="the run was cancelled: no reason given") as caught:
        graph.run(cancel=token)
    assert caught.value.reason is None


def test_a_node_may_cancel_its_own_run() -> None:
    ran: list[int] = []
    token = CancellationToken()

    def node(number: int) -> None:
        ran.append(number)
        if number == 5:
            token.cancel("five")

    graph = TaskGraph()
    graph.add("n0", node, 0)
    for number in range(1, 20):
        graph.add(f"n{number}", node, number)
        graph.after(f"n{number}", f"n{number - 1}")
    with pytest.raises(RunCancelled, match="five"):
        graph.run(cancel=token)
    assert ran == list(range(6))


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_another_thread_cancels_a_run(limit: int) -> None:
    token = CancellationToken()
    started: list[float] = []

    def node() -> None:
        started.append(time.monotonic())
        time.sleep(BLOCKING)

    graph = TaskGraph()
    for number in range(10_000):
        graph.add(f"n{number}", node)
    timer = threading.Timer(0.1, token.cancel, ["stop"])
    timer.start()
    with pytest.raises(RunCancelled, match="stop"):
        graph.run(cancel=token, max_concurrency=limit)
    timer.join()
    assert 0 < len(started) < 10_000
    count = len(started)
    time.sleep(0.05)
    assert len(started) == count


def test_one_token_cancels_many_runs() -> None:
    token = CancellationToken()
    graph = TaskGraph()
    for number in range(10_000):
        graph.add(f"n{number}", time.sleep, 0.002)
    outcomes: list[Any] = []

    def run() -> None:
        try:
            graph.run(cancel=token)
        except RunCancelled as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    token.cancel("all")
    for thread in threads:
        thread.join(60)
    assert outcomes == ["all"] * 8


def test_a_token_that_is_not_cancelled_changes_nothing() -> None:
    graph = TaskGraph()
    graph.add("a", lambda: 1)
    token = CancellationToken()
    assert graph.run(cancel=token) == graph.run(cancel=token, timeout=10) == {"a": 1}


def test_cancelling_after_the_last_node_ended_does_not_undo_the_run() -> None:
    token = CancellationToken()
    graph = TaskGraph()
    graph.add("a", token.cancel)
    assert graph.run(cancel=token) == {"a": None}
