"""Subscribers are told of every node that has run, once, before anybody builds on it."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncLocalRuntime
from kailash.runtime.durable import NodeCompletionEvent
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import code_workflow

from .support import SIDES, RecordingStore, Side, both_kinds, chain, events_of, more, one, sides


@sides
def test_an_event_says_what_ran_and_when(side: Side) -> None:
    runtime = side.make()
    events = events_of(runtime)
    workflow = code_workflow({"a": "result = {'v': 1}"})
    side.run(runtime, workflow)
    runtime.close()
    (event,) = events
    assert (event.node_id, event.node_type, dict(event.outputs)) == ("a", "PythonCodeNode", {"result": {"v": 1}})
    assert event.workflow_id == workflow.workflow_id
    assert len(event.workflow_fingerprint) == 64
    assert (event.error, event.idempotency_key, event.tenant_id, event.metadata) == (None, None, None, {})
    assert event.started_at.tzinfo is not None
    assert event.started_at <= event.ended_at
    assert event.duration_ms == int((event.ended_at - event.started_at).total_seconds() * 1000)


@sides
def test_an_event_names_the_run_that_the_caller_is_told_of(side: Side) -> None:
    options = {} if side.is_async else {"enable_monitoring": True}
    runtime = side.make(**options)
    events = events_of(runtime)
    workflow = code_workflow({"a": "result = 1", "b": "result = 2"})
    if side.is_async:
        _, run_id = asyncio.run(runtime.execute_workflow_async(workflow, {}))
    else:
        _, run_id = runtime.execute(workflow)
    runtime.close()
    assert run_id
    assert {event.run_id for event in events} == {run_id}


@sides
def test_a_subscriber_that_awaits_is_waited_for_before_the_next_node(side: Side) -> None:
    happened: list[str] = []

    async def slow(event: NodeCompletionEvent) -> None:
        happened.append(f"hears of {event.node_id}")
        await asyncio.sleep(0.05)
        happened.append(f"heard of {event.node_id}")

    runtime = side.make()
    runtime.on_node_complete(slow)
    side.run(runtime, chain(lambda node, **_: happened.append("n0 runs"), lambda node, **_: happened.append("n1 runs")))
    runtime.close()
    heard = [f"{what} {node}" for node in ("n0", "n1") for what in ("hears of", "heard of")]
    assert happened == ["n0 runs", *heard[:2], "n1 runs", *heard[2:]]


@sides
def test_a_subscriber_that_raises_is_logged_and_stops_nobody(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: NodeCompletionEvent) -> None:
        raise RuntimeError("no room")

    runtime = side.make()
    runtime.on_node_complete(broken)
    events = events_of(runtime)
    with caplog.at_level(logging.WARNING):
        results = side.run(runtime, chain(one, more))
    runtime.close()
    assert results["n1"] == {"result": 2}
    assert [event.node_id for event in events] == ["n0", "n1"]
    texts = [record.getMessage() for record in caplog.records if record.name == "kailash.runtime.durable"]
    assert texts == ["durable.on_node_complete.subscriber_failed", "durable.on_node_complete.partial_dispatch"] * 2


@sides
def test_who_unsubscribes_while_the_run_lasts_hears_nomore(side: Side) -> None:
    runtime = side.make()
    heard: list[str] = []

    def once(event: NodeCompletionEvent) -> None:
        heard.append(event.node_id)
        leave()

    leave = runtime.on_node_complete(once)
    side.run(runtime, chain(one, more, more))
    runtime.close()
    assert heard == ["n0"]


@sides
def test_a_node_that_fails_or_is_skipped_completes_nothing(side: Side) -> None:
    def fails(node: Node, **_: Any) -> None:
        raise ValueError("broken")

    runtime = side.make()
    events = events_of(runtime)
    with pytest.raises(Exception, match="broken"):
        side.run(runtime, chain(one, fails, more))
    runtime.close()
    assert [event.node_id for event in events] == ["n0"]


def test_a_node_that_reports_a_failure_is_told_and_saved_before_it_fails() -> None:
    seen = []
    for name in ("local-stock", "local-ours"):
        side, store = SIDES[name], RecordingStore()
        runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
        events = events_of(runtime)
        workflow = code_workflow({"a": "success = False\nerror = 'no'", "b": "result = a"}, [("a", "b")])
        with pytest.raises(Exception, match="Content-aware failure in node 'a'") as caught:
            side.run(runtime, workflow, idempotency_key="k")
        runtime.close()
        seen.append((str(caught.value), [(event.node_id, dict(event.outputs)) for event in events], store.saves))
    assert seen[0] == seen[1]
    assert [node_id for node_id, _ in seen[1][1]] == ["a"]


@sides
def test_a_history_store_is_told_of_every_node(side: Side) -> None:
    class History:
        def __init__(self) -> None:
            self.heard: list[str] = []

        async def record_event(self, event: NodeCompletionEvent) -> None:
            await asyncio.sleep(0)
            self.heard.append(event.node_id)

    history = History()
    runtime = side.make(history_store=history)
    side.run(runtime, chain(one, more, more))
    runtime.close()
    assert history.heard == ["n0", "n1", "n2"]


@both_kinds
def test_events_of_parallel_nodes_come_once_each_on_the_loops_thread(side: Side) -> None:
    runtime = side.make()
    heard: list[tuple[str, int]] = []
    runtime.on_node_complete(lambda event: heard.append((event.node_id, threading.get_ident())))
    codes = {f"n{place}": f"result = {place}" for place in range(50)}
    workflow = code_workflow(codes)
    results = side.run(runtime, workflow)
    runtime.close()
    assert sorted(node_id for node_id, _ in heard) == sorted(codes)
    assert {thread for _, thread in heard} == {threading.get_ident()}
    assert list(results) == list(workflow.get_execution_order())


@both_kinds
def test_hooks_of_independent_nodes_overlap(side: Side) -> None:
    """As on Kailash's ``AsyncLocalRuntime``: one that waits holds up no other node's."""
    runtime = side.make()
    waiting = {"count": 0}

    async def meet(event: NodeCompletionEvent) -> None:
        waiting["count"] += 1
        for _ in range(2000):
            if waiting["count"] == 2:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("the other node's hook never began")

    failures: list[BaseException] = []

    async def kept(event: NodeCompletionEvent) -> None:
        try:
            await meet(event)
        except AssertionError as error:
            failures.append(error)

    runtime.on_node_complete(kept)
    side.run(runtime, code_workflow({"a": "result = 1", "b": "result = 2"}))
    runtime.close()
    assert failures == []


@sides
def test_classified_fields_are_redacted_in_events_and_checkpoints(side: Side) -> None:
    class Policy:
        def get_classification(self, node_id: str, path: str) -> str | None:
            return {"result.secret": "REDACT", "result.id": "HASH_PK"}.get(path)

    store = RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    runtime._classification_policy = Policy()
    events = events_of(runtime)
    workflow = code_workflow({"a": "result = {'secret': 's3cret', 'id': 7, 'open': 'yes'}"})
    results = side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert results["a"]["result"]["secret"] == "s3cret"
    told = events[0].outputs["result"]
    assert (told["secret"], told["open"], told["id"][:3]) == ("[REDACTED]", "yes", "pk:")
    assert events[0].metadata["classification_summary"]["classified_field_count"] == 2
    assert b"s3cret" not in store.blobs[-1]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["local", "async"])
def test_subscribers_hear_of_pruned_runs_what_they_hear_on_stock(asynchronous: bool) -> None:
    def workflow() -> Workflow:
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "source", {"code": "result = {'key': 7}"})
        builder.add_node("SwitchNode", "switch", {"condition_field": "key", "operator": ">", "value": 5})
        builder.add_connection("source", "result", "switch", "input_data")
        for port in ("true", "false"):
            builder.add_node("PythonCodeNode", port, {"code": "result = data"})
            builder.add_connection("switch", f"{port}_output", port, "data")
        return builder.build()

    heard: list[tuple[list[str], list[str]]] = []
    kinds = (StockAsyncLocalRuntime, AsyncLocalRuntime) if asynchronous else (StockLocalRuntime, LocalRuntime)
    for kind in kinds:
        events: list[str] = []
        with kind(conditional_execution="skip_branches") as runtime:
            runtime.on_node_complete(lambda event, events=events: events.append(event.node_id))
            results, _ = runtime.execute(workflow())
        heard.append((sorted(results), events))
    assert heard[0] == heard[1]
    assert "false" not in heard[1][0]
