"""A run that is in flight can be spoken to and watched."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.runtime.local import LocalRuntime as StockRuntime
from kailash.tracking import TaskManager, TaskStatus
from kailash.tracking.storage.filesystem import FileSystemStorage

from nexus_core.runtime import LocalRuntime

from .support import AwaitingNode, CallingNode, code_workflow, function_workflow, node_workflow


def until(condition: Callable[[], Any]) -> Any:
    """What the condition returns once it holds."""
    for _ in range(4000):
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come to that")


class Running:
    """A run on a thread of its own."""

    def __init__(self, runtime: Any, workflow: Any, **arguments: Any) -> None:
        self.results: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(runtime, workflow, arguments))
        self._thread.start()

    def _run(self, runtime: Any, workflow: Any, arguments: dict[str, Any]) -> None:
        try:
            self.results, self.run_id = runtime.execute(workflow, **arguments)
        except BaseException as error:
            self.error = error

    def end(self) -> Any:
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.error is None, repr(self.error)
        return self.results


@pytest.mark.parametrize("monitored", [True, False])
def test_a_signal_from_another_thread_reaches_an_awaited_node(monitored: bool) -> None:
    async def wait(node: Node, **_: Any) -> Any:
        return await node.get_workflow_context("signal_channel").wait_for("go", timeout=30)

    workflow = node_workflow({"waiting": AwaitingNode(wait), "other": CallingNode(lambda node, **_: 1)})
    with LocalRuntime(enable_monitoring=monitored, strict=True) as runtime:
        run = Running(runtime, workflow)
        (key,) = until(lambda: list(runtime._workflow_signals))
        until(lambda: runtime.get_signal_channel(key) is not None)
        runtime.signal(key, "go", {"approved": True})
        assert run.end() == {"waiting": {"result": {"approved": True}}, "other": {"result": 1}}
        if monitored:
            assert key == run.run_id
        with pytest.raises(KeyError, match="No active workflow found"):
            runtime.signal(key, "go")
        assert runtime.get_signal_channel(key) is None


def test_a_signal_reaches_only_the_run_that_it_names(runtime: Any) -> None:
    async def wait(node: Node, **_: Any) -> Any:
        return await node.get_workflow_context("signal_channel").wait_for("go", timeout=30)

    with LocalRuntime(strict=True) as runtime:
        runs = [Running(runtime, node_workflow({"waiting": AwaitingNode(wait)})) for _ in range(4)]
        keys = until(lambda: len(runtime._workflow_signals) == 4 and list(runtime._workflow_signals))
        for number, key in enumerate(keys):
            runtime.signal(key, "go", number)
        heard = {run.end()["waiting"]["result"]: run.run_id for run in runs}
        assert [heard[number] for number in range(4)] == keys


def test_a_query_is_answered_by_a_handler_of_a_node(runtime: Any) -> None:
    release = threading.Event()

    def answers(node: Node, **_: Any) -> str:
        node.get_workflow_context("query_registry").register("progress", lambda **given: {"done": 3, **given})
        assert release.wait(30)
        return "answered"

    workflow = node_workflow({"n": CallingNode(answers), "m": CallingNode(lambda node, **_: time.sleep(0.01))})
    run = Running(runtime, workflow)
    (key,) = until(lambda: list(runtime._workflow_signals))

    def ask() -> Any:
        try:
            return asyncio.run(runtime.query(key, "progress", of="n"))
        except KeyError:  # not registered yet
            return None

    assert until(ask) == {"done": 3, "of": "n"}
    release.set()
    assert run.end()["n"] == {"result": "answered"}


def test_a_callers_context_shows_the_runs_own_channel(runtime: Any) -> None:
    context: dict[str, Any] = {}
    seen: list[Any] = []
    workflow = node_workflow(
        {"n": CallingNode(lambda node, **_: seen.append(node.get_workflow_context("signal_channel")))}
    )
    runtime.execute(workflow, parameters={"workflow_context": context})
    assert seen == [context["signal_channel"]]


def test_a_task_manager_sees_a_node_as_running_while_it_runs(tmp_path: Path) -> None:
    release, begun = threading.Event(), threading.Barrier(3)

    def wait(name: str) -> Callable[[], str]:
        def node() -> str:
            begun.wait(30)
            assert release.wait(30)
            return name

        return node

    workflow = function_workflow({"a": wait("a"), "b": wait("b"), "end": lambda: 1}, [("a", "end"), ("b", "end")])
    manager = TaskManager(FileSystemStorage(str(tmp_path)))
    with LocalRuntime(strict=True) as runtime:
        run = Running(runtime, workflow, task_manager=manager)
        begun.wait(30)
        (record,) = manager.list_runs()
        live = {task.node_id: task.status for task in manager.get_run_tasks(record.run_id)}
        assert live == {"a": TaskStatus.RUNNING, "b": TaskStatus.RUNNING}
        assert record.status == "running"
        release.set()
        run.end()
        assert run.run_id == record.run_id
    ended = {task.node_id: task.status for task in manager.get_run_tasks(record.run_id)}
    assert ended == dict.fromkeys(("a", "b", "end"), TaskStatus.COMPLETED)
    assert manager.get_run(record.run_id).status == "completed"


def test_search_attributes_are_stored_with_a_task_manager_and_without(tmp_path: Path) -> None:
    stored = []
    for kind in (StockRuntime, LocalRuntime):
        with kind() as runtime:
            _, run_id = runtime.execute(
                code_workflow({"n": "result = 1"}), search_attributes={"customer": f"{kind.__module__}", "amount": 3}
            )
        import sqlite3

        connection = sqlite3.connect(Path.home() / ".kailash" / "tracking" / "tracking.db")
        try:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            table = next(name for name in tables if "search_attributes" in name)
            count = connection.execute(f"SELECT COUNT(*) FROM {table} WHERE run_id = ?", (run_id,)).fetchone()
        finally:
            connection.close()
        stored.append(count)
    assert stored[0] == stored[1]


def test_the_audit_trail_tells_of_every_node_and_failure(runtime: Any) -> None:
    context: dict[str, Any] = {}
    code = "import time\ntime.sleep(0.01)\nresult = 1"
    workflow = code_workflow(
        {"a": code, "b": code, "bad": "1 / 0", "end": "result = a + b"}, [("a", "end"), ("b", "end")]
    )
    runtime.execute(workflow, parameters={"workflow_context": context})
    trail = context["_audit_trail"]
    assert (trail[0]["type"], trail[-1]["type"]) == ("WORKFLOW_STARTED", "WORKFLOW_FAILED")
    assert {event["node_id"]: event["type"] for event in trail[1:-1]} == {
        "a": "NODE_EXECUTED",
        "b": "NODE_EXECUTED",
        "bad": "NODE_FAILED",
        "end": "NODE_EXECUTED",
    }
    executed = {event["node_id"]: event for event in trail if event["type"] == "NODE_EXECUTED"}
    assert executed["end"]["inputs"] == {"a": 1, "b": 1}
    assert executed["end"]["outputs"] == {"result": 2}
    assert trail[-1]["error"] == "Failed nodes: ['bad']"


def test_the_failed_nodes_of_an_audit_trail_are_in_topological_order(runtime: Any) -> None:
    for _ in range(3):
        context: dict[str, Any] = {}
        codes = {f"n{i}": f"import time\ntime.sleep({0.04 - 0.01 * i})\n1 / 0" for i in range(4)}
        workflow = code_workflow(codes)
        runtime.execute(workflow, parameters={"workflow_context": context})
        assert context["_audit_trail"][-1]["error"] == f"Failed nodes: {list(workflow.get_execution_order())}"


def test_the_callers_tracker_holds_what_was_completed(runtime: Any) -> None:
    context: dict[str, Any] = {}
    looked: list[Any] = []

    def look(node: Node, **_: Any) -> None:
        tracker = context["execution_tracker"]
        looked.append((tracker.is_completed("first"), tracker.is_completed("look"), tracker.get_output("first")))

    workflow = node_workflow(
        {"first": CallingNode(lambda node, **_: 1), "look": CallingNode(look)}, [("first", "look")]
    )
    runtime.execute(workflow, parameters={"workflow_context": context})
    assert looked == [(True, False, {"result": 1})]
    assert context["execution_tracker"].is_completed("look")


def test_information_is_logged_when_somebody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    workflow = code_workflow({"a": "result = 1", "b": "result = a"}, [("a", "b")])
    messages = []
    for kind in (StockRuntime, LocalRuntime):
        caplog.clear()
        with caplog.at_level(logging.INFO), kind(enable_monitoring=False) as runtime:
            runtime.execute(workflow)
            lines = [record.getMessage().partition(" in 0.")[0] for record in caplog.records]
        messages.append([line for line in lines if "node" in line.lower()])
    assert messages[0] == messages[1]
    assert "Executing node: a" in messages[1]


def test_validation_metrics_count_what_stock_counts(runtime: Any) -> None:
    workflow = code_workflow({"a": "result = 1", "b": "result = a"}, [("a", "b")])
    summaries = []
    for kind in (StockRuntime, LocalRuntime):
        with kind(enable_monitoring=False) as each:
            each.reset_validation_metrics()
            for _ in range(3):
                each.execute(workflow)
            summary = each.get_validation_metrics()["performance_summary"]
            summaries.append({key: summary[key] for key in summary if "time" not in key and "ms" not in key})
            each.reset_validation_metrics()
    for summary in summaries:
        summary.pop("performance_by_node_type", None)
    assert summaries[0] == summaries[1]
