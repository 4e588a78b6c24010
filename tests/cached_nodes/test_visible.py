"""Who looks sees which nodes were taken from the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.code.python import PythonCodeNode
from kailash.runtime.cancellation import CancellationToken
from kailash.tracking import TaskManager
from kailash.tracking.storage.database import SQLiteStorage
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import LocalRuntime
from nexus_core.runtime.events import NodeFinished

from .support import TRACE, AsyncTraced, Traced, count, node_workflow, on_loop, runs_on


def two_nodes(trace: Path) -> Any:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": TRACE + "result = [1, 2]", "trace": str(trace)})
    builder.add_node("PythonCodeNode", "b", {"code": "result = len(rows)"})
    builder.add_connection("a", "result", "b", "rows")
    return builder.build()


def test_the_history_has_a_row_that_says_it_was_kept(tmp_path: Path) -> None:
    cache, workflow = ResultCache(nodes={"a": True}), two_nodes(tmp_path / "trace")
    with LocalRuntime(cache=cache) as runtime:
        runs = [runtime.execute(workflow)[1] for _ in range(2)]
    storage = SQLiteStorage()
    rows = {}
    for number, run_id in enumerate(runs):
        for task in storage.list_tasks(str(run_id)):
            rows[number, task.node_id] = task
    assert all(str(task.status).endswith(("completed", "COMPLETED")) for task in rows.values())
    assert rows[1, "a"].result == rows[0, "a"].result == {"result": [1, 2]}
    marks = {place: (task.metadata or {}).get("cached") for place, task in rows.items()}
    assert marks == {(0, "a"): None, (0, "b"): None, (1, "a"): True, (1, "b"): None}
    assert rows[1, "a"].metadata["execution_time"] >= 0


@pytest.mark.parametrize("make", [Traced, AsyncTraced])
def test_the_events_of_a_run_say_it(make: Any, tmp_path: Path) -> None:
    cache, workflow = ResultCache(nodes={"a": True}), node_workflow(make(trace=str(tmp_path / "trace"), answer=3))

    async def body(runtime: Any) -> list[bool]:
        seen = []
        for _ in range(2):
            events = [event async for event in runtime.stream(workflow)]
            [finished] = [event for event in events if isinstance(event, NodeFinished)]
            assert finished.output["answer"] == 3
            seen.append(finished.cached)
        return seen

    assert on_loop(body, cache) == [False, True]
    assert count(tmp_path / "trace") == 1


def test_a_task_manager_and_the_audit_trail_are_told(tmp_path: Path) -> None:
    cache, workflow = ResultCache(nodes={"a": True}), two_nodes(tmp_path / "trace")
    marks = []
    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
        for _ in range(2):
            manager = TaskManager()
            context: dict[str, Any] = {}
            _, run_id = runtime.execute(workflow, manager, {"workflow_context": context})
            tasks = {task.node_id: task for task in manager.get_run_tasks(run_id)}
            events = {e["node_id"]: e for e in context["_audit_trail"] if e["type"] == "NODE_EXECUTED"}
            marks.append(((tasks["a"].metadata or {}).get("cached"), events["a"].get("cached")))
            assert (tasks["b"].metadata or {}).get("cached") is None
    assert marks == [(None, None), (True, True)]


def test_explain_says_which_nodes_are_cached_and_why_others_are_not(tmp_path: Path) -> None:
    workflow = two_nodes(tmp_path / "trace")
    cache = ResultCache(nodes={"a": True})
    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
        assert "cached nodes: a" in runtime.explain(workflow).notes
    with LocalRuntime(
        enable_monitoring=False, cache=cache, enable_resource_limits=True, resource_limits={"max_memory_mb": 9000}
    ) as runtime:
        explained = runtime.explain(workflow)
        if not explained.native:
            assert "nodes are not cached in runs that are delegated to Kailash" in explained.notes
    with LocalRuntime(enable_monitoring=False) as runtime:
        assert not [note for note in runtime.explain(workflow).notes if "node" in note]

    async def body(runtime: Any) -> Any:
        return runtime.explain(workflow).notes

    assert "cached nodes: a" in on_loop(body, cache)


def test_a_trace_shows_the_node_that_did_not_run(tmp_path: Path) -> None:
    cache, workflow = ResultCache(nodes={"a": True}), two_nodes(tmp_path / "trace")
    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
        runtime.enable_trace()
        for _ in range(2):
            runtime.execute(workflow)
            assert [entry[0] for entry in runtime.last_trace()] == ["a", "b"]
    assert count(tmp_path / "trace") == 1


def test_validations_are_counted_as_they_are_without_a_cache(tmp_path: Path) -> None:
    from kailash.runtime.validation.metrics import get_metrics_collector, reset_global_metrics

    workflow = two_nodes(tmp_path / "trace")
    counts = []
    for cache in (None, ResultCache(nodes={"a": True, "b": True})):
        reset_global_metrics()
        with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
            for _ in range(3):
                runtime.execute(workflow)
        counts.append(get_metrics_collector().get_performance_summary()["total_validations"])
    assert counts[0] == counts[1] > 0


def test_branches_that_are_not_taken_stay_left_out(tmp_path: Path) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = {'n': n}"})
    builder.add_node("SwitchNode", "s", {"condition_field": "n", "operator": ">", "value": 5})
    for name in ("yes", "no"):
        trace = tmp_path / name
        builder.add_node("PythonCodeNode", name, {"code": TRACE + f"result = {name!r}", "trace": str(trace)})
    builder.add_connection("a", "result", "s", "input_data")
    builder.add_connection("s", "true_output", "yes", "given")
    builder.add_connection("s", "false_output", "no", "given")
    workflow = builder.build()
    for options in ({}, {"conditional_execution": "skip_branches"}):
        cache = ResultCache(nodes=dict.fromkeys(("a", "s", "yes", "no"), True))
        cached, plain = (runs_on("local", each, **options) for each in (cache, None))
        for n in (1, 9, 1, 9):
            assert cached(workflow, n=n) == plain(workflow, n=n)
        assert cache.node_runs.as_dict()["hits"] >= 4
    assert count(tmp_path / "yes") == count(tmp_path / "no")


def test_a_kept_output_is_checkpointed_as_any_other(tmp_path: Path) -> None:
    from kailash.runtime.execution_tracker import ExecutionTracker

    cache, workflow = ResultCache(nodes={"a": True}), two_nodes(tmp_path / "trace")
    for _ in range(2):
        tracker = ExecutionTracker()
        with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
            runtime.execute(workflow, parameters={"workflow_context": {"execution_tracker": tracker}})
        assert tracker.is_completed("a")
        assert tracker.get_output("a") == {"result": [1, 2]}
    assert count(tmp_path / "trace") == 1


def test_a_run_that_is_cancelled_before_it_begins_takes_nothing(tmp_path: Path) -> None:
    cache, workflow = ResultCache(nodes={"a": True}), two_nodes(tmp_path / "trace")
    runs_on("local", cache)(workflow)
    token = CancellationToken()
    token.cancel("no")
    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime, pytest.raises(Exception, match="cancelled"):
        runtime.execute(workflow, cancellation_token=token)
    assert cache.node_runs.as_dict()["hits"] == 0


def test_outputs_are_the_same_down_to_types_and_order(tmp_path: Path) -> None:
    def makes(x: int) -> dict[str, Any]:
        return {"z": (1, [x]), "a": {"n": None, "f": 1.0, "t": True}, "big": 2**80}

    workflow = node_workflow(PythonCodeNode.from_function(makes, name="a"))
    cache = ResultCache(nodes={"a": True})
    plain = runs_on("local", None)(workflow, x=1)
    for _ in range(3):
        assert repr(runs_on("local", cache)(workflow, x=1)) == repr(plain)
    assert json.dumps(plain) == json.dumps(runs_on("async", cache)(workflow, x=1))
