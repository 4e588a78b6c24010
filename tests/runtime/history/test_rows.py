"""The rows equal those that stock writes for the same run."""

from __future__ import annotations

import json
import logging
import random
import uuid
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kailash", exc_type=ImportError)

from kailash.nodes.base import Node, NodeMetadata
from kailash.runtime import LocalRuntime
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.tracking.metrics_collector import PerformanceMetrics
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.runtime import history, history_rows
from nexus_core.runtime.history import RunRecord, TaskRow, history_writer

from .support import record, rows, task


class _GivesNothing(Node):  # type: ignore[misc]  # Kailash is not typed
    def get_parameters(self) -> dict[str, Any]:
        return {}

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return {}


def _plain() -> WorkflowBuilder:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = {'v': 1, 'ü': 'é\\x00'}"})
    builder.add_node("PythonCodeNode", "b", {"code": "result = [data['v'], float('nan'), 2**70]"})
    builder.add_connection("a", "result", "b", "data")
    return builder


def _failing_leaf() -> WorkflowBuilder:
    builder = _plain()
    builder.add_node("PythonCodeNode", "z", {"code": "raise ValueError('no ü')"})
    return builder


def _failing_middle() -> WorkflowBuilder:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = 1"})
    builder.add_node("PythonCodeNode", "b", {"code": "raise KeyError(data)", "metadata": {"owner": "me"}})
    builder.add_node("PythonCodeNode", "c", {"code": "result = 2"})
    builder.add_connection("a", "result", "b", "data")
    builder.add_connection("b", "result", "c", "data")
    return builder


def _switch() -> WorkflowBuilder:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = {'v': 1}"})
    builder.add_node("SwitchNode", "s", {"condition_field": "v", "operator": "==", "value": 1})
    builder.add_node("PythonCodeNode", "t", {"code": "result = 1"})
    builder.add_node("PythonCodeNode", "f", {"code": "result = 2", "metadata": {"k": "v"}})
    builder.add_connection("a", "result", "s", "input_data")
    builder.add_connection("s", "true_output", "t", "data")
    builder.add_connection("s", "false_output", "f", "data")
    return builder


def _metadata() -> WorkflowBuilder:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "d", {"code": "result = 1", "metadata": {"k": [1, {"x": None}]}})
    node = _GivesNothing()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about the style of the API
        builder.add_node_instance(node, "e")
    # Node.__init__ takes it out of the config; node classes that fill theirs keep it.
    node.config["metadata"] = NodeMetadata(name="e", description="says ü", tags={"one", "two"})
    return builder


WORKFLOWS = {
    "plain": (_plain, None),
    "parameters": (_plain, {"a": {"q": [1, "ü"]}}),
    "failing leaf": (_failing_leaf, None),
    "failing middle": (_failing_middle, None),
    "switch": (_switch, None),
    "metadata": (_metadata, None),
}


def _through_our_helpers(
    runtime: LocalRuntime, workflow: Any, results: Any, stock_run: dict[str, Any], stock_tasks: list[dict[str, Any]]
) -> RunRecord:
    """What our runtime would submit; from stock's rows come ids, times and failures' texts."""

    def epoch(text: str | None) -> float | None:
        return None if text is None else datetime.fromisoformat(text).timestamp()

    tasks = []
    for row in stock_tasks:
        node = workflow._node_instances[row["node_id"]]
        prefix = history.node_metadata_prefix(node.config)
        duration = row["metrics_duration"]
        status, outputs, error = "completed", None, None
        if row["error"] is not None:
            status, error = "failed", row["error"]
            metadata: str | None = history.task_metadata_json(prefix, None)
        elif results[row["node_id"]] is None:
            metadata = history.skipped_metadata_json(prefix)
        else:
            outputs = results[row["node_id"]]
            metadata = history.task_metadata_json(prefix, duration)
        tasks.append(
            TaskRow(
                row["node_id"],
                type(node).__name__,
                status,
                epoch(row["started_at"]),
                epoch(row["ended_at"]),
                history.result_json(outputs),
                error,
                metadata,
                duration,
            )
        )
    text = history.run_metadata_json(
        json.loads(stock_run["metadata"])["parameters"],
        runtime.debug,
        runtime._execution_context,
        runtime._serialize_user_context(),
    )
    started = epoch(stock_run["started_at"])
    assert started is not None
    status = "failed" if stock_run["error"] is not None else "completed"
    return RunRecord(
        stock_run["run_id"], workflow.name, status, started, epoch(stock_run["ended_at"]),
        text, stock_run["error"], tasks,
    )  # fmt: skip


