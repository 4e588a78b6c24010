"""What Kailash does at the end of every run, which happens here where it reaches anybody."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from kailash.runtime import metrics as kailash_metrics
from kailash.workflow.credentials import get_credential_store

from nexus_core.runtime import LocalRuntime, stock

from .support import code_workflow


def counted(reader: Any) -> dict[str, int]:
    """Runs that Kailash's metrics have counted, by their attributes."""
    data = reader.get_metrics_data()
    return {
        repr(sorted((point.attributes or {}).items())): point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "kailash_workflow_executions_total"
        for point in metric.data.data_points
    }


@pytest.mark.parametrize("code", ["result = 1", "result = 1 / 0"], ids=["completes", "fails"])
def test_credentials_that_are_kept_are_cleared(code: str) -> None:
    store = get_credential_store()
    first, second = code_workflow({"a": "result = 1"}), code_workflow({"a": code, "b": "result = 1"}, [("a", "b")])
    with LocalRuntime(enable_monitoring=False) as runtime:
        runtime.execute(first)
        store.register(api_key="k")
        assert store._store
        with contextlib.suppress(Exception):
            runtime.execute(second)
        assert store._store == {}


def run_thrice(runtime: Any) -> None:
    """One that completes, one that fails, and one while an error is being handled, which Kailash takes for failed."""
    good = code_workflow({"a": "result = 1"})
    bad = code_workflow({"a": "result = 1 / 0", "b": "result = 1"}, [("a", "b")])
    runtime.execute(good)
    try:
        runtime.execute(bad)
    except Exception:
        runtime.execute(good)


def test_metrics_that_come_to_be_read_are_told_of_runs_as_kailash_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = pytest.importorskip("opentelemetry.metrics")
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    found = {}
    for kind in (LocalRuntime, stock.StockLocalRuntime):
        reader = export.InMemoryMetricReader()
        provider = sdk.MeterProvider(metric_readers=[reader])
        with kind(enable_monitoring=False) as runtime:
            run_thrice(runtime)
            with monkeypatch.context() as patch:
                for module in (metrics, kailash_metrics._metrics_mod):
                    patch.setattr(module, "get_meter", lambda name, *_, **__: provider.get_meter(name))  # noqa: B023
                patch.setattr(kailash_metrics, "_global_bridge", kailash_metrics.MetricsBridge())
                run_thrice(runtime)
            run_thrice(runtime)
        found[kind] = counted(reader)
        provider.shutdown()
    ours, theirs = found.values()
    assert sum(theirs.values()) == 3
    assert ours == theirs
