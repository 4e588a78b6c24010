"""What a runtime's recording holds of the runs that it takes down, whatever way they go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from durable.support import RecordingStore
from nexus_core.runtime import AsyncLocalRuntime, DelegationError, LocalRuntime
from nexus_core.runtime.traced_runs import ANSWERED
from nexus_core.tracing import NodeEvent, Trace
from runtime.support import (
    AwaitingNode,
    CallingNode,
    Meeting,
    code_workflow,
    function_workflow,
    node_workflow,
    run_python,
)
from runtime.test_cycles import counting

NAP = 0.02


def local(**options: Any) -> LocalRuntime:
    return LocalRuntime(enable_monitoring=False, **options)


def traced(workflow: Workflow, parameters: Any = None, **options: Any) -> Trace:
    """The trace of one run of ``LocalRuntime``."""
    with local(**options) as runtime, runtime.trace() as recording:
        runtime.execute(workflow, parameters=parameters)
    return recording.trace


async def traced_async(workflow: Workflow, inputs: Any = None, times: int = 1, **options: Any) -> Trace:
    """The trace of runs of ``AsyncLocalRuntime``, one after the other."""
    async with AsyncLocalRuntime(**options) as runtime:
        with runtime.trace() as recording:
            for _ in range(times):
                await runtime.execute_workflow_async(workflow, inputs or {})
    return recording.trace


def cacheable() -> Workflow:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = x * x"})
    return builder.build(cacheable=True)


def of(trace: Trace, run: int = 0) -> dict[str, NodeEvent]:
    """The events of a run by node; each node has run once."""
    events = {trace.node_id(event): event for event in trace.events if event.run == run}
    assert len(events) == sum(event.run == run for event in trace.events)
    return events


def check(trace: Trace) -> None:
    """What holds for any trace: nothing starts before all that it depends on has ended."""
    for event in trace.events:
        run = trace.runs[event.run]
        assert run.began <= event.ready <= event.start <= event.end <= run.ended
        assert 0.0 <= event.waiting_for_gil <= event.start - event.ready + 1e-9
    for number, run in enumerate(trace.runs):
        events = [event for event in trace.events if event.run == number]
        assert [event.start for event in events] == sorted(event.start for event in events)
        ends = {event.node: event.end for event in events}
        if len(ends) == len(events):  # no cycles
            for source, target in run.edges:
                for event in events:
                    if event.node == target and source in ends:
                        assert event.ready >= ends[source] - 1e-9


def diamond() -> Workflow:
    """Of nodes that both runtimes give what they can use."""
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
    return code_workflow({"a": "result = 1", "b": "result = a", "c": "result = a", "d": "result = [b, c]"}, edges)


def naps(count: int = 3) -> Workflow:
    codes = {f"n{i}": f"import time\ntime.sleep({NAP})\nresult = 1" for i in range(count)}
    return code_workflow({**codes, "end": "result = n0"}, [(f"n{i}", "end") for i in range(count)])


class TestLocalRuntime:
    def test_a_run_of_one_thread(self) -> None:
        before = time.time()
        workflow = diamond()
        trace = traced(workflow)
        check(trace)
        (run,) = trace.runs
        assert (run.workflow, run.status, run.note) == (workflow.name, "completed", None)
        assert run.nodes == tuple((name, "PythonCodeNode") for name in "abcd")
        assert sorted(run.edges) == [(0, 1), (0, 2), (1, 3), (2, 3)]
        assert [(event.status, event.error) for event in of(trace).values()] == [("completed", None)] * 4
        assert [(thread.name, thread.native_id) for thread in trace.threads] == [
            (threading.current_thread().name, threading.get_native_id())
        ]
        assert before <= trace.began + 1.0 <= time.time() + 1.0

    def test_nodes_that_block_are_on_threads_of_their_own(self) -> None:
        meeting = Meeting(3)
        workflow = function_workflow({name: meeting.of(name) for name in "abc"})
        trace = traced(workflow)
        check(trace)
        events = of(trace)
        assert {name: trace.threads[event.thread].name for name, event in events.items()} == meeting.threads
        assert max(event.start for event in events.values()) < min(event.end for event in events.values())

    def test_a_node_lasts_at_least_as_long_as_it_slept(self) -> None:
        trace = traced(naps())
        check(trace)
        events = of(trace)
        assert all(events[f"n{i}"].duration >= NAP for i in range(3))
        assert events["end"].ready == max(events[f"n{i}"].end for i in range(3))

    def test_one_at_a_time_shows_how_long_nodes_were_queued(self) -> None:
        trace = traced(naps(), max_concurrency=1)
        check(trace)
        assert of(trace)["n2"].queued >= 2 * NAP

    def test_a_failed_node_has_the_name_of_its_own_error(self) -> None:
        edges = [("a", "b"), ("b", "c")]
        workflow = code_workflow({"a": "result = 1", "b": "result = 1 / 0", "c": "result = b"}, edges)
        with local() as runtime, runtime.trace() as recording, pytest.raises(Exception, match="division by zero"):
            runtime.execute(workflow)
        trace = recording.trace
        check(trace)
        assert {name: (event.status, event.error) for name, event in of(trace).items()} == {
            "a": ("completed", None),
            "b": ("failed", "ZeroDivisionError"),
        }
        assert trace.runs[0].status == "failed"

    def test_the_run_has_the_id_that_the_caller_gets(self, tmp_path: Path) -> None:
        with LocalRuntime() as runtime, runtime.trace() as recording:
            _, run_id = runtime.execute(diamond())
        assert [run.run_id for run in recording.trace.runs] == [run_id]

    def test_awaited_nodes(self) -> None:
        async def nap(node: Node, **_: Any) -> int:
            await asyncio.sleep(NAP)
            return 1

        workflow = node_workflow({"a": AwaitingNode(nap), "b": AwaitingNode(nap)}, [])
        trace = traced(workflow)
        check(trace)
        events = of(trace)
        assert all(event.duration >= NAP and event.status == "completed" for event in events.values())
        assert max(event.start for event in events.values()) < min(event.end for event in events.values())
        assert [kind for _, kind in trace.runs[0].nodes] == ["AwaitingNode"] * 2

    def test_each_round_of_a_cycle(self) -> None:
        trace = traced(counting(3))
        check(trace)
        (run,) = trace.runs
        order = [run.nodes[event.node][0] for event in trace.events]
        assert order == ["start", "a", "b", "a", "b", "a", "b", "end"]
        ids = [name for name, _ in run.nodes]
        assert (ids.index("b"), ids.index("a")) not in run.edges

    def test_a_run_inside_a_node(self) -> None:
        inner = code_workflow({"i": "result = 1 / 0"})
        with local() as runtime:

            def outer(node: Node, **_: Any) -> str:
                with contextlib.suppress(Exception):
                    runtime.execute(inner)
                return "caught"

            workflow = node_workflow({"o": CallingNode(outer)})
            with runtime.trace() as recording:
                runtime.execute(workflow)
        trace = recording.trace
        statuses = {trace.node_id(event): event.status for event in trace.events}
        assert statuses == {"o": "completed", "i": "failed"}
        assert len(trace.runs) == 2

    def test_a_delegated_run_has_no_nodes_but_says_why(self) -> None:
        with local(enable_audit=True) as runtime, runtime.trace() as recording:
            _, run_id = runtime.execute(diamond())
        (run,) = recording.trace.runs
        assert (run.nodes, run.status, run.run_id) == ((), "completed", run_id or "")
        assert run.note is not None and "audit" in run.note
        assert len(recording) == 0

    def test_a_run_that_the_cache_has_answered_has_no_nodes_but_says_so(self) -> None:
        workflow = cacheable()
        with local(cache=True) as runtime:
            first, _ = runtime.execute(workflow, parameters={"x": 3})
            with runtime.trace() as recording:
                again, _ = runtime.execute(workflow, parameters={"x": 3})
                runtime.execute(workflow, parameters={"x": 4})
        assert first == again
        trace = recording.trace
        kept, computed = trace.runs
        assert (kept.workflow, kept.status, kept.nodes, kept.note) == (workflow.name, "cached", (), ANSWERED)
        assert (computed.status, len(computed.nodes), computed.note) == ("completed", 1, None)
        assert 0 <= kept.began <= kept.ended <= computed.began
        assert [event.run for event in trace.events] == [1]

    def test_what_was_resumed_is_cached(self) -> None:
        fails = [True]

        def flaky(node: Node, **_: Any) -> int:
            if fails.pop():
                raise ValueError("once")
            return 1

        names = {"a": lambda node, **_: 1, "b": flaky, "c": lambda node, **_: 1}
        workflow = node_workflow({name: CallingNode(function) for name, function in names.items()})
        workflow.connect("a", "b", {"result": "data"})
        workflow.connect("b", "c", {"result": "data"})
        store = RecordingStore()
        runtime = local(checkpoint_store=store, checkpoint_after_each_node=True)
        with runtime, runtime.trace() as recording:
            with pytest.raises(Exception, match="once"):
                runtime.execute(workflow, idempotency_key="k")
            fails.append(False)
            runtime.execute(workflow, idempotency_key="k")
        trace = recording.trace
        statuses = [{name: event.status for name, event in of(trace, run).items()} for run in range(len(trace.runs))]
        assert statuses == [
            {"a": "completed", "b": "failed"},
            {"a": "cached", "b": "completed", "c": "completed"},
        ]


def switched() -> Workflow:
    """A switch that leads to ``yes``, and not to ``no`` and ``after``."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "source", {"code": "result = {'v': 5}"})
    builder.add_node("SwitchNode", "switch", {"condition_field": "v", "operator": ">", "value": 1})
    for name in ("yes", "no", "after"):
        builder.add_node("PythonCodeNode", name, {"code": "result = data"})
    builder.add_connection("source", "result", "switch", "input_data")
    builder.add_connection("switch", "true_output", "yes", "data")
    builder.add_connection("switch", "false_output", "no", "data")
    builder.add_connection("no", "result", "after", "data")
    return builder.build()


