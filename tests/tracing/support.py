"""Traces made by hand: schedules that a list scheduler could have come to."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from nexus_core.tracing import NodeEvent, RunTrace, Trace, TracedThread

HOSTILE = "</script </script/ <!--<script </script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\u2028\"'`${1}--><!--"

names = st.one_of(st.just(HOSTILE), st.text(max_size=12))
# Whole nanoseconds: what a clock gives, and what a file keeps.
durations = st.integers(0, 5_000_000).map(lambda nanoseconds: nanoseconds / 1e9)
waits = st.integers(0, 100_000).map(lambda nanoseconds: nanoseconds / 1e9)


def scheduled(
    nodes: list[tuple[str, str]],
    edges: list[tuple[int, int]],
    seconds: list[float],
    threads: int = 1,
    *,
    began: float = 0.0,
    run: int = 0,
    delays: list[float] | None = None,
    locks: list[float] | None = None,
    statuses: list[Any] | None = None,
) -> tuple[RunTrace, list[NodeEvent]]:
    """A run by a list scheduler that takes nodes in order, each on the thread that is free first.

    Each node starts a delay after it could, the last part of which is a wait for the interpreter lock.
    """
    free, ends, events = [began] * threads, [began] * len(nodes), []
    for node, duration in enumerate(seconds):
        ready = max((ends[i] for i, j in edges if j == node), default=began)
        thread = min(range(threads), key=lambda k: (max(free[k], ready), k))
        lock = locks[node] if locks else 0.0
        start = max(free[thread], ready) + (delays[node] if delays else 0.0) + lock
        status = statuses[node] if statuses else "completed"
        error = "ValueError" if status == "failed" else None
        free[thread] = ends[node] = start + duration
        events.append(NodeEvent(run, node, thread, ready, start, start + duration, lock, status, error))
    ended = max([began, *ends])
    return RunTrace("made", f"run-{run}", began, ended, "completed", tuple(nodes), tuple(edges)), events


def threads(count: int) -> list[TracedThread]:
    return [TracedThread(f"thread-{k}", 100 + k) for k in range(count)]


def made(edges: list[tuple[int, int]], seconds: list[float], count: int = 1, **options: Any) -> Trace:
    """A trace of one run, of nodes named a, b, c, …"""
    nodes = [(chr(ord("a") + k), "Code") for k in range(len(seconds))]
    run, events = scheduled(nodes, edges, seconds, count, **options)
    return Trace(threads(count), [run], events)


@st.composite
def traces(draw: st.DrawFn, max_runs: int = 3, max_nodes: int = 7, *, noise: bool = True) -> Trace:
    """Runs one after the other or at the same time, on shared threads of an event loop or each on its own."""
    width = draw(st.integers(1, 4))
    runs, events = [], []
    for number in range(draw(st.integers(0, max_runs))):
        count = draw(st.integers(1, max_nodes))
        pairs = [(i, j) for j in range(count) for i in range(j)]
        edges = [pair for pair in pairs if draw(st.booleans())]
        run, own = scheduled(
            [(draw(names), draw(names)) for _ in range(count)],
            edges,
            draw(st.lists(durations, min_size=count, max_size=count)),
            width,
            began=draw(durations),
            run=number,
            delays=draw(st.lists(waits, min_size=count, max_size=count)) if noise else None,
            locks=draw(st.lists(waits, min_size=count, max_size=count)) if noise else None,
            statuses=draw(st.lists(st.sampled_from(["completed", "failed", "cached"]), min_size=count, max_size=count)),
        )
        runs.append(run)
        events += own
    return Trace(threads(width), runs, events, dropped=draw(st.integers(0, 3)), began=1e9, process_id=4242)
