"""The live page: there when it is asked for, behind the app's authentication, and true."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import math
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

import nexus_core
from live_app import KEY, LiveApp
from nexus_core.errors import AttachError
from nexus_core.live.monitors import active_alerts
from nexus_core.live.page import live_page
from nexus_core.live.readings import BOUNDS, Histogram, NodeCounts, Reading, WorkflowCounts, read_app
from nexus_core.live.sampler import Sampler
from nexus_core.live.samples import MOST_NODES, MOST_WORKFLOWS, sample, tables
from nexus_core.top.answers import as_view
from nexus_core.top.figures import WORKFLOWS, headline, rows
from nexus_core.top.prometheus_text import reading_of

from .apps import make_app, one_node

PATHS = ("/nexus-core/", "/nexus-core", "/nexus-core/data")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    with LiveApp(tmp_path_factory.mktemp("live"), "pools", "cache") as app:
        yield app


def paths(app: Any) -> list[str]:
    return [path for route in app.fastapi_app.router.routes if (path := getattr(route, "path", None)) in PATHS]


def newest(app: LiveApp) -> dict[str, Any]:
    """Figures of after now."""
    app.get("/nexus-core/data")
    time.sleep(1.1)  # what is younger than a second is told again
    return dict(app.get("/nexus-core/data").json())


def test_it_is_off_unless_it_is_asked_for_and_goes_with_the_attachment() -> None:
    with make_app() as app:
        before = [*app.fastapi_app.router.routes]
        nexus_core.attach(app)
        assert paths(app) == []
        nexus_core.detach(app)
        report = nexus_core.attach(app, live_page=True)
        assert "live page at /nexus-core/" in report.attached
        assert sorted(paths(app)) == sorted(PATHS)
        assert not any(path in str(app.fastapi_app.openapi()) for path in PATHS)
        nexus_core.detach(app)
        assert app.fastapi_app.router.routes == before


def test_what_it_has_read_goes_with_the_attachment() -> None:
    with make_app() as app:
        report = nexus_core.attach(app, live_page=True)
        (data,) = [route for route in app.fastapi_app.router.routes if getattr(route, "path", None) == PATHS[2]]
        endpoint = data.endpoint  # FastAPI keeps endpoints for as long as the process lives
        assert endpoint(after=0).status_code == 200
        runtime = weakref.ref(report.runtime)
        nexus_core.detach(app)
        del report
        gc.collect()
        assert runtime() is None
        with pytest.raises(HTTPException):
            endpoint(after=0)


def test_a_runtime_that_is_given_can_have_it_too() -> None:
    with nexus_core.runtime.AsyncLocalRuntime() as runtime, make_app() as app:
        nexus_core.attach(app, runtime, live_page=True)
        assert sorted(paths(app)) == sorted(PATHS)


@pytest.mark.parametrize("given", [1, "yes", None])
def test_a_switch_that_is_none_changes_nothing(given: Any) -> None:
    with make_app() as app:
        with pytest.raises(AttachError, match="live_page must be True or False"):
            nexus_core.attach(app, live_page=given)
        assert app._plugins == {}


def test_a_path_that_is_taken_is_a_failure_in_the_report() -> None:
    with make_app() as app:

        @app.fastapi_app.get("/nexus-core/data")
        def own() -> str:
            return "mine"

        report = nexus_core.attach(app, live_page=True)
        (problem,) = report.failures
        assert problem.channel.startswith("live page") and "/nexus-core/data" in problem.reason
        assert paths(app) == ["/nexus-core/data"]
        nexus_core.detach(app)
        assert paths(app) == ["/nexus-core/data"]


def test_an_app_without_authentication_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with make_app() as app:
        nexus_core.attach(app, live_page=True)
    assert any("for everybody" in each.getMessage() for each in caplog.records)


def test_nothing_is_told_without_the_app_s_credentials(tmp_path: Path) -> None:
    with LiveApp(tmp_path, key=True) as app:
        for path in PATHS:
            refused = app.get(path, allow_redirects=False)
            assert refused.status_code == 401, path
            assert "throughput" not in refused.text and "<script" not in refused.text
            wrong = app.get(path, headers={"X-API-Key": "guessed"}, allow_redirects=False)
            assert wrong.status_code == 401, path
            let_in = app.get(path, headers={"X-API-Key": KEY})
            assert let_in.status_code == 200, path


def test_the_page_allows_itself_and_nothing_else(served: LiveApp) -> None:
    page = served.get("/nexus-core")
    assert page.url.endswith("/nexus-core/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http" not in policy and "http:" not in page.text and "https:" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "Order service &lt;b&gt;" in page.text


def test_a_name_of_an_app_is_text() -> None:
    text, policy = live_page("</title><script>alert(1)</script>{{script}}\udcff")
    assert "<script>alert" not in text and "{{script}}" in text
    assert text.encode()
    assert live_page("other")[1] == policy


def test_the_figures_are_those_of_what_has_run(served: LiveApp) -> None:
    before = newest(served)
    for _ in range(5):
        assert served.run("forecast", refuse=False).ok
    assert served.run("thumbnail", refuse=True).status_code == 500
    now = newest(served)
    rows = {row["name"]: row for row in now["now"]["workflows"]}
    was = {row["name"]: row for row in before["now"]["workflows"]}
    assert rows["forecast"]["runs"] - was.get("forecast", {"runs": 0})["runs"] == 5
    assert rows["thumbnail"]["failed"] - was.get("thumbnail", {"failed": 0})["failed"] == 1
    recent = [each for each in now["samples"] if each["at"] > before["samples"][-1]["at"]]
    assert sum(each["throughput"] * each["seconds"] for each in recent) == pytest.approx(6)
    assert sum(each["failures"] * each["seconds"] for each in recent) == pytest.approx(1)
    # A run of `forecast` sleeps for at least some milliseconds, and not for ten seconds.
    assert 0.01 < rows["forecast"]["p50"] < 10
    nodes = {(row["workflow"], row["node"]): row for row in now["now"]["nodes"]}
    assert nodes["forecast", "north"]["mean"] > nodes["forecast", "merge"]["mean"]
    assert {row["name"]: row["limit"] for row in now["now"]["pools"]} == {"orders database": 5, "images": None}
    assert now["now"]["cache"]["entries"] == 0
    assert now["now"]["process"]["memory"] > 10 << 20


def test_only_what_is_new_is_told_and_reading_is_shared(served: LiveApp) -> None:
    first = newest(served)
    again = served.get("/nexus-core/data", params={"after": first["number"]}).json()
    assert again["number"] - first["number"] == len(again["samples"]) <= 1
    ahead = served.get("/nexus-core/data", params={"after": first["number"] + 1000}).json()
    assert ahead["restarted"] and len(ahead["samples"]) >= len(first["samples"])
    assert served.get("/nexus-core/data", params={"after": -1}).status_code == 422
    assert served.get("/nexus-core/data", params={"after": "x"}).status_code == 422


def test_a_name_or_time_that_json_cannot_have_is_told_all_the_same() -> None:
    class Odd:
        name, description = "odd-monitor", "has odd alerts"

        def install(self, app: Any) -> None:
            pass

        def get_active_alerts(self) -> list[dict[str, Any]]:
            return [{"severity": "high", "message": "file \udcff " + "x" * 10_000_000, "timestamp": math.nan}]

    with make_app() as app:
        app.add_plugin(Odd())
        nexus_core.attach(app, live_page=True)
        (data,) = [route for route in app.fastapi_app.router.routes if getattr(route, "path", None) == PATHS[2]]
        answer = data.endpoint(after=0)
        (alert,) = json.loads(answer.body)["now"]["alerts"]
        assert alert["message"].startswith("file \udcff xxx") and alert["timestamp"] is None
        assert len(answer.body) < 10_000


def test_alerts_of_a_monitor_are_shown_and_one_that_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class Watcher:
        name, description = "watcher", "fails"
        failing = True

        def install(self, app: Any) -> None:
            pass

        def get_active_alerts(self) -> list[dict[str, Any]]:
            if self.failing:
                raise RuntimeError("no alerts today")
            return [{"severity": "critical", "metric": "errors", "message": "many", "timestamp": 7, "more": object()}]

    with make_app() as app:
        watcher = Watcher()
        app.add_plugin(watcher)
        assert active_alerts(app) == active_alerts(app) == []
        assert sum("alerts of a" in each.getMessage() for each in caplog.records) == 1
        watcher.failing = False
        told = {"severity": "critical", "metric": "errors", "message": "many", "timestamp": 7.0}
        assert active_alerts(app) == [told]


def reading(at: float, runs: int, failed: int = 0, slow: int = 0) -> Reading:
    """Runs of 10 ms, of which some take 1 s."""
    at_most = [runs if bound >= 1.1 else runs - slow if bound >= 0.01 else 0 for bound in BOUNDS]
    return Reading(
        at=at,
        workflows={"w": WorkflowCounts(runs - failed, failed, 0, 0, Histogram(runs, 0.01 * runs, BOUNDS, at_most))},
        nodes={("w", "n"): NodeCounts(runs, failed, 0.02 * runs, 0.02, 0.02)},
        queue_wait=Histogram(), gil_wait=Histogram(), loop_lag=Histogram(), active=1, waiting=0, places_taken=1,
        places=4, cache={"hits": runs, "misses": runs}, process={"cpu_seconds": at * 0.5, "memory": 5},
    )  # fmt: skip


def test_alerts_of_a_performance_monitor_are_shown() -> None:
    with make_app() as app:
        nexus_core.attach(app)
        monitor = nexus_core.PerformanceMonitor(app)
        monitor.collect("staff", lambda: 5)
        monitor.thresholds["staff"] = 3
        monitor.sample()
        (told,) = active_alerts(app)
        assert (told["metric"], told["severity"]) == ("staff", "critical")
        assert "5" in told["message"]


@pytest.mark.parametrize("told_by", ["the app", "its metrics"])
def test_what_a_cache_has_answered_is_told_beside_the_runs(told_by: str) -> None:
    client = pytest.importorskip("prometheus_client")
    with make_app() as app:
        workflow = one_node("result = x * x")
        workflow.name = "told_squares"
        app.register(workflow.name, workflow)
        runtime = nexus_core.attach(app, cache=nexus_core.ResultCache(workflows={"told_squares": True})).runtime
        before = read_app(app, runtime)
        for x in (1, 2, 1, 1, 2):
            asyncio.run(app._execute_workflow("told_squares", {"x": x}))
        if told_by == "the app":
            now = tables(before, read_app(app, runtime))
        else:
            found = reading_of(client.generate_latest().decode(), time.time())
            assert found is not None
            workflows = {name: each for name, each in found.workflows.items() if "told_squares" in name}
            now = tables(before, dataclasses.replace(found, workflows=workflows))
    (row,) = now["workflows"]
    assert (row["runs"], row["cached"], now["runs"], now["cached"]) == (2, 3, 2, 3)
    view = as_view(
        {"app": "a", "version": "1", "runtime": "r", "number": 1, "samples": [], "now": {**now, "nodes": []}}
    )
    assert view is not None
    if told_by == "the app":  # of the other, all caches of this process are part
        assert ("Cache hits", "–", "3 runs answered, 2 results kept") in headline(None, view["now"])
    assert rows(WORKFLOWS, view["now"]["workflows"])[0][-1] == "3"


def test_rates_and_quantiles_are_of_the_time_between() -> None:
    found = sample(reading(10, 1000, 100, 500), reading(12, 1100, 101, 500))
    assert (found["seconds"], found["throughput"], found["failures"]) == (2, 50, 0.5)
    assert (found["error_rate"], found["hit_ratio"], found["cpu"]) == (0.01, 0.5, 0.5)
    # Whatever was slow before is none of it.
    assert found["p99"] == pytest.approx(0.01, rel=0.34)
    assert sample(reading(10, 1000), reading(12, 1100, 0, 100))["p50"] == pytest.approx(1.1, rel=0.34)


def test_a_clock_that_is_set_back_makes_no_rates() -> None:
    earlier = dataclasses.replace(reading(1000, 100), clock=50.0)
    later = dataclasses.replace(reading(400, 120), clock=52.0)
    found = sample(earlier, later)
    assert (found["seconds"], found["throughput"], found["at"]) == (2, 10, 400)
    assert tables(earlier, later)["workflows"][0]["throughput"] == 10


def test_after_a_long_time_without_looks_tables_tell_of_now_again() -> None:
    times = iter([(0, 0), (3600, 7200), (3601, 7205), (3602, 7210), (3620, 7210), (3625, 7210)])
    sampler = Sampler(lambda: reading(*next(times)), interval=0, share=1e9)
    found = [sampler.ask()["now"] for _ in range(6)]
    assert [each["seconds"] for each in found[1:]] == [3600, 1, 2, 20, 25]
    assert [each["workflows"][0]["throughput"] for each in found[1:]] == [2, 5, 5, 0.5, 0.4]


def test_where_nothing_ran_nothing_is_said() -> None:
    found = sample(reading(10, 100), reading(12, 100))
    assert found["throughput"] == 0 and found["p99"] is found["error_rate"] is found["hit_ratio"] is None
    (row,) = tables(reading(10, 100), reading(12, 100))["nodes"]
    assert not row["recent"] and row["mean"] == pytest.approx(0.02)


def test_counters_that_began_anew_give_no_negative_rates() -> None:
    found = sample(reading(10, 1000, 5), reading(12, 10))
    assert found["throughput"] == 0 and found["failures"] == 0


def test_tables_are_bounded() -> None:
    many = reading(12, 10)
    counts = WorkflowCounts(1, 0, 0, 0, Histogram(1, 1, BOUNDS, [1] * len(BOUNDS)))
    many.workflows.update({f"w{k}": counts for k in range(100)})  # type: ignore[attr-defined]
    many.nodes.update({("w", f"n{k}"): NodeCounts(1, 0, float(k)) for k in range(5000)})  # type: ignore[attr-defined]
    found = tables(reading(10, 0), many)
    assert (len(found["workflows"]), found["workflow_count"]) == (MOST_WORKFLOWS, 101)
    assert (len(found["nodes"]), found["node_count"]) == (MOST_NODES, 5001)
    assert found["nodes"][0]["node"] == "n4999"
    assert found["runs"] == 110, "of all workflows, not of those in the table"


def test_many_who_look_cost_one_reading() -> None:
    read = []

    def take() -> Reading:
        read.append(1)
        return reading(float(len(read)), 10 * len(read))

    sampler = Sampler(take, interval=3600)
    answers = [sampler.ask() for _ in range(10)]
    assert len(read) == 1 and answers[0] == answers[-1]
    often = Sampler(take, interval=0)
    for _ in range(400):
        often._next = 0.0
        answer = often.ask()
    assert len(answer["samples"]) == 300 and answer["number"] == 399


def test_workflows_have_the_names_that_they_are_registered_under() -> None:
    import asyncio

    from nexus_core.live.readings import read_app

    with make_app() as app:
        app.register("greet", one_node())
        report = nexus_core.attach(app)
        asyncio.run(report.runtime.execute_workflow_async(app._workflows["greet"], {}))
        found = read_app(app, report.runtime)
        assert list(found.workflows) == ["greet"] and list(found.nodes) == [("greet", "node")]