@pytest.mark.parametrize("mode", ["route_data", "skip_branches"])
@pytest.mark.parametrize("kind", ["local", "async"])
def test_branches_that_are_not_taken_are_skipped(mode: str, kind: str) -> None:
    workflow = switched()
    if kind == "local":
        trace = traced(workflow, conditional_execution=mode)
    else:
        trace = asyncio.run(traced_async(workflow, conditional_execution=mode))
    check(trace)
    statuses = {name: event.status for name, event in of(trace).items()}
    # Kailash's AsyncLocalRuntime hands the switch the whole output, which has no ``v``.
    left_out = {"yes"} if (kind, mode) == ("async", "route_data") else {"no", "after"}
    assert {name for name, status in statuses.items() if status == "skipped"} == left_out
    assert {name for name, status in statuses.items() if status == "completed"} == set(statuses) - left_out
    assert len(statuses) == 5


class TestAsyncLocalRuntime:
    def test_served_runs(self) -> None:
        # They wait for one another, so that each has a thread however busy the machine is.
        met = threading.Barrier(3)

        def meet(node: Node, **_: Any) -> int:
            met.wait(60)
            time.sleep(NAP)
            return 1

        trace = asyncio.run(traced_async(node_workflow({f"n{i}": CallingNode(meet) for i in range(3)})))
        check(trace)
        events = of(trace)
        assert all(events[f"n{i}"].duration >= NAP for i in range(3))
        assert len({events[f"n{i}"].thread for i in range(3)}) == 3

    def test_a_full_pool_shows_as_queueing(self) -> None:
        trace = asyncio.run(traced_async(naps(4), thread_pool_size=1))
        check(trace)
        assert max(event.queued for event in of(trace).values()) >= 3 * NAP

    def test_awaited_nodes_beside_nodes_on_threads(self) -> None:
        async def nap(node: Node, **_: Any) -> int:
            await asyncio.sleep(NAP)
            return 1

        nodes = {"a": AwaitingNode(nap), "b": CallingNode(lambda node, **_: time.sleep(NAP))}
        trace = asyncio.run(traced_async(node_workflow(nodes)))
        check(trace)
        events = of(trace)
        assert events["a"].thread != events["b"].thread
        assert all(event.duration >= NAP for event in events.values())

    def test_short_runs_are_taken_down_and_then_take_the_short_way_again(self) -> None:
        async def main() -> None:
            workflow = code_workflow({"n": "result = 1"})
            async with AsyncLocalRuntime() as runtime:
                for _ in range(20):
                    await runtime.execute_workflow_async(workflow, {})
                before = runtime._short_way.runs
                assert before > 0
                with runtime.trace() as recording:
                    ids = [(await runtime.execute_workflow_async(workflow, {}))[1] for _ in range(5)]
                assert runtime._short_way.runs == before
                for _ in range(3):
                    await runtime.execute_workflow_async(workflow, {})
                assert runtime._short_way.runs > before
            trace = recording.trace
            check(trace)
            assert [run.run_id for run in trace.runs] == ids
            assert len(trace) == 5

        asyncio.run(main())

    def test_a_streamed_run(self) -> None:
        async def main() -> None:
            async with AsyncLocalRuntime() as runtime:
                with runtime.trace() as recording:
                    events = [event async for event in runtime.stream(diamond())]
            check(recording.trace)
            assert set(of(recording.trace)) == set("abcd")
            assert [run.run_id for run in recording.trace.runs] == [events[0].run_id]

        asyncio.run(main())

    def test_a_cancelled_run(self) -> None:
        async def main() -> None:
            begun = asyncio.Event()

            async def wait(node: Node, **_: Any) -> int:
                begun.set()
                await asyncio.sleep(60)
                return 1

            async with AsyncLocalRuntime() as runtime:
                with runtime.trace() as recording:
                    workflow = node_workflow({"a": AwaitingNode(wait)})
                    task = asyncio.ensure_future(runtime.execute_workflow_async(workflow, {}))
                    await begun.wait()
                    task.cancel()
                    await asyncio.wait([task])
            assert [run.status for run in recording.trace.runs] == ["cancelled"]
            assert [event.status for event in recording.trace.events] == ["cancelled"]

        asyncio.run(main())

    def test_a_failed_run(self) -> None:
        async def main() -> None:
            workflow = code_workflow({"a": "raise KeyError('k')"})
            async with AsyncLocalRuntime() as runtime:
                with runtime.trace() as recording, pytest.raises(Exception, match="k"):
                    await runtime.execute_workflow_async(workflow, {})
            assert [run.status for run in recording.trace.runs] == ["failed"]
            assert [(event.status, event.error) for event in recording.trace.events] == [("failed", "KeyError")]

        asyncio.run(main())

    def test_a_delegated_run(self) -> None:
        async def main() -> None:
            workflow = Own("own", "own")
            workflow.add_node("n", CallingNode(lambda node, **_: 1))
            async with AsyncLocalRuntime() as runtime:
                with runtime.trace() as recording:
                    _, run_id = await runtime.execute_workflow_async(workflow, {})
            (run,) = recording.trace.runs
            assert (run.run_id, run.status, run.nodes) == (run_id, "completed", ())
            assert run.note == "run by Kailash: it is not a built Workflow"

        asyncio.run(main())

    def test_a_run_that_the_cache_has_answered(self, tmp_path: Path) -> None:
        async def main() -> None:
            workflow = cacheable()
            async with AsyncLocalRuntime(cache=True) as runtime:
                await runtime.execute_workflow_async(workflow, {"x": 1})
                with runtime.trace() as recording:
                    _, run_id = await runtime.execute_workflow_async(workflow, {"x": 1})
                _, after = await runtime.execute_workflow_async(workflow, {"x": 1})
            (run,) = recording.trace.runs
            assert (run.run_id, run.status, run.nodes, run.note) == (run_id, "cached", (), ANSWERED)
            assert after != run_id
            for name in ("run.json", "run.html"):
                recording.trace.write(tmp_path / name)
            assert list(Trace.read(tmp_path / "run.json").runs) == [run]
            assert 'class="chip cached"' in (tmp_path / "run.html").read_text()

        asyncio.run(main())

    def test_who_waits_for_the_interpreter_lock_is_seen(self) -> None:
        # While one node computes, the interpreter goes round: some worker has to wait for it.
        busy = "x = 0\nfor i in range(3_000_000):\n    x += i\nresult = x"
        workflow = code_workflow({f"n{i}": busy for i in range(4)})
        trace = asyncio.run(traced_async(workflow))
        check(trace)
        assert max(event.waiting_for_gil for event in trace.events) > 0.0


