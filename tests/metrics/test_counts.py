"""What `runtime.metrics()` counts, against what was really executed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from durable.support import RecordingStore
from nexus_core.metrics import RuntimeMetrics, WorkflowMetrics
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow
from runtime.test_cycles import counting

NAP = 0.02

Execute = Callable[[Any, Workflow], Any]


def local(**options: Any) -> LocalRuntime:
    return LocalRuntime(enable_monitoring=False, **options)


class Sides:
    """Either runtime under one call."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind = kind
        self.loop = asyncio.new_event_loop()
        self.runtime = local(**options) if kind == "local" else AsyncLocalRuntime(**options)
        if kind == "local":
            self.runtime.__enter__()

    def execute(self, workflow: Workflow) -> None:
        """Runs it; what it raises is not looked at."""
        with contextlib.suppress(Exception):
            if self.kind == "local":
                self.runtime.execute(workflow)
            else:
                self.loop.run_until_complete(self.runtime.execute_workflow_async(workflow, {}))

    def of(self, workflow: Workflow) -> WorkflowMetrics:
        return self.runtime.metrics().workflows[workflow.name]

    def close(self) -> None:
        if self.kind == "local":
            self.runtime.__exit__(None, None, None)
        else:
            self.loop.run_until_complete(self.runtime.cleanup())
            self.runtime.close()
        self.loop.close()


@pytest.fixture(params=["local", "async"])
def side(request: pytest.FixtureRequest) -> Any:
    made = Sides(request.param)
    yield made
    made.close()


class Tally:
    """Nodes that count their own executions."""

    def __init__(self) -> None:
        self.ran: dict[str, int] = {}

    def node(self, name: str, fails: Callable[[int], bool] = lambda times: False, nap: float = 0.0) -> Node:
        def run(node: Node, **_: Any) -> int:
            times = self.ran[name] = self.ran.get(name, 0) + 1
            if nap:
                time.sleep(nap)
            if fails(times):
                raise LookupError(name)
            return times

        return CallingNode(run)


def chain(nodes: dict[str, Node]) -> Workflow:
    workflow = node_workflow(nodes)
    names = list(nodes)
    for source, target in itertools.pairwise(names):
        workflow.connect(source, target, {"result": "data"})
    return workflow


def executions(metrics: WorkflowMetrics) -> dict[str, int]:
    return {node_id: node.executions for node_id, node in metrics.nodes.items()}


def test_executions_are_those_that_were(side: Sides) -> None:
    tally = Tally()
    workflow = chain({name: tally.node(name) for name in "abc"})
    for _ in range(100):
        side.execute(workflow)
    seen = side.of(workflow)
    assert executions(seen) == tally.ran == {"a": 100, "b": 100, "c": 100}
    assert (seen.runs, seen.completed, seen.failed, seen.cancelled, seen.delegated) == (100, 100, 0, 0, 0)
    assert seen.duration.count == 100
    assert {node.node_type for node in seen.nodes.values()} == {"CallingNode"}


def test_failures_are_exact_and_by_type(side: Sides) -> None:
    tally = Tally()
    workflow = chain(
        {"a": tally.node("a"), "b": tally.node("b", lambda times: times % 4 == 0), "c": tally.node("c")},
    )
    for _ in range(100):
        side.execute(workflow)
    seen = side.of(workflow)
    assert executions(seen) == tally.ran == {"a": 100, "b": 100, "c": 75}
    assert seen.nodes["b"].failures == {"LookupError": 25}
    assert (seen.nodes["b"].failed, seen.nodes["a"].failed) == (25, 0)
    assert seen.failures == {"LookupError": 25}
    assert (seen.completed, seen.failed, seen.error_rate) == (75, 25, 0.25)


def test_what_kailash_wraps_is_counted_by_what_is_inside(side: Sides) -> None:
    edges = [("a", "b")]
    for code, name in (("result = 1 / 0", "ZeroDivisionError"), ("result = {}['k']", "KeyError")):
        workflow = code_workflow({"a": code, "b": "result = 1"}, edges)
        side.execute(workflow)
        assert side.of(workflow).failures == {name: 1}
        assert side.of(workflow).nodes["a"].failures == {name: 1}