@pytest.mark.parametrize("case", WORKFLOWS)
def test_rows_equal_stocks_in_every_column(case: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, parameters = WORKFLOWS[case]
    workflow = build().build()
    with LocalRuntime() as runtime:
        try:
            results, _ = runtime.execute(workflow, parameters=parameters)
        except RuntimeExecutionError:
            assert case == "failing middle"
            results = {"a": {"result": 1}}
    stock_run, stock_tasks = rows(home, "workflow_runs")[0], rows(home, "tasks")
    assert stock_tasks

    ours = home / "ours"
    monkeypatch.setenv("HOME", str(ours))
    history_writer().submit(_through_our_helpers(runtime, workflow, results, stock_run, stock_tasks))
    assert history_writer().flush(10)

    for stock_rows, our_rows in (([stock_run], rows(ours, "workflow_runs")), (stock_tasks, rows(ours, "tasks"))):
        assert len(our_rows) == len(stock_rows)
        for theirs, written in zip(stock_rows, our_rows, strict=True):
            # Stock's is the second of the insert, which may be the next one.
            created = [datetime.fromisoformat(row.pop("created_at")) for row in (theirs, written)]
            assert abs((created[0] - created[1]).total_seconds()) <= 1
            for row in (theirs, written):
                row.pop("task_id", None)
            assert written == theirs
            assert list(map(type, written.values())) == list(map(type, theirs.values()))


def test_measured_metrics_equal_what_stock_writes_for_them(home: Path) -> None:
    measured = PerformanceMetrics(duration=0.5, cpu_percent=12.5, memory_mb=99.25, io_read_bytes=7, custom={"k": 1})
    as_stock = measured.to_task_metrics()
    run = record("a", "b")
    run.tasks = [task("a")._replace(duration=0.5, metrics=history.metrics_of(measured)), task("b")]
    history_writer().submit(run)
    assert history_writer().flush(10)
    first, second = rows(home, "tasks")
    assert (first["metrics_duration"], first["metrics_cpu_usage"], first["metrics_memory_usage_mb"]) == (
        0.5, 12.5, 99.25,
    )  # fmt: skip
    assert first["metrics_custom"] == json.dumps(as_stock["custom_metrics"])
    assert second["metrics_custom"] == json.dumps(PerformanceMetrics().to_task_metrics()["custom_metrics"])


def test_times_are_written_as_datetime_writes_them() -> None:
    clock = history_rows._Clock()
    rng = random.Random(7)
    whole = [0, 1, 999_999, 1_000_000, 1_500_000, 1767225599_999999, 1767225600_000000, 1699999999_000000]
    whole += [rng.randrange(4_000_000_000_000_000) for _ in range(2000)]
    for micro in whole:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)
        assert clock.iso(moment.timestamp()) == moment.isoformat()
        assert clock.sql(moment.timestamp()) == moment.strftime("%Y-%m-%d %H:%M:%S")
    assert clock.iso(1767225599.9999998) == "2026-01-01T00:00:00+00:00"


def test_metadata_that_is_not_json_is_refused_where_stock_writes_nothing(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalRuntime(user_context=object()) as runtime, caplog.at_level(logging.WARNING):
        runtime.execute(_plain().build())
    assert rows(home, "workflow_runs") == rows(home, "tasks") == []
    with pytest.raises(TypeError) as refused:
        history.run_metadata_json(None, runtime.debug, runtime._execution_context, runtime._serialize_user_context())
    assert history.PERSIST_WARNING % refused.value in caplog.messages


def test_task_ids_are_ascending_version_7_uuids() -> None:
    ids = history_rows.task_ids()
    made = [next(ids) for _ in range(10_000)]
    more = history_rows.task_ids()
    made += [next(more) for _ in range(10)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    for text in made[:: len(made) // 50]:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)
