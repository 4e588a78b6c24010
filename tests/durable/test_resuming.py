"""What a run finds completed is replayed: after failures, cancellations, and by a caller's own tracker."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.runtime.async_local import ExecutionContext
from kailash.runtime.cancellation import CancellationToken
from kailash.runtime.durable import (
    WorkflowShapeDriftError,
    build_checkpoint_key,
    compute_workflow_fingerprint,
    encode_checkpoint_payload,
)
from kailash.runtime.execution_tracker import ExecutionTracker
from kailash.sdk_exceptions import SoftTimeLimitExceeded, WorkflowCancelledError
from kailash.tracking.storage.filesystem import FileSystemStorage

from differential.example_workflows import RecordingTaskManager
from runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow

from .support import SIDES, RecordingStore, Side, both_kinds, chain, completed_in, events_of, more, one, sides

LENGTH = 5


def durable(side: Side, store: RecordingStore, **options: Any) -> Any:
    return side.make(checkpoint_store=store, checkpoint_after_each_node=True, **options)


class Work:
    """Nodes that count how often each ran, and fail once when told to."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails_at = ""

    def sync(self, name: str, node: Node, data: Any = None, **_: Any) -> int:
        self.ran.append(name)
        if name == self.fails_at:
            self.fails_at = ""
            raise ValueError(f"crash in {name}")
        value = data["result"] if isinstance(data, dict) else data
        return (value or 0) + 1

    async def awaited(self, name: str, node: Node, data: Any = None, **_: Any) -> int:
        await asyncio.sleep(0)
        return self.sync(name, node, data)

    def chain(self, kinds: str) -> Any:
        """One node for each letter: ``s`` for synchronous, ``a`` for asynchronous."""
        nodes: dict[str, Node] = {}
        for place, kind in enumerate(kinds):
            name = f"n{place}"
            if kind == "s":
                nodes[name] = CallingNode(partial(self.sync, name))
            else:
                nodes[name] = AwaitingNode(partial(self.awaited, name))
        workflow = node_workflow(nodes)
        for place in range(1, len(kinds)):
            workflow.connect(f"n{place - 1}", f"n{place}", {"result": "data"})
        return workflow


@sides
@pytest.mark.parametrize("kinds", ["sssss", "aaaaa", "sasas"])
@pytest.mark.parametrize("at", range(LENGTH))
def test_after_a_failure_at_any_node_only_the_rest_runs(side: Side, kinds: str, at: int) -> None:
    work, store = Work(), RecordingStore()
    workflow = work.chain(kinds)
    runtime = durable(side, store)
    work.fails_at = f"n{at}"
    events = events_of(runtime)
    if at == LENGTH - 1 and not side.is_async:  # a leaf that fails is recorded, not raised
        assert side.run(runtime, workflow, idempotency_key="k")[f"n{at}"]["failed"]
    else:
        with pytest.raises(Exception, match=f"crash in n{at}"):
            side.run(runtime, workflow, idempotency_key="k")
    assert work.ran == [f"n{place}" for place in range(at + 1)]
    assert [event.node_id for event in events] == work.ran[:-1]
    work.ran.clear(), events.clear()
    results = side.run(runtime, workflow, idempotency_key="k")
    rest = [f"n{place}" for place in range(at, LENGTH)]
    assert work.ran == rest
    assert [event.node_id for event in events] == rest
    assert {node_id: output["result"] for node_id, output in results.items()} == {
        f"n{place}": place + 1 for place in range(LENGTH)
    }
    work.ran.clear(), events.clear()
    saves = store.saves
    assert side.run(runtime, workflow, idempotency_key="k") == results
    assert (work.ran, events, store.saves) == ([], [], saves), "nothing runs, is told, or is saved again"
    runtime.close()


