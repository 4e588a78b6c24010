"""Workflows with cycles: what a comparison with stock's results alone does not show."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("kailash")

from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.code.python import PythonCodeNode
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.tracking import TaskManager
from kailash.tracking.storage.database import SQLiteStorage
from kailash.tracking.storage.deferred import DeferredStorageBackend
from kailash.workflow.graph import Workflow

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

RUNTIMES = [StockLocalRuntime, LocalRuntime]
#: What differs between any two runs, and what stock samples of the process meanwhile.
CLOCKS = {
    "average_iteration_time",
    "completed_at",
    "created_at",
    "ended_at",
    "elapsed_time",
    "execution_time",
    "first_iteration",
    "last_iteration",
    "metrics",
    "run_id",
    "start_time",
    "started_at",
    "task_id",
}


def counting(limit: int = 3, code: str = "result = (x if x else 0) + 1") -> Workflow:
    workflow = Workflow("counting", "counting")
    for name, text in {"start": "result = 0", "a": code, "b": "result = {'value': x}", "end": "result = x"}.items():
        workflow.add_node(name, PythonCodeNode(name=name, code=text))
    workflow.connect("start", "a", {"result": "x"})
    workflow.connect("a", "b", {"result": "x"})
    workflow.connect("b", "end", {"result.value": "x"})
    back = workflow.create_cycle("loop").connect("b", "a", mapping={"result.value": "x"})
    back.max_iterations(10).converge_when(f"value >= {limit}").build()
    return workflow


def without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clocks(item) for key, item in value.items() if key not in CLOCKS}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def told(runtime_class: type[Any], workflow: Workflow, **options: Any) -> list[Any]:
    """What a task manager has of a run, in order, with the ids of parent tasks replaced by names."""
    manager = TaskManager(storage_backend=DeferredStorageBackend())
    with runtime_class(enable_monitoring=False, **options) as runtime:
        try:
            runtime.execute(workflow, task_manager=manager)
        except Exception as error:
            assert "Cycle execution failed" in str(error)
    tasks = list(manager._tasks.values())
    names = {task.task_id: task.node_id for task in tasks}
    found = []
    for task in tasks:
        entry = without_clocks(task.to_dict())
        parent = entry["metadata"].get("parent_task")
        entry["metadata"]["parent_task"] = names.get(parent)
        found.append(entry)
    return found


@pytest.mark.parametrize("code", ["result = (x if x else 0) + 1", "result = 1 / (2 - x)"], ids=["fine", "failing"])
def test_a_task_manager_is_told_what_stock_tells_it(code: str) -> None:
    stock, ours = (told(kind, counting(code=code)) for kind in RUNTIMES)
    assert ours == stock
    assert any(task["node_id"] == "a_cycle_loop_iteration_1" for task in ours)


@pytest.mark.parametrize("code", ["result = (x if x else 0) + 1", "result = 1 / (2 - x)"], ids=["fine", "failing"])
def test_run_history_has_the_rows_that_stock_writes(code: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for kind in RUNTIMES:
        home = tmp_path / kind.__module__
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))
        run_id = None
        with kind() as runtime:
            try:
                _, run_id = runtime.execute(counting(code=code))
            except Exception as error:
                assert "Cycle execution failed" in str(error)
        storage = SQLiteStorage(str(home / ".kailash" / "tracking" / "tracking.db"))
        try:
            runs = storage.list_runs()
            assert [run.run_id for run in runs] == [run_id or runs[0].run_id]
            names = {task.task_id: task.node_id for task in storage.list_tasks(runs[0].run_id)}
            columns = "task_id, node_id, node_type, status, result, error, metadata, ended_at IS NULL"
            found = storage.conn.execute(f"SELECT {columns} FROM tasks ORDER BY rowid").fetchall()
        finally:
            storage.close()
        entries = []
        for _, node_id, node_type, status, result, error, metadata, unfinished in found:
            about = without_clocks(json.loads(metadata))
            if "parent_task" in about:
                about["parent_task"] = names[about["parent_task"]]
            entries.append((node_id, node_type, status, result, error, about, unfinished))
        rows.append((runs[0].status, entries))
    assert rows[1] == rows[0]


def test_runs_at_the_same_time_do_not_meet() -> None:
    workflow = counting(limit=9)
    with LocalRuntime(enable_monitoring=False) as runtime, ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(runtime.execute, workflow) for _ in range(64)]
        found = [run.result()[0] for run in runs]
    assert all(results["end"] == {"result": 9} for results in found)
    assert runtime.cyclic_executor.safety_manager.active_cycles == {}


def test_independent_nodes_of_an_iteration_run_together() -> None:
    together = threading.Barrier(2)

    def meet(x: int = 0) -> int:
        together.wait(20)
        return x + 1

    workflow = Workflow("wide", "wide")
    workflow.add_node("start", PythonCodeNode(name="start", code="result = 0"))
    for name in ("left", "right"):
        workflow.add_node(name, PythonCodeNode.from_function(meet, name=name))
        workflow.connect("start", name, {"result": "x"})
    workflow.add_node("join", PythonCodeNode(name="join", code="result = left + right"))
    for name in ("left", "right"):
        workflow.connect(name, "join", {"result": name})
        back = workflow.create_cycle("loop").connect("join", name, mapping={"result": "x"})
        back.max_iterations(3).build()
    with LocalRuntime(enable_monitoring=False, max_concurrency=2) as runtime:
        results, _ = runtime.execute(workflow)
    assert results["join"] == {"result": 14}


def test_a_plan_is_read_anew_when_cycles_are_added() -> None:
    found = []
    for kind in RUNTIMES:
        workflow = counting(limit=3)
        with kind(enable_monitoring=False) as runtime:
            first = runtime.execute(workflow)[0]
            workflow.create_cycle("other").connect("b", "b", mapping={"result.value": "x"}).max_iterations(2).build()
            found.append((first, runtime.execute(workflow)[0]))
    assert found[0] == found[1]
    assert found[1][0] != found[1][1]


def test_a_replaced_method_of_the_executor_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRuntime(enable_monitoring=False) as runtime:
        assert runtime.explain(counting()).native
        executor = runtime.cyclic_executor
        called = []
        original = executor._execute_node

        def spy(*args: Any, **kwargs: Any) -> Any:
            called.append(1)
            return original(*args, **kwargs)

        monkeypatch.setattr(executor, "_execute_node", spy)
        assert "executor of cycles" in runtime.explain(counting()).reasons[0]
        assert runtime.execute(counting())[0]["end"] == {"result": 3}
        assert called


def test_a_replaced_way_to_execute_nodes_is_used() -> None:
    class Counting(LocalRuntime):
        calls = 0

        async def execute_node_with_enterprise_features(self, node: Any, *args: Any, **kwargs: Any) -> Any:
            Counting.calls += 1
            return await super().execute_node_with_enterprise_features(node, *args, **kwargs)

    with Counting(enable_monitoring=False) as runtime:
        assert runtime.execute(counting())[0]["end"] == {"result": 3}
        assert Counting.calls == 8


class Refuses(Node):
    """A node with an ``execute`` of its own, which fails."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {}

    def run(self, **inputs: Any) -> dict[str, Any]:
        raise AssertionError("execute comes first")

    def execute(self, **inputs: Any) -> dict[str, Any]:
        raise RuntimeError("not today")