def test_nodes_that_share_threads_are_counted_once_each(side: Sides) -> None:
    tally = Tally()
    nodes = {f"n{i}": tally.node(f"n{i}", nap=0.005) for i in range(8)}
    workflow = node_workflow(nodes)
    for _ in range(5):
        side.execute(workflow)
    seen = side.of(workflow)
    assert executions(seen) == tally.ran
    # All were measured, and none was shorter than it slept.
    assert all(node.measured == 5 and node.duration.total >= 5 * 0.005 for node in seen.nodes.values())
    assert seen.duration.total >= 5 * 0.005


def test_queue_wait_shows_a_full_pool() -> None:
    async def main() -> RuntimeMetrics:
        tally = Tally()
        workflow = node_workflow({f"n{i}": tally.node(f"n{i}", nap=NAP) for i in range(4)})
        async with AsyncLocalRuntime(thread_pool_size=1) as runtime:
            await runtime.execute_workflow_async(workflow, {})
            return runtime.metrics()

    seen = asyncio.run(main())
    # Seen from the hand-over on, during the first node: the last waited for the two between.
    assert seen.queue_wait.max >= 2 * NAP
    assert seen.queue_wait.total >= (1 + 2) * NAP
    assert seen.places is not None
    assert (seen.places.limit, seen.places.thread_limit, seen.places.peak) == (10, 1, 1)
    # The last worker may be on its way out.
    assert seen.places.taken <= 1


def test_an_idle_pool_has_hardly_any_queue() -> None:
    async def main() -> RuntimeMetrics:
        workflow = code_workflow({"n": f"import time\ntime.sleep({NAP})\nresult = 1"})
        async with AsyncLocalRuntime() as runtime:
            for _ in range(3):
                await runtime.execute_workflow_async(workflow, {})
            return runtime.metrics()

    seen = asyncio.run(main())
    assert seen.queue_wait.count == 3
    assert seen.queue_wait.total < seen.workflows.popitem()[1].duration.total  # type: ignore[attr-defined]


def test_workers_that_wait_for_the_interpreter_lock_are_seen() -> None:
    async def main() -> RuntimeMetrics:
        busy = "x = 0\nfor i in range(2_000_000):\n    x += i\nresult = x"
        workflow = code_workflow({f"n{i}": busy for i in range(4)})
        async with AsyncLocalRuntime() as runtime:
            await runtime.execute_workflow_async(workflow, {})
            return runtime.metrics()

    seen = asyncio.run(main())
    assert seen.gil_wait.count > 0
    assert 0.0 < seen.gil_wait.max <= seen.gil_wait.total


def switched() -> Workflow:
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


def test_skipped_nodes() -> None:
    workflow = switched()
    with local() as runtime:
        for _ in range(40):
            runtime.execute(workflow)
        seen = runtime.metrics().workflows[workflow.name]
    assert executions(seen) == {"source": 40, "switch": 40, "yes": 40, "no": 0, "after": 0}
    assert {name: node.skipped for name, node in seen.nodes.items() if node.skipped} == {"no": 40, "after": 40}
    assert seen.nodes["no"].duration.count == 0


def test_pruned_nodes_are_not_executed() -> None:
    workflow = switched()
    with local(conditional_execution="skip_branches") as runtime:
        for _ in range(20):
            runtime.execute(workflow)
        seen = runtime.metrics().workflows[workflow.name]
    assert (seen.runs, executions(seen)) == (20, {"source": 20, "switch": 20, "yes": 20, "no": 0, "after": 0})


def test_each_iteration_of_a_cycle_counts() -> None:
    workflow = counting(3)
    with local() as runtime:
        for _ in range(4):
            runtime.execute(workflow)
        seen = runtime.metrics().workflows[workflow.name]
    assert (seen.runs, executions(seen)) == (4, {"start": 4, "a": 12, "b": 12, "end": 4})


def test_what_was_resumed_is_cached() -> None:
    tally = Tally()
    workflow = chain({"a": tally.node("a"), "b": tally.node("b", lambda times: times == 1), "c": tally.node("c")})
    with local(checkpoint_store=RecordingStore(), checkpoint_after_each_node=True) as runtime:
        with pytest.raises(Exception, match="b"):
            runtime.execute(workflow, idempotency_key="k")
        runtime.execute(workflow, idempotency_key="k")
        seen = runtime.metrics().workflows[workflow.name]
    assert executions(seen) == tally.ran == {"a": 1, "b": 2, "c": 1}
    assert seen.nodes["a"].cached == 1