@pytest.mark.parametrize("at", range(LENGTH))
@pytest.mark.parametrize("name", ["local-stock", "local-ours"])
def test_after_a_cancellation_before_any_node_only_the_rest_runs(name: str, at: int) -> None:
    side, store, token, ran = SIDES[name], RecordingStore(), CancellationToken(), []

    def body(place: int) -> Any:
        def run(node: Node, **_: Any) -> int:
            ran.append(place)
            if place == at - 1:
                token.cancel("enough")
            return place

        return run

    workflow = chain(*map(body, range(LENGTH)))
    runtime = durable(side, store)
    if at == 0:
        token.cancel("enough")
    with pytest.raises(WorkflowCancelledError, match="Workflow cancelled: enough") as caught:
        side.run(runtime, workflow, cancellation_token=token, idempotency_key="k")
    assert caught.value.completed_nodes == [f"n{place}" for place in range(at)]
    assert caught.value.cancelled_at_node == f"n{at}"
    assert ran == list(range(at))
    assert (completed_in(store.blobs[-1]) if store.blobs else []) == caught.value.completed_nodes
    ran.clear()
    at = -1
    results = side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert ran == list(range(len(caught.value.completed_nodes), LENGTH))
    assert results == {f"n{place}": {"result": place} for place in range(LENGTH)}


@pytest.mark.parametrize("name", ["local-stock", "local-ours"])
def test_a_cancelled_run_replays_nothing(name: str) -> None:
    side, store, token = SIDES[name], RecordingStore(), CancellationToken()
    workflow = chain(one, more)
    runtime = durable(side, store)
    side.run(runtime, workflow, idempotency_key="k")
    token.cancel("no")
    with pytest.raises(WorkflowCancelledError) as caught:
        side.run(runtime, workflow, cancellation_token=token, idempotency_key="k")
    runtime.close()
    assert (caught.value.completed_nodes, caught.value.cancelled_at_node) == ([], "n0")


@pytest.mark.parametrize("name", ["local-stock", "local-ours"])
def test_a_soft_limit_holds_and_leaves_what_was_completed(name: str) -> None:
    side, store = SIDES[name], RecordingStore()
    ran: list[str] = []

    def slow(node: Node, **_: Any) -> int:
        import time

        ran.append("n0")
        time.sleep(0.4)
        return 1

    workflow = chain(slow, lambda node, **_: ran.append("n1"))
    runtime = durable(side, store)
    with pytest.raises(SoftTimeLimitExceeded):
        side.run(runtime, workflow, soft_time_limit=0.1, idempotency_key="k")
    side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert ran == ["n0", "n1"]


@sides
def test_other_parameters_or_another_key_are_another_run(side: Side) -> None:
    work, store = Work(), RecordingStore()
    workflow = work.chain("s")
    runtime = durable(side, store)
    for inputs, key in (({"x": 1}, "k"), ({"x": 2}, "k"), ({"x": 1}, "l"), ({"x": 1}, "k")):
        side.run(runtime, workflow, inputs, idempotency_key=key)
    runtime.close()
    assert work.ran == ["n0"] * 3


# --- shape drift ----------------------------------------------------------------------


def drifted(side: Side, workflow: Any) -> RecordingStore:
    """A store with a checkpoint of another shape under this workflow's key."""
    store = RecordingStore()
    tracker = {"completed_nodes": ["a"], "node_outputs": {"a": {"result": "old"}}}
    key = build_checkpoint_key(compute_workflow_fingerprint(workflow), "k", {})
    store.kept[key] = encode_checkpoint_payload(workflow_fingerprint="f" * 64, tracker_state=tracker)
    return store


@sides
def test_a_checkpoint_of_another_shape_is_refused(side: Side) -> None:
    workflow = code_workflow({"a": "result = 'new'"})
    runtime = durable(side, drifted(side, workflow))
    with pytest.raises(WorkflowShapeDriftError, match="Resume refused") as caught:
        side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert caught.value.stored_fingerprint == "f" * 64
    assert caught.value.current_fingerprint == compute_workflow_fingerprint(workflow)


