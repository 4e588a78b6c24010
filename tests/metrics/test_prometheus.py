"""What Prometheus sees of runtimes: names, labels, and that sums are right."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

import nexus_core
from nexus_core.metrics import hide, prometheus, show
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import code_workflow, run_python

client = pytest.importorskip("prometheus_client")
parser = pytest.importorskip("prometheus_client.parser")


def scraped() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All of ours that a scrape returns, by name and labels."""
    text = client.generate_latest().decode()
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("nexus_core_"):
                key = sample.name, frozenset(sample.labels.items())
                assert key not in found, key
                found[key] = sample.value
    return found


def value(name: str, **labels: str) -> float | None:
    return scraped().get((name, frozenset(labels.items())))


def build(name: str, code: str = "result = 1") -> Workflow:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": code})
    builder.add_node("PythonCodeNode", "b", {"code": "result = 2"})
    builder.add_connection("a", "result", "b", "x")
    return builder.build(name=name)


@pytest.fixture
def shown() -> Iterator[LocalRuntime]:
    with LocalRuntime(enable_monitoring=False) as runtime:
        assert show(runtime, "r")
        yield runtime
        hide(runtime)


def test_runs_nodes_and_durations(shown: LocalRuntime) -> None:
    good, bad = build("good"), build("bad", "result = 1 / 0")
    for _ in range(30):
        shown.execute(good)
    with pytest.raises(Exception, match="division"):
        shown.execute(bad)
    own = {"runtime": "r", "workflow": "good"}
    assert value("nexus_core_workflow_runs_total", **own, outcome="completed") == 30
    assert value("nexus_core_workflow_runs_total", runtime="r", workflow="bad", outcome="failed") == 1
    assert value("nexus_core_workflow_failures_total", runtime="r", workflow="bad", error="ZeroDivisionError") == 1
    assert value("nexus_core_node_executions_total", **own, node="b", outcome="completed") == 30
    assert (
        value("nexus_core_node_failures_total", runtime="r", workflow="bad", node="a", error="ZeroDivisionError") == 1
    )
    metrics = shown.metrics().workflows["good"]
    assert value("nexus_core_workflow_run_seconds_count", **own) == 30
    total = value("nexus_core_workflow_run_seconds_sum", **own)
    assert total is not None and math.isclose(total, metrics.duration.total)
    buckets = sorted(
        (float(dict(labels)["le"]), count)
        for (name, labels), count in scraped().items()
        if name == "nexus_core_workflow_run_seconds_bucket" and set(own.items()) < set(labels)
    )
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1] == (math.inf, 30)
    slowest = min(bound for bound, count in buckets if count == 30)
    assert slowest == math.inf or slowest >= metrics.duration.max * 0.96


def test_every_name_has_its_unit_and_prefix(shown: LocalRuntime) -> None:
    shown.execute(build("w"))
    names = {name for name, _ in scraped() if not name.startswith("nexus_core_thread_pool")}
    assert {name for name in names if "seconds" not in name and "bytes" not in name and "_total" not in name} == {
        "nexus_core_runtime_active_runs",
        "nexus_core_runtime_peak_active_runs",
        "nexus_core_process_threads",
        "nexus_core_process_open_files",
        "nexus_core_process_cpus",
    } | ({"nexus_core_process_cpu_limit"} & names)


def test_what_is_hidden_disappears_with_the_last(shown: LocalRuntime) -> None:
    shown.execute(build("w"))
    with LocalRuntime(enable_monitoring=False) as other:
        assert show(other, "r")
        other.execute(build("w"))
        labels = {dict(labels).get("runtime") for _, labels in scraped()} - {None}
        assert labels == {"r", "r-2"}
        hide(other)
        hide(other)
        assert {dict(labels).get("runtime") for _, labels in scraped()} - {None} == {"r"}
    hide(shown)
    assert scraped() == {}
    assert show(shown, "r")


def test_shown_twice_is_hidden_twice(shown: LocalRuntime) -> None:
    shown.execute(build("w"))
    assert show(shown, "another name")
    hide(shown)
    assert value("nexus_core_workflow_runs_total", runtime="r", workflow="w", outcome="completed") == 1


def test_a_runtime_that_is_no_more_disappears() -> None:
    runtime = LocalRuntime(enable_monitoring=False)
    with runtime:
        runtime.execute(build("w"))
    assert show(runtime, "gone")
    del runtime
    gc.collect()
    assert not any(dict(labels).get("runtime") == "gone" for _, labels in scraped())
    with LocalRuntime(enable_monitoring=False) as other:
        show(other)
        hide(other)
    assert scraped() == {}