def test_awaited_nodes() -> None:
    async def nap(node: Node, **_: Any) -> int:
        await asyncio.sleep(NAP)
        return 1

    async def main() -> WorkflowMetrics:
        workflow = node_workflow({"a": AwaitingNode(nap), "b": AwaitingNode(nap)})
        async with AsyncLocalRuntime() as runtime:
            for _ in range(3):
                await runtime.execute_workflow_async(workflow, {})
            return runtime.metrics().workflows[workflow.name]

    seen = asyncio.run(main())
    assert executions(seen) == {"a": 3, "b": 3}
    # asyncio's clock may fire a timer a little early.
    assert all(node.duration.total >= 3 * NAP * 0.9 and node.measured == 3 for node in seen.nodes.values())


def test_the_short_way_counts_like_any_other() -> None:
    async def main() -> None:
        workflow = code_workflow({"a": "result = 1", "b": "result = 2"})
        async with AsyncLocalRuntime() as runtime:
            for _ in range(2000):
                await runtime.execute_workflow_async(workflow, {})
            assert runtime._short_way.runs > 1000
            seen = runtime.metrics().workflows[workflow.name]
        assert (seen.runs, seen.duration.count) == (2000, 2000)
        assert executions(seen) == {"a": 2000, "b": 2000}
        for node in seen.nodes.values():
            # Estimated from one run in 64 and the first.
            assert 16 <= node.measured < 2000
            assert node.duration.count > 16

    asyncio.run(main())


def test_a_failure_on_the_short_way_is_counted() -> None:
    async def main() -> None:
        workflow = code_workflow({"a": "result = 1 / wrong"})
        async with AsyncLocalRuntime() as runtime:
            for number in range(100):
                with contextlib.suppress(Exception):
                    await runtime.execute_workflow_async(workflow, {"wrong": number % 10})
            seen = runtime.metrics().workflows[workflow.name]
        assert (seen.runs, seen.failures) == (100, {"ZeroDivisionError": 10})
        assert seen.nodes["a"].failures == {"ZeroDivisionError": 10}
        assert seen.nodes["a"].executions == 100

    asyncio.run(main())


def test_a_cancelled_run_did_not_fail() -> None:
    async def main() -> RuntimeMetrics:
        begun = asyncio.Event()

        async def wait(node: Node, **_: Any) -> int:
            begun.set()
            await asyncio.sleep(60)
            return 1

        workflow = node_workflow({"a": AwaitingNode(wait)})
        async with AsyncLocalRuntime() as runtime:
            task = asyncio.ensure_future(runtime.execute_workflow_async(workflow, {}))
            await begun.wait()
            assert runtime.metrics().active == 1
            task.cancel()
            await asyncio.wait([task])
            del task
            gc.collect()
            return runtime.metrics()

    seen = asyncio.run(main())
    (workflow,) = seen.workflows.values()
    assert (workflow.runs, workflow.cancelled, workflow.failed) == (1, 1, 0)
    assert (seen.active, seen.peak_active) == (0, 1)