class Own(Workflow):
    """Not what is known to run natively."""


class TestRecording:
    def test_only_one_at_a_time(self) -> None:
        with local() as runtime:
            first = runtime.trace()
            with pytest.raises(RuntimeError, match="being traced already"):
                runtime.trace()
            first.stop()
            with runtime.trace() as second:
                runtime.execute(diamond())
        assert (len(first), len(second)) == (0, 4)

    def test_stopped_twice_it_is_the_same(self) -> None:
        with local() as runtime:
            recording = runtime.trace()
            runtime.execute(diamond())
            trace = recording.stop()
            runtime.execute(diamond())
            assert recording.stop() is trace is recording.trace
        assert len(trace) == 4

    def test_it_can_be_read_while_it_runs(self) -> None:
        with local() as runtime, runtime.trace() as recording:
            runtime.execute(diamond())
            assert (len(recording.trace), recording.is_running) == (4, True)
            runtime.execute(diamond())
            assert len(recording.trace) == 8
        assert not recording.is_running

    def test_let_go_of_it_stops(self) -> None:
        with local() as runtime:
            runtime.trace()
            gc.collect()
            with runtime.trace():
                pass

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "many", None, True])
    def test_a_bound_that_is_none(self, wrong: Any) -> None:
        with local() as runtime:
            with pytest.raises(ValueError, match=f"max_events is {wrong!r}"):
                runtime.trace(max_events=wrong)
            with runtime.trace():
                pass

    def test_what_is_too_much_is_counted(self) -> None:
        workflow = diamond()
        with local() as runtime, runtime.trace(max_events=50) as recording:
            for _ in range(30):
                runtime.execute(workflow)
        trace = recording.trace
        assert 0 < len(trace) < 50
        assert len(trace) + trace.dropped == 120
        assert len(trace.runs) <= 30

    def test_a_run_that_goes_on_after_the_stop_is_running(self) -> None:
        begun, over = threading.Event(), threading.Event()

        def wait(node: Node, **_: Any) -> int:
            begun.set()
            over.wait(20)
            return 1

        workflow = node_workflow({"a": CallingNode(wait)})
        with local() as runtime:
            recording = runtime.trace()
            thread = threading.Thread(target=runtime.execute, args=(workflow,))
            thread.start()
            begun.wait(20)
            trace = recording.stop()
            over.set()
            thread.join()
        assert [run.status for run in trace.runs] == ["running"]
        assert len(trace) == 0

    def test_threads_at_once(self) -> None:
        workflow = diamond()
        with local() as runtime, runtime.trace() as recording:
            threads = [
                threading.Thread(target=lambda: [runtime.execute(workflow) for _ in range(25)]) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        trace = recording.trace
        check(trace)
        assert len(trace.runs) == 100 and len(trace) == 400

    def test_a_strict_runtime_takes_nothing_of_a_run_that_it_refuses(self) -> None:
        runtime = local(strict=True, enable_audit=True)
        with runtime, runtime.trace() as recording, pytest.raises(DelegationError):
            runtime.execute(diamond())
        assert recording.trace.runs == ()


MILLION = """
    import json, resource
    from nexus_core.runtime import LocalRuntime

    workflow = code_workflow({f"n{i}": "result = 1" for i in range(1000)}, [(f"n{i}", f"n{i + 1}") for i in range(999)])
    with LocalRuntime(enable_monitoring=False) as runtime:
        for _ in range(5):
            runtime.execute(workflow)
        def rss():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * resource.getpagesize()
        before = rss()
        recording = runtime.trace(max_events=1_100_000)
        for _ in range(1000):
            runtime.execute(workflow)
        taken = rss() - before
        events = len(recording)
        # Beyond the bound nothing grows any more.
        for _ in range(200):
            runtime.execute(workflow)
        full = rss() - before
        print(json.dumps({"events": events, "taken": taken, "kept": len(recording), "full": full,
                          "dropped": recording.dropped, "runs": len(recording.trace.runs)}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_events_take_bounded_memory(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = run_python(MILLION, tmp_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["events"] == 1_000_000
    assert seen["taken"] < 64_000_000 + 16_000_000
    assert seen["kept"] + seen["dropped"] == 1_200_000
    assert seen["kept"] <= 1_100_000
    assert seen["full"] < 1_100_000 * 64 + 16_000_000