def test_labels_are_bounded_and_sums_whole(shown: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MOST_WORKFLOWS", 3)
    monkeypatch.setattr(prometheus, "MOST_NODES", 4)
    workflows = [build(f"w{number}") for number in range(8)]
    before = 0.0
    for _ in range(3):
        for workflow in workflows:
            shown.execute(workflow)
        found = scraped()
        runs = {
            dict(labels)["workflow"]: count
            for (name, labels), count in found.items()
            if name == "nexus_core_workflow_runs_total" and dict(labels)["outcome"] == "completed"
        }
        assert set(runs) == {"w0", "w1", "w2", "other"}
        assert sum(runs.values()) == shown.metrics().runs
        assert runs["other"] > before
        before = runs["other"]
        nodes = [
            count
            for (name, labels), count in found.items()
            if name == "nexus_core_node_executions_total" and dict(labels)["outcome"] == "completed"
        ]
        assert sum(nodes) == 2 * shown.metrics().runs


def test_one_that_cannot_be_read_hides_no_other(
    shown: LocalRuntime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown.execute(build("w"))

    class Broken(LocalRuntime):
        def engine_statistics(self) -> dict[str, Any]:
            raise OSError("broken")

    with Broken(enable_monitoring=False) as broken:
        show(broken, "broken")
        assert value("nexus_core_workflow_runs_total", runtime="r", workflow="w", outcome="completed") == 1
        hide(broken)
    assert "the figures of runtime 'broken' could not be read" in caplog.text


class TestAttached:
    def test_an_attached_apps_runtime_is_shown_until_it_is_detached(self) -> None:
        nexus = pytest.importorskip("nexus")
        with nexus.Nexus(enable_durability=False) as app:
            report = nexus_core.attach(app)
            label = str(app.name)
            assert value("nexus_core_runtime_active_runs", runtime=label) == 0
            assert report.runtime._loop_lag is not None
            nexus_core.detach(app)
            assert value("nexus_core_runtime_active_runs", runtime=label) is None
            assert report.runtime._loop_lag is None

    def test_a_given_runtime_is_left_as_it_was(self) -> None:
        nexus = pytest.importorskip("nexus")
        runtime = AsyncLocalRuntime()
        runtime.watch_loop_lag()
        assert show(runtime, "mine")
        with nexus.Nexus(enable_durability=False) as app:
            nexus_core.attach(app, runtime)
        assert runtime._loop_lag is not None
        assert value("nexus_core_runtime_active_runs", runtime="mine") == 0
        hide(runtime)
        runtime.close()

    def test_a_loop_is_watched_until_the_last_app_is_detached(self) -> None:
        nexus = pytest.importorskip("nexus")
        runtime = AsyncLocalRuntime()
        with nexus.Nexus(enable_durability=False) as first, nexus.Nexus(enable_durability=False) as second:
            nexus_core.attach(first, runtime)
            nexus_core.attach(second, runtime)
            nexus_core.detach(first)
            assert runtime._loop_lag is not None
            nexus_core.detach(second)
            assert runtime._loop_lag is None
        runtime.close()

    def test_watching_that_was_asked_for_meanwhile_goes_on(self) -> None:
        nexus = pytest.importorskip("nexus")
        runtime = AsyncLocalRuntime()
        with nexus.Nexus(enable_durability=False) as app:
            nexus_core.attach(app, runtime)
            runtime.watch_loop_lag()
            nexus_core.detach(app)
            assert runtime._loop_lag is not None
        runtime.close()

    def test_nexus_shows_them_in_its_own_metrics(self) -> None:
        nexus = pytest.importorskip("nexus")
        testclient = pytest.importorskip("fastapi.testclient")
        with nexus.Nexus(enable_durability=False, enable_monitoring=True) as app:
            app.register("sums", code_workflow({"a": "result = 1"}))
            nexus_core.attach(app)
            http = testclient.TestClient(app._http_transport.gateway.app)
            assert http.post("/workflows/sums/execute", json={"inputs": {}}).status_code == 200
            reply = http.get("/metrics")
            if reply.status_code != 200:
                pytest.skip("this Nexus has no /metrics")
            assert "nexus_core_workflow_runs_total" in reply.text


def test_what_runs_while_a_runtime_is_being_shown_may_hide_one(tmp_path: Path) -> None:
    """As a finalizer does that the collector runs in that moment, and that detaches an app."""
    done = run_python(
        """
        from nexus_core.metrics import hide, show
        from nexus_core.runtime import LocalRuntime

        with LocalRuntime(enable_monitoring=False) as first, LocalRuntime(enable_monitoring=False) as second:
            class Name(str):
                def __hash__(self):
                    hide(first)
                    return hash(str(self))

            show(first, "first")
            show(second, Name("second"))
            hide(second)
        print("shown and hidden")
        """,
        tmp_path,
        prelude="",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "shown and hidden"
