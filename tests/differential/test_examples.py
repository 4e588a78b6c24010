"""Readable examples of what a drop-in keeps, each asserted of stock and of ours.

Every test runs once with stock's class and once with the subject, with the same
assertions: they say what the behaviour is, and stock shows that it is so.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import re
import threading
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kailash")

from kailash.runtime.async_local import AsyncLocalRuntime
from kailash.runtime.cancellation import CancellationToken
from kailash.runtime.progress import report_progress
from kailash.sdk_exceptions import (
    HardTimeLimitExceeded,
    RuntimeExecutionError,
    SoftTimeLimitExceeded,
    WorkflowCancelledError,
    WorkflowExecutionError,
    WorkflowValidationError,
)
from kailash.tracking import TaskManager
from kailash.tracking.storage.filesystem import FileSystemStorage
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from .example_workflows import RecordingTaskManager, built, hooked
from .subject import StockRuntime, load_subject

pytestmark = pytest.mark.timeout(120)
Runtime = type[Any]


@pytest.fixture(params=["stock", "subject"])
def runtime_class(request: pytest.FixtureRequest) -> Runtime:
    return StockRuntime if request.param == "stock" else load_subject()


# --- results ---


def test_a_run_returns_a_real_tuple_of_results_and_a_uuid4(runtime_class: Runtime) -> None:
    with runtime_class() as runtime:
        answer = runtime.execute(built("result = {'v': 1}", "result = data['v'] + 1"))
    assert type(answer) is tuple
    results, run_id = answer
    assert type(results) is dict
    assert list(results.items()) == [("n0", {"result": {"v": 1}}), ("n1", {"result": 2})]
    assert uuid.UUID(run_id).version == 4


def test_run_id_is_none_without_monitoring(runtime_class: Runtime) -> None:
    with runtime_class(enable_monitoring=False) as runtime:
        assert runtime.execute(built("result = 1")) == ({"n0": {"result": 1}}, None)


def test_a_failed_leaf_is_recorded_not_raised(runtime_class: Runtime) -> None:
    with runtime_class(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(built("result = 1", "1 / 0"))
    record = results["n1"]
    assert list(record) == ["error", "error_type", "failed", "_exception"]
    assert record["failed"] is True
    assert record["error_type"] == "NodeExecutionError"
    assert record["error"] == str(record["_exception"])
    assert isinstance(record["_exception"].__context__, ZeroDivisionError)


def test_a_failure_with_dependents_raises_stocks_chain(runtime_class: Runtime) -> None:
    with runtime_class(enable_monitoring=False) as runtime, pytest.raises(RuntimeExecutionError) as caught:
        runtime.execute(built("raise ValueError('no')", "result = data"))
    assert str(caught.value).startswith(
        "Unified enterprise workflow execution failed: WorkflowExecutionError: "
        "Node 'n0' failed: Code execution failed: no\n"
    )
    assert type(caught.value.__cause__) is WorkflowExecutionError
    assert type(caught.value.__cause__.__cause__).__name__ == "NodeExecutionError"


def test_a_failed_run_leaves_the_runtime_usable(runtime_class: Runtime) -> None:
    with runtime_class() as runtime:
        for _ in range(2):
            with pytest.raises(RuntimeExecutionError):
                runtime.execute(built("raise ValueError('no')", "result = data"))
            assert runtime.execute(built("result = 1"))[0] == {"n0": {"result": 1}}


def test_an_edge_from_result_delivers_the_value_under_that_key(runtime_class: Runtime) -> None:
    with runtime_class(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(built("result = {'v': 1}", "result = sorted(data)"))
    assert results["n1"] == {"result": ["v"]}


def test_a_missing_dotted_key_leaves_the_input_out(runtime_class: Runtime) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = {'v': 1}"})
    builder.add_node("PythonCodeNode", "b", {"code": "result = data"})
    builder.add_connection("a", "result.absent", "b", "data")
    with runtime_class(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(builder.build())
    assert "name 'data' is not defined" in results["b"]["error"]


@pytest.mark.parametrize(("mode", "skipped"), [("route_data", {"no": None}), ("skip_branches", {})])
def test_a_skipped_branch_is_none_or_absent_by_mode(
    runtime_class: Runtime, mode: str, skipped: dict[str, None]
) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = {'v': 5}"})
    builder.add_node("SwitchNode", "s", {"condition_field": "v", "operator": ">", "value": 3})
    for name, output in (("yes", "true_output"), ("no", "false_output")):
        builder.add_node("PythonCodeNode", name, {"code": "result = data"})
        builder.add_connection("s", output, name, "data")
    builder.add_connection("a", "result", "s", "input_data")
    with runtime_class(enable_monitoring=False, conditional_execution=mode) as runtime:
        results, _ = runtime.execute(builder.build())
    assert results["yes"] == {"result": {"v": 5}}
    assert {key: value for key, value in results.items() if key == "no"} == skipped


def test_success_false_in_an_output_is_a_failure_unless_switched_off(runtime_class: Runtime) -> None:
    workflow = built("success = False\nerror = 'said so'")
    with runtime_class(enable_monitoring=False) as runtime, pytest.raises(RuntimeExecutionError, match="said so"):
        runtime.execute(workflow)
    with runtime_class(enable_monitoring=False, content_aware_success_detection=False) as runtime:
        assert runtime.execute(workflow)[0]["n0"]["error"] == "said so"


def test_code_without_result_returns_its_inputs_and_configuration_too(runtime_class: Runtime) -> None:
    with runtime_class(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(built("out = 1"), parameters={"n0": {"x": 2}})
    output = results["n0"]
    assert (output["x"], output["out"], output["code"], output["sandbox_mode"]) == (2, 1, "out = 1", "restricted")
    assert list(output)[-2:] == ["x", "out"]


def test_a_source_keeps_its_dict_when_the_target_changes_it(runtime_class: Runtime) -> None:
    with runtime_class(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(built("result = {'v': [1]}", "data['v'].append(2)\nresult = data"))
    assert results == {"n0": {"result": {"v": [1]}}, "n1": {"result": {"v": [1, 2]}}}


# --- what is refused ---


def test_no_workflow_is_refused(runtime_class: Runtime) -> None:
    with runtime_class() as runtime, pytest.raises(RuntimeExecutionError, match=r"^No workflow provided$"):
        runtime.execute(None)


def test_an_unbuilt_builder_is_refused(runtime_class: Runtime) -> None:
    messages = []
    for cls in (StockRuntime, runtime_class):
        with cls() as runtime, pytest.raises(ValueError, match=r"has no `\.graph` attribute") as caught:
            runtime.execute(WorkflowBuilder())
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_missing_required_input_is_refused_unwrapped(runtime_class: Runtime) -> None:
    workflow = Workflow("w", "w")
    workflow.add_node("m", "TypedNode")
    with runtime_class() as runtime, pytest.raises(WorkflowValidationError, match="missing required inputs"):
        runtime.execute(workflow)


@pytest.mark.parametrize("option", ["connection_validation", "conditional_execution"])
def test_an_unknown_mode_is_refused_by_the_constructor(runtime_class: Runtime, option: str) -> None:
    messages = []
    for cls in (StockRuntime, runtime_class):
        with pytest.raises(ValueError, match=f"Invalid {option} mode") as caught:
            cls(**{option: "odd"})
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    gc.collect()


@pytest.mark.parametrize(
    "limits",
    [
        {"soft_time_limit": float("nan")},
        {"time_limit": float("inf")},
        {"time_limit": -1},
        {"soft_time_limit": 2, "time_limit": 1},
        {"soft_time_limit": 1, "time_limit": 1},
        {"soft_time_limit": 0},
    ],
)
def test_senseless_time_limits_are_refused_in_stocks_words(runtime_class: Runtime, limits: dict[str, float]) -> None:
    messages = []
    for cls in (StockRuntime, runtime_class):
        with cls() as runtime, pytest.raises((ValueError, TypeError)) as caught:
            runtime.execute(built("result = 1"), **limits)
        messages.append((type(caught.value), str(caught.value)))
    assert messages[0] == messages[1]


# --- cancellation and time limits ---


def test_a_token_cancelled_beforehand_stops_before_the_first_node(runtime_class: Runtime) -> None:
    token, ran = CancellationToken(), []
    token.cancel("not wanted")
    with runtime_class() as runtime, pytest.raises(WorkflowCancelledError) as caught:
        runtime.execute(hooked(lambda: ran.append(1)), cancellation_token=token)
    assert str(caught.value) == "Workflow cancelled: not wanted"
    assert (caught.value.completed_nodes, caught.value.cancelled_at_node, ran) == ([], "n0", [])


def test_a_token_cancelled_by_a_node_names_what_was_done(runtime_class: Runtime) -> None:
    token = CancellationToken()
    workflow = hooked(lambda: 1, lambda: token.cancel(), lambda: 3)
    with runtime_class() as runtime, pytest.raises(WorkflowCancelledError) as caught:
        runtime.execute(workflow, cancellation_token=token)
    assert str(caught.value).startswith("Workflow cancelled: ")
    assert (caught.value.completed_nodes, caught.value.cancelled_at_node) == (["n0", "n1"], "n2")


def test_the_soft_limit_stops_between_nodes(runtime_class: Runtime) -> None:
    after: list[int] = []
    workflow = hooked(lambda: time.sleep(0.4), lambda: after.append(1))
    with runtime_class() as runtime, pytest.raises(SoftTimeLimitExceeded):
        runtime.execute(workflow, soft_time_limit=0.1)
    assert after == []


def test_the_soft_limit_is_raised_although_the_only_node_ended(runtime_class: Runtime) -> None:
    with runtime_class() as runtime, pytest.raises(SoftTimeLimitExceeded, match=r"soft_time_limit=0\.1s"):
        runtime.execute(hooked(lambda: time.sleep(0.4)), soft_time_limit=0.1)


def test_the_hard_limit_and_a_second_of_grace_are_raised_although_the_run_ended(runtime_class: Runtime) -> None:
    with runtime_class() as runtime, pytest.raises(HardTimeLimitExceeded) as caught:
        runtime.execute(hooked(lambda: time.sleep(1.4)), time_limit=0.05)
    assert str(caught.value) == "workflow exceeded hard time limit (time_limit=0.05s + grace_seconds=1.0s)"


def test_a_run_that_ends_in_time_is_left_alone(runtime_class: Runtime) -> None:
    with runtime_class() as runtime:
        results, _ = runtime.execute(built("result = 1"), soft_time_limit=30, time_limit=60)
    assert results == {"n0": {"result": 1}}


# --- life cycle ---


def test_references_are_counted(runtime_class: Runtime) -> None:
    runtime = runtime_class()
    assert runtime.ref_count == 1
    assert runtime.acquire() is runtime
    assert runtime.ref_count == 2
    runtime.release()
    assert runtime.ref_count == 1
    runtime.close()
    assert runtime.ref_count == 0
    runtime.close()
    assert runtime.ref_count == 0
    with pytest.raises(RuntimeError, match="Cannot acquire a closed runtime"):
        runtime.acquire()


def test_a_closed_runtime_still_runs(runtime_class: Runtime) -> None:
    runtime = runtime_class().mark_externally_managed()
    runtime.close()
    assert runtime.execute(built("result = 1"))[0] == {"n0": {"result": 1}}
    runtime.close()
    del runtime
    # Stock makes a new event loop for this run, which the second close() leaves open.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_execute_outside_with_warns_at_the_callers_line(runtime_class: Runtime) -> None:
    runtime = runtime_class()
    with pytest.warns(DeprecationWarning, match="without context manager") as seen:
        runtime.execute(built("result = 1"))
    runtime.close()
    assert Path(seen[0].filename) == Path(__file__)
    assert str(seen[0].message).startswith("LocalRuntime.execute() without context manager or explicit close()")


def test_an_externally_managed_runtime_does_not_warn(runtime_class: Runtime) -> None:
    runtime = runtime_class()
    assert runtime.mark_externally_managed() is runtime
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime.execute(built("result = 1"))
    runtime.close()


def test_an_unclosed_runtime_warns_when_collected(runtime_class: Runtime) -> None:
    runtime = runtime_class()
    with pytest.warns(ResourceWarning, match=rf"Unclosed {runtime_class.__name__} \(ref_count=1\)"):
        del runtime
        gc.collect()


def test_execute_inside_a_running_loop_goes_through_a_bridge_thread(runtime_class: Runtime) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    names: list[str] = []

    def hook() -> str:
        names.append(threading.current_thread().name)
        return variable.get()

    async def caller() -> Any:
        variable.set("caller's")
        with runtime_class() as runtime:
            return runtime.execute(hooked(hook))

    results, _ = asyncio.run(caller())
    assert results == {"n0": {"result": "caller's"}}
    assert [re.sub(r"-hooked$", "", name) for name in names] == ["kailash-sync-bridge"]


def test_context_variables_reach_nodes(runtime_class: Runtime) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    token = variable.set("caller's")
    try:
        with runtime_class() as runtime:
            assert runtime.execute(hooked(variable.get))[0] == {"n0": {"result": "caller's"}}
    finally:
        variable.reset(token)


def test_it_is_sync_by_the_tests_that_frameworks_use(runtime_class: Runtime) -> None:
    with runtime_class() as runtime:
        assert not isinstance(runtime, AsyncLocalRuntime)
        assert not hasattr(runtime, "execute_workflow_async")
        assert isinstance(runtime, StockRuntime)


def test_a_subclass_may_override_execute_and_call_super_positionally(runtime_class: Runtime) -> None:
    class Framework(runtime_class):  # type: ignore[misc, valid-type]
        def execute(self, workflow: Any, task_manager: Any = None, parameters: Any = None, *a: Any, **kw: Any) -> Any:
            results, run_id = super().execute(workflow, task_manager, parameters, *a, **kw)
            return {"wrapped": results}, run_id

    with Framework() as runtime:
        results, _ = runtime.execute(built("result = x"), None, {"n0": {"x": 7}})
    assert results == {"wrapped": {"n0": {"result": 7}}}


def test_a_node_may_run_a_workflow_on_the_same_runtime(runtime_class: Runtime) -> None:
    with runtime_class() as runtime:
        inner = built("result = 'inner'")
        results, _ = runtime.execute(hooked(lambda: runtime.execute(inner)[0]["n0"]["result"]))
    assert results == {"n0": {"result": "inner"}}


# --- parameters and context ---


def test_workflow_context_is_taken_out_of_the_callers_parameters(runtime_class: Runtime) -> None:
    context: dict[str, Any] = {"given": 1}
    parameters = {"n0": {"x": 1}, "workflow_context": context}
    with runtime_class() as runtime:
        results, _ = runtime.execute(built("result = get_workflow_context('given')"), parameters=parameters)
    assert results == {"n0": {"result": 1}}
    assert parameters == {"n0": {"x": 1}}
    assert list(context) == ["given", "signal_channel", "query_registry", "execution_tracker", "_audit_trail"]
    assert [event["type"] for event in context["_audit_trail"]] == [
        "WORKFLOW_STARTED",
        "NODE_EXECUTED",
        "WORKFLOW_COMPLETED",
    ]


def test_a_context_used_again_replays_the_first_run(runtime_class: Runtime) -> None:
    context: dict[str, Any] = {}
    workflow = built("result = 1")
    with runtime_class() as runtime:
        runtime.execute(workflow, parameters={"workflow_context": context})
        workflow._node_instances["n0"].code = "result = 2"
        results, _ = runtime.execute(workflow, parameters={"workflow_context": context})
    assert results == {"n0": {"result": 1}}


def test_templates_are_filled_from_runtime_inputs_only(runtime_class: Runtime) -> None:
    workflow = Workflow("w", "w")
    workflow.add_node("n", "EchoNode", x="${y}", data="${absent} ${y}")
    with runtime_class(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(workflow, parameters={"n": {"y": 5}})
    assert results["n"]["result"] == {"data": "${absent} 5", "x": 5, "y": 5}


# --- what is recorded ---


def test_a_task_manager_receives_runs_tasks_and_search_attributes(runtime_class: Runtime, tmp_path: Path) -> None:
    seen = []
    workflow = built("result = 1", "1 / 0")
    for number, cls in enumerate((StockRuntime, runtime_class)):
        manager = TaskManager(FileSystemStorage(str(tmp_path / f"{number}-{cls.__name__}")))
        with cls() as runtime:
            results, run_id = runtime.execute(workflow, task_manager=manager)
        run = manager.get_run(run_id)
        tasks = [(task.node_id, task.node_type, task.status, task.result) for task in manager.get_run_tasks(run_id)]
        seen.append((run.status, run.workflow_name, sorted(tasks, key=str), results["n1"]["failed"]))
    assert seen[0] == seen[1]


def test_a_task_manager_is_called_in_stocks_order(runtime_class: Runtime, tmp_path: Path) -> None:
    seen = []
    for number, cls in enumerate((StockRuntime, runtime_class)):
        manager = RecordingTaskManager(FileSystemStorage(str(tmp_path / f"{number}-{cls.__name__}")))
        with cls() as runtime, contextlib.suppress(RuntimeExecutionError):
            runtime.execute(
                built("result = 1", "raise ValueError('no')", "result = 2"),
                task_manager=manager,
                search_attributes={"customer": "c1", "amount": 3},
            )
        seen.append(manager.calls)
    assert seen[0] == seen[1]
    assert "set_search_attributes" in seen[0]


def test_progress_reports_name_their_node(runtime_class: Runtime) -> None:
    updates: list[Any] = []
    with runtime_class() as runtime:
        runtime.progress_registry.register(updates.append)
        runtime.execute(hooked(lambda: report_progress(1, 2, "half")))
    assert [(update.node_id, update.current, update.total, update.message) for update in updates] == [
        ("n0", 1, 2, "half")
    ]


def test_completion_callbacks_see_each_node(runtime_class: Runtime) -> None:
    events: list[Any] = []
    with runtime_class() as runtime:
        runtime.on_node_complete(events.append)
        _, run_id = runtime.execute(built("result = 1", "result = data + 1"))
    assert [(event.node_id, dict(event.outputs), event.run_id) for event in events] == [
        ("n0", {"result": 1}, run_id),
        ("n1", {"result": 2}, run_id),
    ]


def test_the_run_history_is_in_stocks_tables(runtime_class: Runtime) -> None:
    import sqlite3

    with runtime_class() as runtime:
        _, run_id = runtime.execute(built("result = 1", "1 / 0"))
    flush = getattr(runtime, "flush", None)
    if flush is not None:
        flush()
    connection = sqlite3.connect(Path.home() / ".kailash" / "tracking" / "tracking.db")
    try:
        rows = connection.execute(
            "SELECT node_id, node_type, status FROM tasks WHERE run_id = ? ORDER BY node_id", (run_id,)
        ).fetchall()
    finally:
        connection.close()
    assert rows == [("n0", "PythonCodeNode", "completed"), ("n1", "PythonCodeNode", "failed")]
