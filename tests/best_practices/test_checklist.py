"""The checklist against real apps: what holds, what does not, and what was seen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

import nexus_core
from apps import code_workflow
from nexus_core import (
    IntelligentCache,
    PerformanceBestPractices,
    PerformanceMonitor,
    ResourcePoolManager,
    ResultCache,
)
from nexus_core.best_practices import CheckedItem, PerformanceTest
from nexus_core.errors import NexusCoreError


def checked(app: Any) -> dict[str, CheckedItem]:
    found = PerformanceBestPractices.workflow_optimization_checklist(app)
    return {item.name: item for items in found.values() for item in items}


def workflow(nodes: dict[str, str], edges: list[tuple[str, str, str, str]] = []) -> Any:  # noqa: B006 - only read
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    for name, code in nodes.items():
        builder.add_node("PythonCodeNode", name, {"code": code})
    for source, output, target, to in edges:
        builder.add_connection(source, output, target, to)
    return builder.build()


def test_every_item_of_the_guide_is_checked(app: Any) -> None:
    plain = PerformanceBestPractices.workflow_optimization_checklist()
    found = PerformanceBestPractices.workflow_optimization_checklist(app)
    assert {category: [item.text for item in items] for category, items in found.items()} == {
        category: [item.removeprefix("✅ ") for item in items] for category, items in plain.items()
    }
    for item in checked(app).values():
        assert item.status in ("holds", "does_not_hold", "not_applicable", "unknown")
        assert item.evidence
        assert bool(item.advice) == (item.status == "does_not_hold")
        assert item.holds == (item.status == "holds")
        assert item.text in str(item)


def test_an_empty_app_has_nothing_to_judge(app: Any) -> None:
    found = checked(app)
    for name in ("parallel_nodes", "data_transfer", "error_handling", "node_types", "transformations", "caching"):
        assert found[name].status == "not_applicable", found[name]


def test_independent_nodes_run_in_parallel_once_the_app_is_attached(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("wide", workflow({"a": "result = 1", "b": "result = 2", "c": "result = 3"}))
    app.register("narrow", code_workflow())
    before = checked(app)["parallel_nodes"]
    assert before.status == "does_not_hold"
    assert "wide has up to 3 nodes side by side" in before.evidence
    assert "narrow" not in before.evidence
    nexus_core.attach(app)
    after = checked(app)["parallel_nodes"]
    assert after.status == "holds"
    assert "10 nodes at once, 4 of them on threads" in after.evidence


def test_a_runtime_with_fewer_threads_than_a_workflow_has_nodes_side_by_side(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("wide", workflow(dict.fromkeys("abc", "result = 1")))
    nexus_core.attach(app, thread_pool_size=2)
    found = checked(app)["parallel_nodes"]
    assert (found.status, "fewer than wide could use" in found.evidence) == ("does_not_hold", True)


def test_an_output_that_is_sent_twice(app: Any) -> None:
    nodes = {"a": "result = 1", "b": "result = x + y"}
    app.register("twice", workflow(nodes, [("a", "result", "b", "x"), ("a", "result", "b", "y")]))
    assert checked(app)["data_transfer"].evidence == "twice: a.result goes to b more than once"


def test_what_one_node_encodes_and_the_next_decodes(app: Any) -> None:
    nodes = {"a": "import json\nresult = json.dumps([1])", "b": "from json import loads\nresult = loads(x)"}
    edges = [("a", "result", "b", "x")]
    app.register("there-and-back", workflow(nodes, edges))
    found = checked(app)["transformations"]
    assert found.status == "does_not_hold"
    assert found.evidence == "there-and-back: a calls json.dumps and b json.loads"
    app.deregister("there-and-back")
    app.register("straight", workflow({"a": "result = [1]", "b": "result = x"}, edges))
    assert checked(app)["transformations"].status == "holds"


def test_code_that_waits_on_a_thread(app: Any) -> None:
    app.register("waiting", code_workflow("import time as t\nt.sleep(0.1)\nresult = 1"))
    found = checked(app)
    assert found["node_types"].status == "does_not_hold"
    assert "waiting.node calls time.sleep" in found["node_types"].evidence
    assert found["error_handling"].status == "not_applicable"  # a sleep does not fail


def test_code_that_reaches_outside_without_catching_errors(app: Any, tmp_path: Path) -> None:
    bare = "import sqlite3\nresult = sqlite3.connect('a.db').execute('select 1').fetchone()"
    app.register("bare", code_workflow(bare))
    found = checked(app)
    assert found["error_handling"].status == "does_not_hold"
    assert "bare.node" in found["error_handling"].evidence
    assert found["connection_pools"].status == "does_not_hold"
    assert "bare.node calls sqlite3.connect" in found["connection_pools"].evidence
    assert found["resource_pools"].status == "does_not_hold"
    app.deregister("bare")
    lines = "\n".join("    " + line for line in bare.splitlines())
    app.register("caught", code_workflow(f"try:\n{lines}\nexcept Exception as error:\n    result = str(error)"))
    assert checked(app)["error_handling"].status == "holds"


def test_pools_of_the_app_are_seen(app: Any, tmp_path: Path) -> None:
    assert checked(app)["connection_pools"].status == "not_applicable"
    manager = ResourcePoolManager(app, data_path=tmp_path / "app.db")
    manager.create_connection_pool("database", 1, 2)
    manager.create_thread_pool("work", 1, 2)
    found = checked(app)
    assert found["connection_pools"].evidence == "the app has connection pools: database"
    assert found["resource_pools"].evidence == "the app's ResourcePoolManager has pools: 1 of connections, 1 of threads"
    assert found["connection_pools"].holds
    assert found["resource_pools"].holds


def test_the_time_limit_of_runs(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, execution_timeout=30)
    assert checked(app)["timeouts"].evidence == "a run may take 30 s"
    unlimited = make_app()
    nexus_core.attach(unlimited, execution_timeout=0)
    assert checked(unlimited)["timeouts"].status == "does_not_hold"


def test_what_runs_have_shown(app: Any) -> None:
    app.register("quick", code_workflow())
    before = checked(app)
    assert (before["workload"].status, before["reviews"].status) == ("unknown", "unknown")
    PerformanceTest(app).run_load_test("quick", 1, 0.1, think_time=0.01)
    after = checked(app)
    assert after["workload"].holds
    assert after["reviews"].holds
    assert "'quick' was load-tested" in after["reviews"].evidence


def test_logs_that_go_nowhere(app: Any) -> None:
    assert checked(app)["logging"].status == "does_not_hold"  # the fixture has switched them off
    logging.disable(logging.NOTSET)
    try:
        assert checked(app)["logging"].holds  # pytest's own handlers
    finally:
        logging.disable(logging.CRITICAL)


def test_an_app_answers_for_its_health_and_metrics(app: Any) -> None:
    found = checked(app)
    assert found["health_checks"].evidence == "the app answers at /health"
    # That they can be collected does not say that somebody does.
    for name, what in (("monitoring", "runs"), ("utilization", "the process")):
        assert found[name].status == "unknown"
        assert found[name].evidence.startswith(f"/metrics shows figures of {what}")
    assert found["indicators"].holds
    assert found["scaling_policies"].status == "does_not_hold"
    assert found["alerts"].status == "does_not_hold"


def test_plugins_that_monitor_scale_and_cache_are_seen(app: Any) -> None:
    class Watching:
        def __init__(self, name: str) -> None:
            self.name = name
            self.description = "for the test"

        def install(self, app: Any) -> None:
            pass

    for name in ("nexus-core-monitor", "nexus-core-autoscaler", "nexus-core-cache"):
        app.add_plugin(Watching(name))
    app.register("quick", code_workflow())
    found = checked(app)
    for name in ("monitoring", "alerts", "utilization", "scaling_policies", "scaling_events", "caching", "indicators"):
        assert found[name].holds, found[name]


def test_an_app_that_is_not_attached_is_not_monitored(make_app: Callable[[], Any]) -> None:
    found = checked(make_app())
    assert (found["monitoring"].status, found["monitoring"].advice) == ("does_not_hold", "nexus_core.attach(app)")
    assert found["utilization"].status == "unknown"
    assert found["indicators"].status == "does_not_hold"


def test_a_monitor_without_thresholds_alerts_nobody(app: Any) -> None:
    monitor = PerformanceMonitor(app)
    monitor.start_monitoring(60)
    assert checked(app)["alerts"].holds
    for name in list(monitor.thresholds):
        del monitor.thresholds[name]
    found = checked(app)["alerts"]
    assert (found.status, found.evidence) == ("does_not_hold", "nexus-core-performance-monitor has no threshold")


def test_a_scaler_without_a_policy_scales_nothing(app: Any) -> None:
    class Scaler:
        scaling_policies: ClassVar[dict[str, object]] = {}

    class Plugin:
        name = "nexus-core-auto-scaler"
        description = "for the test"
        scaler = Scaler()

        def install(self, app: Any) -> None:
            pass

    app.add_plugin(Plugin())
    found = checked(app)["scaling_policies"]
    assert (found.status, found.evidence) == (
        "does_not_hold", "nexus-core-auto-scaler is bound to the app, and has no policy",
    )  # fmt: skip
    Scaler.scaling_policies = {"cpu_based": object()}
    assert checked(app)["scaling_policies"].evidence == "nexus-core-auto-scaler is bound to the app, with cpu_based"


def cacheable(**metadata: Any) -> Any:
    built = workflow({"a": "result = 1", "b": "result = 2"})
    built.metadata.update(metadata)
    return built


def test_a_cache_is_seen_by_what_it_keeps(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("plain", cacheable())
    nexus_core.attach(app, cache=ResultCache(name="kept"))
    found = checked(app)["caching"]
    assert found.status == "does_not_hold"
    assert found.evidence.startswith(
        "the runtime has the cache 'kept', which keeps nothing: plain: results are not cached"
    )
    assert "cacheable=True" in found.advice
    app.register("said", cacheable(cacheable=True))
    found = checked(app)["caching"]
    assert (found.status, found.evidence) == ("holds", "the runtime's cache 'kept' keeps results of said")


def test_a_cache_of_single_nodes_is_seen(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("by-node", cacheable(cacheable_nodes=["b"]))
    nexus_core.attach(app, cache=ResultCache(name="kept"))
    assert checked(app)["caching"].evidence == "the runtime's cache 'kept' keeps results of by-node.b"


def test_the_guides_cache_is_seen_once_the_app_is_attached_with_it(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("plain", cacheable())
    cache = IntelligentCache(app)
    assert checked(app)["caching"].status == "does_not_hold"  # nobody puts anything into it
    nexus_core.attach(app, cache=cache)
    assert checked(app)["caching"].evidence == "the runtime's cache 'runs of nexus' keeps results of plain"


def test_looking_changes_nothing(app: Any) -> None:
    app.register("quick", code_workflow())
    runtime = app.runtime
    before = (dict(app._plugins), runtime.ref_count, runtime.engine_statistics())
    checked(app)
    assert (dict(app._plugins), runtime.ref_count, runtime.engine_statistics()) == before


def test_no_app(app: Any) -> None:
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.int"):
        PerformanceBestPractices.workflow_optimization_checklist(3)
    app.close()
    with pytest.raises(NexusCoreError, match="the app is closed"):
        PerformanceBestPractices.workflow_optimization_checklist(app)