def test_a_runtime_error_of_a_node_is_reported_as_it_is() -> None:
    workflow = Workflow("refusing", "refusing")
    workflow.add_node("a", Refuses())
    workflow.create_cycle("loop").connect("a", "a", mapping={"result": "x"}).max_iterations(2).build()
    with (
        LocalRuntime(enable_monitoring=False) as runtime,
        pytest.raises(RuntimeExecutionError, match="Cycle execution failed: Execution failed: not today"),
    ):
        runtime.execute(workflow)


def test_the_async_runtime_makes_one_pass_and_says_so() -> None:
    with AsyncLocalRuntime() as runtime:
        workflow = counting(code="result = 1")
        explanation = runtime.explain(workflow)
        assert explanation.native
        assert any("one pass" in note for note in explanation.notes)
        assert runtime.execute(workflow)[0]["b"] == {"result": {"value": {"result": 1}}}


def test_completion_hooks_hear_of_cycles_what_they_hear_on_stock() -> None:
    heard: dict[type[Any], list[str]] = {}
    for kind in RUNTIMES:
        events = heard[kind] = []
        with kind(enable_monitoring=False) as runtime:
            runtime.on_node_complete(lambda event, events=events: events.append(event.node_id))
            assert runtime.execute(counting(), idempotency_key="key")[0]["end"] == {"result": 3}
    assert heard[LocalRuntime] == heard[StockLocalRuntime] == []


def test_inside_an_event_loop_too() -> None:
    import asyncio

    async def run() -> Any:
        with LocalRuntime(enable_monitoring=False) as runtime:
            return runtime.execute(counting())

    assert asyncio.run(run())[0]["end"] == {"result": 3}
