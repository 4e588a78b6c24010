"""What bounds a makespan, and what would change it."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.tracing import NodeEvent, RunAnalysis, RunTrace, Trace, analyze

from .support import made, scheduled, threads, traces


def only(trace: Trace, **options: Any) -> RunAnalysis:
    (run,) = trace.analyze(**options).runs
    return run


DIAMOND = [(0, 1), (0, 2), (1, 3), (2, 3)]


def test_the_critical_path_and_slack_are_by_measured_durations() -> None:
    run = only(made(DIAMOND, [0.1, 0.2, 0.5, 0.1], 2))
    assert run.critical_path == ("a", "c", "d")
    assert run.critical_path_length == pytest.approx(0.7)
    assert run.slack == pytest.approx({"a": 0.0, "b": 0.3, "c": 0.0, "d": 0.0})
    assert [node.is_critical for node in run.nodes] == [node.node_id != "b" for node in run.nodes]
    assert (run.makespan, run.work, run.at_once, run.threads) == (pytest.approx(0.7), pytest.approx(0.9), 2, 2)
    assert run.parallelism == pytest.approx(0.9 / 0.7) == run.possible_parallelism
    assert run.bound == "critical path"


def test_a_fan_on_one_thread_is_bounded_by_workers() -> None:
    run = only(made([], [0.1] * 8), threads=[2, 4, 8, 100])
    assert run.bound == "workers"
    assert run.makespan_of.workers == pytest.approx(0.7)
    assert [answer.makespan for answer in run.what_if[:4]] == pytest.approx([0.4, 0.2, 0.1, 0.1])
    assert str(run.what_if[0]) == "with 2 threads 400 ms"


def test_waits_for_the_interpreter_lock_are_told_apart() -> None:
    run = only(made([(0, 1)], [0.1, 0.1], locks=[0.3, 0.3]))
    assert run.bound == "interpreter lock"
    assert run.makespan_of.interpreter_lock == pytest.approx(0.6) == run.waiting_for_gil
    assert run.queued == 0.0


def test_ready_nodes_that_nobody_takes_are_queueing() -> None:
    run = only(made([(0, 1)], [0.1, 0.1], delays=[0.0, 0.5]))
    assert run.bound == "queueing"
    assert run.makespan_of.queueing == pytest.approx(0.5) == run.queued


def test_a_wait_with_room_for_one_more_is_queueing() -> None:
    """Two ran at once at first; then one did, while another was ready and did not run."""
    nodes = [(name, "T") for name in "abcd"]
    run = RunTrace("w", "r", 0, 3, nodes=nodes, edges=[(0, 2)])
    events = [NodeEvent(0, 0, 0, 0, 0, 1), NodeEvent(0, 1, 1, 0, 0, 1)]
    events += [NodeEvent(0, 3, 1, 0, 1, 2), NodeEvent(0, 2, 0, 1, 2, 3)]
    parts = only(Trace(threads(2), [run], events)).makespan_of
    assert (parts.nodes, parts.queueing, parts.workers) == (2, 1, 0)


def test_nodes_that_wait_behind_other_runs_are_bounded_by_workers() -> None:
    """Both of two threads are busy with another run, so that its own first node waits for one."""
    first, events = scheduled([("x", "T"), ("y", "T")], [], [1.0, 1.0], 2)
    second = RunTrace("small", "r", 0.0, 1.1, nodes=[("z", "T")])
    trace = Trace(threads(2), [first, second], [*events, NodeEvent(1, 0, 0, 0.0, 1.0, 1.1)])
    assert trace.analyze().runs[1].bound == "workers"


def test_time_outside_of_nodes_is_the_runtime_s() -> None:
    run = RunTrace("w", "r", 0.0, 1.0, nodes=[("a", "T")])
    found = only(Trace(threads(1), [run], [NodeEvent(0, 0, 0, 0.4, 0.4, 0.5)]))
    assert found.bound == "runtime"
    assert found.makespan_of.runtime == pytest.approx(0.9)


def test_a_faster_node_is_simulated() -> None:
    trace = made(DIAMOND, [0.1, 0.2, 0.5, 0.1], 2)
    (answer,) = only(trace, faster={"c": 5}).what_if[-1:]
    assert answer.makespan == pytest.approx(0.4)
    assert str(answer) == "with node `c` 5 times as fast 400 ms"
    longest = [each.node for each in only(trace).what_if if each.node]
    assert longest[0] == "c" and set(longest) == {"a", "c", "d"}
    assert "with node `c` twice as fast 450 ms" in str(trace.analyze())


def test_rounds_of_a_cycle_follow_each_other() -> None:
    run = RunTrace("loop", "r", 0, 4, nodes=[("a", "T"), ("b", "T")], edges=[(0, 1), (1, 0)])
    events = [NodeEvent(0, k % 2, 0, k, k, k + 1) for k in range(4)]
    found = only(Trace(threads(1), [run], events), threads=[8], faster={"a": 2})
    assert found.critical_path == ("a", "b", "a", "b")
    assert found.critical_path_length == 4
    assert [answer.makespan for answer in found.what_if] == [4, 3]


def test_rounds_follow_each_other_even_where_the_edge_back_is_not_known() -> None:
    run = RunTrace("loop", "r", 0, 6, nodes=[("a", "T"), ("b", "T")], edges=[(0, 1)])
    events = [NodeEvent(0, 0, 0, 0, 0, 1), NodeEvent(0, 1, 0, 1, 1, 3), NodeEvent(0, 0, 0, 3, 3, 4)]
    events.append(NodeEvent(0, 1, 0, 4, 4, 6))
    assert only(Trace(threads(1), [run], events)).critical_path == ("a", "b", "a", "b")


def test_a_cycle_that_was_gone_through_once() -> None:
    run = RunTrace("loop", "r", 0, 2, nodes=[("a", "T"), ("b", "T")], edges=[(0, 1), (1, 0)])
    events = [NodeEvent(0, k, 0, k, k, k + 1) for k in range(2)]
    assert only(Trace(threads(1), [run], events)).critical_path == ("a", "b")


def test_a_run_that_kailash_executed_says_so() -> None:
    run = RunTrace("w", "r", 0.0, 1.0, note="a distributed lock is asked for")
    analysis = Trace(threads(0), [run]).analyze()
    assert analysis.runs[0].bound == "runtime"
    assert "nothing is known of its nodes: a distributed lock" in str(analysis)
    assert analysis.workflows[0].unknown == 1


def test_runs_are_summed_up_by_workflow() -> None:
    runs, events = [], []
    for k in range(250):
        nodes = [("a", "T"), ("b", "T")]
        run, own = scheduled(nodes, [(0, 1)], [0.1, 0.001 * k], began=10.0 * k, run=k)
        runs.append(run)
        events += own
    analysis = Trace(threads(1), runs, events).analyze(threads=[3])
    (found,) = analysis.workflows
    assert (found.runs, found.failed, found.simulated_runs) == (250, 0, 100)
    assert found.makespan.count == 250
    assert found.makespan.p50 == pytest.approx(0.1 + 0.124)
    assert found.makespan.p99 == pytest.approx(0.1 + 0.247)
    assert found.makespan.max == pytest.approx(0.1 + 0.249)
    assert found.nodes[0].node_id == "b" and found.nodes[0].executions == 250
    assert found.nodes[0].mean == pytest.approx(0.1245)
    assert found.bounds == {"critical path": 250}
    text = str(analysis)
    assert "250 runs of 'made'" in text and "on average over 100 runs" in text and "Its longest run" in text


def test_the_simulated_runs_are_spread_evenly() -> None:
    nodes = (("a", "T"),)
    runs = [RunTrace("w", f"r{k}", k, k + 1, nodes=nodes) for k in range(1000)]
    trace = Trace(threads(1), runs, [NodeEvent(k, 0, 0, k, k, k + 1) for k in range(1000)])
    simulated = [run.run for run in trace.analyze().runs if run.what_if]
    assert len(simulated) == 100
    assert {b - a for a, b in pairwise(simulated)} == {10}


def test_threads_say_how_busy_they_were() -> None:
    analysis = made([], [0.4, 0.1], 2).analyze()
    assert [(each.name, each.executions) for each in analysis.threads] == [("thread-0", 1), ("thread-1", 1)]
    assert [each.utilisation for each in analysis.threads] == pytest.approx([1.0, 0.25])


def test_executions_that_are_missing_are_told() -> None:
    trace = made([], [0.1])
    full = Trace(trace.threads, trace.runs, trace.events, dropped=1234)
    assert "1,234 executions are missing" in str(full.analyze())


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
def test_impossible_numbers_of_threads_are_refused(count: Any) -> None:
    with pytest.raises(ValueError, match="threads must be whole numbers of at least 1"):
        made([], [0.1]).analyze([count])


@pytest.mark.parametrize("factor", [0, -1, math.inf, math.nan])
def test_impossible_factors_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="node 'a' cannot be"):
        made([], [0.1]).analyze(faster={"a": factor})
    with pytest.raises(ValueError, match="no run of the trace has a node 'z'"):
        made([], [0.1]).analyze(faster={"z": 2})


def test_an_empty_trace_says_so() -> None:
    assert str(Trace().analyze()) == "the trace has no runs"
    assert Trace().gantt() == "no node ran"


@given(traces())
def test_what_always_holds(trace: Trace) -> None:
    analysis = analyze(trace)
    json.dumps(analysis.as_dict(), allow_nan=False)
    assert str(analysis)
    for run in analysis.runs:
        rounding = 1e-9 + 1e-12 * run.makespan
        assert run.critical_path_length <= run.makespan + rounding
        assert run.critical_path_length <= run.work + rounding
        assert run.parallelism <= run.possible_parallelism + 1e-6 or run.critical_path_length == 0
        assert run.makespan_of.total == pytest.approx(run.makespan, abs=1e-9)
        parts = run.makespan_of
        assert min(parts.nodes, parts.interpreter_lock, parts.workers, parts.queueing, parts.runtime) >= -1e-12
        assert all(node.slack >= 0 for node in run.nodes)
        assert all(node.slack == 0 for node in run.nodes if node.is_critical)
        assert sum(node.duration for node in run.nodes if node.is_critical) == pytest.approx(run.critical_path_length)
        assert all(run.critical_path_length <= each.makespan + rounding for each in run.what_if if each.node is None)
        assert run.simulated <= run.work + rounding
    for thread in analysis.threads:
        assert 0.0 <= thread.utilisation <= 1.0


@st.composite
def _greedy(draw: st.DrawFn) -> tuple[Trace, int]:
    """Independent nodes, longest first, on some threads: what the core's scheduler does, measured."""
    count = draw(st.integers(1, 4))
    seconds = sorted(draw(st.lists(st.integers(1, 1000), min_size=1, max_size=12)), reverse=True)
    return made([], [each / 1000 for each in seconds], count), count


@given(_greedy())
def test_simulated_with_the_measured_threads_it_takes_what_was_measured(case: tuple[Trace, int]) -> None:
    trace, count = case
    run = only(trace, threads=[count])
    assert run.what_if[0].makespan == pytest.approx(run.makespan)
    assert run.simulated == pytest.approx(run.makespan)


@given(traces(max_runs=1, noise=False))
def test_any_list_schedule_is_within_graham_s_bound_of_the_simulated_one(trace: Trace) -> None:
    """Two schedules that never idle while a node is ready differ by less than a factor of two."""
    for run in trace.analyze(threads=[len(trace.threads)]).runs:
        workers = len(trace.threads)
        best = max(run.critical_path_length, run.work / workers)
        assert run.what_if[0].makespan <= (2 - 1 / workers) * best + 1e-9


def test_more_threads_than_nodes_come_to_the_critical_path() -> None:
    run = only(made(DIAMOND, [0.1, 0.2, 0.5, 0.1]), threads=[1, 4])
    assert run.what_if[0].makespan == pytest.approx(run.work)
    assert run.what_if[1].makespan == pytest.approx(run.critical_path_length)