@sides
def test_a_forced_resume_is_logged_and_goes_on(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    workflow = code_workflow({"a": "result = 'new'"})
    runtime = durable(side, drifted(side, workflow))
    with caplog.at_level(logging.WARNING):
        results = side.run(runtime, workflow, idempotency_key="k", force_resume_with_drift=True)
    runtime.close()
    assert results == {"a": {"result": "old"}}
    assert "durable.resume.shape_drift_forced" in [record.getMessage() for record in caplog.records]


@sides
def test_a_workflow_that_is_changed_after_a_run_has_another_fingerprint(side: Side) -> None:
    workflow = code_workflow({"a": "result = 1", "b": "result = 2"})
    store = RecordingStore()
    runtime = durable(side, store)
    side.run(runtime, workflow, idempotency_key="k")
    workflow.connect("a", "b", {"result": "x"})
    side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert len(store.kept) == 2


# --- trackers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local-stock", "local-ours"])
@pytest.mark.parametrize("way", ["in the context", "as an argument"])
@pytest.mark.parametrize("awaits", [False, True])
def test_a_callers_tracker_is_replayed_and_goes_on(name: str, way: str, awaits: bool, caplog: Any) -> None:
    side, work = SIDES[name], Work()
    workflow = work.chain("sas" if awaits else "sss")
    tracker = ExecutionTracker()
    tracker.record_completion("n0", {"result": 10})
    runtime = side.make()
    with caplog.at_level(logging.INFO, logger=runtime.logger.name):
        if way == "in the context":
            results = side.run(runtime, workflow, {"workflow_context": {"execution_tracker": tracker}})
        else:
            results, _ = asyncio.run(runtime.execute_async(workflow, execution_tracker=tracker))
    runtime.close()
    assert work.ran == ["n1", "n2"]
    assert results == {"n0": {"result": 10}, "n1": {"result": 11}, "n2": {"result": 12}}
    assert tracker.completed_node_ids == ["n0", "n1", "n2"]
    assert tracker.serialized_outputs == results
    assert [r.getMessage() for r in caplog.records if "restored" in r.getMessage()] == [
        "Skipping node 'n0' (restored from checkpoint)"
    ]


@pytest.mark.parametrize("name", ["local-stock", "local-ours"])
def test_a_callers_tracker_comes_before_the_checkpoint(name: str) -> None:
    side, work, store = SIDES[name], Work(), RecordingStore()
    workflow = work.chain("ss")
    runtime = durable(side, store)
    side.run(runtime, workflow, idempotency_key="k")
    work.ran.clear()
    asyncio.run(runtime.execute_async(workflow, execution_tracker=ExecutionTracker(), idempotency_key="k"))
    runtime.close()
    assert work.ran == ["n0", "n1"]


@pytest.mark.parametrize("name", ["local-stock", "local-ours"])
def test_a_node_sees_what_has_been_completed(name: str) -> None:
    side, seen = SIDES[name], []

    def look(node: Node, **_: Any) -> int:
        seen.append(list(node.get_workflow_context("execution_tracker").completed_node_ids))
        return 1

    runtime = durable(side, RecordingStore())
    side.run(runtime, chain(look, look, look), idempotency_key="k")
    runtime.close()
    assert seen == [[], ["n0"], ["n0", "n1"]]


def test_a_replayed_node_leaves_no_task_and_no_event_of_its_own(tmp_path: Path) -> None:
    seen = []
    for name in ("local-stock", "local-ours"):
        side, work, store = SIDES[name], Work(), RecordingStore()
        workflow = work.chain("sss")
        runtime = durable(side, store)
        work.fails_at = "n1"
        with pytest.raises(Exception, match="crash"):
            side.run(runtime, workflow, {"workflow_context": {}}, idempotency_key="k")
        manager, context = RecordingTaskManager(FileSystemStorage(str(tmp_path / name))), {}
        parameters = {"workflow_context": context}  # part of the key, and empty as it was then
        runtime.execute(workflow, task_manager=manager, parameters=parameters, idempotency_key="k")
        runtime.close()
        events = context["_audit_trail"]
        trail = [(event["type"], event.get("node_id"), event.get("nodes_executed")) for event in events]
        seen.append((trail, manager.calls))
    assert seen[0] == seen[1]
    assert seen[1][0] == [
        ("WORKFLOW_STARTED", None, None),
        ("NODE_EXECUTED", "n1", None),
        ("NODE_EXECUTED", "n2", None),
        ("WORKFLOW_COMPLETED", None, 3),
    ]


@pytest.mark.parametrize("name", ["async-stock", "async-ours"])
def test_a_given_execution_context_holds_the_durable_side(name: str) -> None:
    side, store, context = SIDES[name], RecordingStore(), ExecutionContext()
    runtime = durable(side, store)
    workflow = chain(one, more)
    _, run_id = asyncio.run(runtime.execute_workflow_async(workflow, {}, context, idempotency_key="k"))
    runtime.close()
    assert context._w1_execution_tracker.completed_node_ids == ["n0", "n1"]
    assert (context._w1_idempotency_key, context._w1_run_id) == ("k", run_id)
    assert [context._w1_checkpoint_key] == list(store.kept)
    assert context._w1_workflow_fingerprint == compute_workflow_fingerprint(workflow)


# --- parallel ---------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("awaits", [False, True], ids=["sync nodes", "mixed nodes"])
def test_independent_nodes_of_a_durable_run_overlap(side: Side, awaits: bool) -> None:
    barrier = threading.Barrier(3)

    def meet(node: Node, **_: Any) -> str:
        barrier.wait(20)
        return threading.current_thread().name

    async def meet_too(node: Node, **_: Any) -> str:
        return await asyncio.to_thread(meet, node)

    third = AwaitingNode(meet_too) if awaits else CallingNode(meet)
    workflow = node_workflow({"a": CallingNode(meet), "b": CallingNode(meet), "c": third})
    store = RecordingStore()
    runtime = durable(side, store)
    results = side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert len({output["result"] for output in results.values()}) == 3
    assert sorted(completed_in(store.blobs[-1])) == ["a", "b", "c"]


@both_kinds
def test_what_ran_beside_a_failure_is_checkpointed_before_the_failure_is_raised(side: Side) -> None:
    ran: list[str] = []
    both_run, failed = threading.Barrier(2), threading.Event()

    def beside(node: Node, **_: Any) -> int:
        ran.append("beside")
        both_run.wait(20)
        failed.wait(20)
        return 1

    def fails(node: Node, **_: Any) -> int:
        ran.append("fails")
        if ran.count("fails") > 1:
            return 2
        both_run.wait(20)
        failed.set()
        raise ValueError("crash")

    def end(node: Node, **_: Any) -> int:
        ran.append("end")
        return 3

    workflow = node_workflow(
        {"a": CallingNode(fails), "b": CallingNode(beside), "c": CallingNode(end)}, [("a", "c"), ("b", "c")]
    )
    store = RecordingStore()
    runtime = durable(side, store)
    with pytest.raises(Exception, match="crash"):
        side.run(runtime, workflow, idempotency_key="k")
    assert completed_in(store.blobs[-1]) == ["b"]
    side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert ran.count("beside") == 1
    assert ran[-2:] == ["fails", "end"]


@both_kinds
@pytest.mark.parametrize("failing", range(0, 60, 7))
def test_no_node_of_a_wide_run_runs_twice(side: Side, failing: int) -> None:
    """Ten layers of six; one node fails once, whatever runs beside it."""
    ran: dict[str, int] = {}
    lock = threading.Lock()
    told: list[str] = []

    def body(name: str, node: Node, **_: Any) -> str:
        with lock:
            ran[name] = ran.get(name, 0) + 1
            first = ran[name] == 1
        if name == f"n{failing}" and first:
            raise ValueError("crash")
        return name

    nodes = {f"n{place}": CallingNode(partial(body, f"n{place}")) for place in range(60)}
    edges = [
        (f"n{6 * layer + left}", f"n{6 * layer + 6 + right}")
        for layer in range(9)
        for left in range(6)
        for right in (left, (left + 1) % 6)
    ]
    workflow = node_workflow(nodes, edges)
    store = RecordingStore()
    runtime = durable(side, store)
    runtime.on_node_complete(lambda event: told.append(event.node_id))
    is_leaf = failing >= 54
    if is_leaf and not side.is_async:
        assert side.run(runtime, workflow, idempotency_key="k")[f"n{failing}"]["failed"]
    else:
        with pytest.raises(Exception, match="crash"):
            side.run(runtime, workflow, idempotency_key="k")
    results = side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert results == {name: {"result": name} for name in workflow.get_execution_order()}
    assert {name: times for name, times in ran.items() if times != 1} == {f"n{failing}": 2}
    assert sorted(told) == sorted(nodes)
    assert sorted(completed_in(store.blobs[-1])) == sorted(nodes)


def test_a_cancelled_task_saves_what_has_run() -> None:
    """Ours alone: nodes that have run when the caller goes away are in the checkpoint."""
    side, store = SIDES["async-ours"], RecordingStore()
    ran: list[str] = []

    async def wait(node: Node, **_: Any) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        runtime = durable(side, store)
        nodes = {"a": CallingNode(lambda node, **_: ran.append("a")), "b": AwaitingNode(wait)}
        workflow = node_workflow(nodes)
        task = asyncio.ensure_future(runtime.execute_workflow_async(workflow, {}, idempotency_key="k"))
        while not ran:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        runtime.close()

    asyncio.run(main())
    assert completed_in(store.blobs[-1]) == ["a"]