def test_runs_at_once() -> None:
    met = threading.Barrier(3)

    def meet(node: Node, **_: Any) -> int:
        met.wait(20)
        return 1

    workflow = node_workflow({"a": CallingNode(meet)})
    with local() as runtime:
        threads = [threading.Thread(target=runtime.execute, args=(workflow,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = runtime.metrics()
    assert (seen.active, seen.peak_active, seen.runs) == (0, 3, 3)


def test_delegated_runs() -> None:
    workflow = code_workflow({"a": "result = 1"})
    with local(enable_audit=True) as runtime:
        runtime.execute(workflow)
        seen = runtime.metrics()
    found = seen.workflows[workflow.name]
    assert (found.runs, found.delegated, found.nodes) == (1, 1, {})
    assert seen.native_runs == 0
    assert sum(seen.delegated_runs.values()) >= 1


class Own(Workflow):
    """Not what is known to run natively."""


@pytest.mark.parametrize("fails", [False, True])
def test_delegated_runs_are_under_way_until_they_end(side: Sides, fails: bool) -> None:
    seen: list[int] = []

    def look(node: Node, **_: Any) -> int:
        seen.append(side.runtime.metrics().active)
        if fails:
            raise ValueError("no")
        return 1

    workflow = Own("own", "own")
    workflow.add_node("n", CallingNode(look))
    side.execute(workflow)
    after = side.runtime.metrics()
    assert seen == [1]
    assert (after.active, after.peak_active) == (0, 1)
    assert side.of(workflow).delegated == 1


def test_runtimes_count_for_themselves() -> None:
    workflow = code_workflow({"a": "result = 1"})
    with local() as one, local() as other:
        one.execute(workflow)
        other.execute(workflow)
        other.execute(workflow)
        assert [runtime.metrics().runs for runtime in (one, other)] == [1, 2]


def test_a_workflow_that_is_built_for_each_run_keeps_its_name() -> None:
    with local() as runtime:
        for _ in range(50):
            builder = WorkflowBuilder()
            builder.add_node("PythonCodeNode", "a", {"code": "result = 1"})
            runtime.execute(builder.build(name="same"))
        gc.collect()
        seen = runtime.metrics()
    assert list(seen.workflows) == ["same"]
    assert executions(seen.workflows["same"]) == {"a": 50}


def test_a_workflow_that_changes_goes_on_from_what_it_was() -> None:
    workflow = code_workflow({"a": "result = 1"})
    with local() as runtime:
        runtime.execute(workflow)
        workflow.add_node("b", CallingNode(lambda node, **_: 2))
        runtime.execute(workflow)
        gc.collect()
        seen = runtime.metrics().workflows[workflow.name]
    assert (seen.runs, executions(seen)) == (2, {"a": 2, "b": 1})


def test_names_beyond_a_bound_are_added_up() -> None:
    with local() as runtime:
        for number in range(300):
            builder = WorkflowBuilder()
            builder.add_node("PythonCodeNode", "a", {"code": "result = 1"})
            runtime.execute(builder.build(name=f"w{number}"))
        seen = runtime.metrics()
    assert len(seen.workflows) <= 257
    assert seen.runs == 300
    assert "other" in seen.workflows


def test_throughput_is_runs_by_time() -> None:
    workflow = code_workflow({"a": "result = 1"})
    with local() as runtime:
        assert runtime.metrics().throughput() == 0.0
        runtime.execute(workflow)
        before = runtime.metrics()
        for _ in range(10):
            runtime.execute(workflow)
        after = runtime.metrics()
    assert after.throughput(before) == 10 / (after.taken_at - before.taken_at)
    assert after.throughput() == 11 / (after.taken_at - after.since)
    with pytest.raises(ValueError, match="not earlier ones"):
        before.throughput(after)


def test_idle_is_idle() -> None:
    with local() as runtime:
        seen = runtime.metrics()
    assert (seen.runs, seen.failed, seen.error_rate, seen.active, seen.workflows) == (0, 0, 0.0, 0, {})
    assert (seen.queue_wait.count, seen.gil_wait.count, seen.loop_lag.count) == (0, 0, 0)


def test_everything_as_json(side: Sides) -> None:
    workflow = code_workflow({"a": "result = 1"})
    side.execute(workflow)
    found = json.loads(json.dumps(side.runtime.metrics().as_dict()))
    assert found["runs"] == 1
    assert found["workflows"][workflow.name]["nodes"]["a"]["executions"] == 1
    assert found["process"]["threads"] >= 1


def test_a_traced_run_is_counted_too(side: Sides) -> None:
    workflow = code_workflow({"a": "result = 1", "b": "result = 2"})
    with side.runtime.trace() as recording:
        side.execute(workflow)
    assert executions(side.of(workflow)) == {"a": 1, "b": 1}
    assert len(recording) == 2


def test_a_name_that_is_no_valid_unicode_is_counted_and_traced() -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a\udc80", {"code": "result = 1"})
    workflow = builder.build(name="sums \ud800")
    with LocalRuntime(enable_monitoring=False) as runtime, runtime.trace() as recording:
        results, _ = runtime.execute(workflow)
    assert results == {"a\udc80": {"result": 1}}
    (name,) = runtime.metrics().workflows
    assert name.startswith("sums ")
    assert len(recording.trace.events) == 1
    assert recording.trace.runs[0].workflow == name


def test_a_run_whose_error_is_kept_is_not_under_way_any_more() -> None:
    # What a node is in the middle of when the run ends keeps the run, and so does the error.
    go_on = threading.Event()
    workflow = node_workflow({"a": CallingNode(lambda *_, **__: go_on.wait(60))})

    async def main() -> tuple[list[Any], RuntimeMetrics]:
        async with AsyncLocalRuntime(execution_timeout=0.05) as runtime:
            try:
                runs = [runtime.execute_workflow_async(workflow, {}) for _ in range(3)]
                errors = await asyncio.gather(*runs, return_exceptions=True)
                return errors, runtime.metrics()
            finally:
                go_on.set()

    errors, metrics = asyncio.run(main())
    assert [type(error) for error in errors] == [TimeoutError] * 3
    assert metrics.active == 0
