"""Kailash's validation metrics say of native runs what they say of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kailash.runtime.validation.metrics import get_metrics_collector, reset_global_metrics
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.graph import Workflow

from nexus_core.runtime import LocalRuntime, stock

from .support import code_workflow, run_python

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

THREE = {"a": "result = 1", "b": "result = a + 1", "c": "result = b + 1"}
CHAIN = [("a", "b"), ("b", "c")]


@pytest.fixture(autouse=True)
def clean_metrics() -> Iterator[None]:
    reset_global_metrics()
    yield
    reset_global_metrics()


def metrics_after(kind: type[Any], workflow: Workflow, mode: str, **options: Any) -> list[tuple[Any, ...]]:
    """What the collector holds after two runs, apart from times."""
    reset_global_metrics()
    with kind(connection_validation=mode, enable_monitoring=False, **options) as runtime:
        for _ in range(2):
            try:
                runtime.execute(workflow)
            except RuntimeExecutionError:
                assert any("1/0" in node.config["code"] for node in workflow._node_instances.values())
    kept = ("event_type", "node_id", "node_type", "validation_mode", "error_category")
    return [tuple(metric[key] for key in kept) for metric in get_metrics_collector().export_metrics()]


@pytest.mark.parametrize("mode", ["off", "warn", "strict"])
def test_every_node_of_every_run_is_counted_as_stock_counts_it(mode: str) -> None:
    workflow = code_workflow(THREE, CHAIN)
    expected = metrics_after(stock.StockLocalRuntime, workflow, mode)
    assert len(expected) == (6 if mode == "off" else 12)
    assert metrics_after(LocalRuntime, workflow, mode, strict=True) == expected


def test_nodes_after_a_failure_are_not_counted() -> None:
    workflow = code_workflow({**THREE, "b": "result = 1/0"}, CHAIN)
    expected = metrics_after(stock.StockLocalRuntime, workflow, "warn")
    assert {metric[1] for metric in expected} == {"a", "b"}
    assert metrics_after(LocalRuntime, workflow, "warn", strict=True) == expected


def test_what_stock_has_recorded_itself_is_not_counted_twice() -> None:
    class Particular(stock.PythonCodeNode):
        def validate_inputs(self, **inputs: Any) -> dict[str, Any]:
            raise ValueError("never satisfied")

    workflow = Workflow("refusing", "refusing")
    workflow.add_node("a", Particular(name="a", code="result = 1"))
    expected = metrics_after(stock.StockLocalRuntime, workflow, "warn")
    assert [metric[0] for metric in expected].count("validation_failed") == 2
    assert metrics_after(LocalRuntime, workflow, "warn", strict=True) == expected


def test_any_runtime_shows_what_another_counted(runtime: LocalRuntime) -> None:
    runtime.execute(code_workflow(THREE, CHAIN))
    with stock.StockLocalRuntime(enable_monitoring=False) as other:
        assert other.get_validation_metrics()["performance_summary"]["total_validations"] == 3


def test_a_reset_forgets_runs_that_nobody_has_looked_at(runtime: LocalRuntime) -> None:
    runtime.execute(code_workflow(THREE, CHAIN))
    runtime.reset_validation_metrics()
    assert runtime.get_validation_metrics()["performance_summary"]["total_validations"] == 0


def test_no_more_is_kept_than_the_collector_keeps(runtime: LocalRuntime) -> None:
    workflow = code_workflow({"a": "result = 1"})
    collector = get_metrics_collector()
    kept = collector.metrics.maxlen
    assert kept is not None
    for _ in range(kept + 10):
        runtime.execute(workflow)
    summary = runtime.get_validation_metrics()["performance_summary"]
    assert len(collector.metrics) == kept
    assert summary["total_validations"] == kept // 2


def test_a_reset_before_anybody_has_read_forgets_what_was_counted(tmp_path: Path) -> None:
    done = run_python(
        """
from kailash.runtime.validation.metrics import get_metrics_collector, reset_global_metrics
from kailash.workflow.builder import WorkflowBuilder
from nexus_core.runtime import LocalRuntime

builder = WorkflowBuilder()
builder.add_node("PythonCodeNode", "a", {"code": "result = 1"})
with LocalRuntime(enable_monitoring=False) as runtime:
    runtime.execute(builder.build())
    reset_global_metrics()
print(get_metrics_collector().get_performance_summary()["total_validations"])
""",
        tmp_path,
    )
    assert (done.stdout.split()[-1:], done.returncode) == (["0"], 0), done.stdout + done.stderr
