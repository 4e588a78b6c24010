"""What is measured, against what was run, and against psutil."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, function_workflow
from nexus_core import PerformanceMonitor
from nexus_core._app_workflows import attached_runtime
from nexus_core.metrics import process_metrics
from nexus_core.metrics.totals import RuntimeTotals, WorkflowTotals, read_totals
from nexus_core.monitoring import measurements, trend_of
from nexus_core.monitoring.measurements import memory_limit, processors
from performance_monitor.support import Clock, run, until

psutil = pytest.importorskip("psutil")


@pytest.fixture
def monitor(app: Any, clock: Clock) -> PerformanceMonitor:
    # What the machine does meanwhile raises no alert here.
    return PerformanceMonitor(app, clock=clock, thresholds={"cpu_usage_percent": 1e9, "memory_usage_percent": 1e9})


def test_an_idle_app_shows_idle(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("quick", code_workflow())
    for _ in range(6):
        clock.pass_(5)
        seen = monitor.sample()
        assert seen["throughput_per_second"] == 0
        assert seen["error_rate_percent"] == 0
        assert seen["active_workflows"] == 0
        assert seen["queue_size"] == 0
        assert seen["response_time_ms"] is None
        assert seen["registered_workflows"] == 1
        assert 0 < seen["memory_usage_percent"] < 100
    summary = monitor.get_performance_summary()
    assert "response_time_ms" not in summary
    assert summary["throughput_per_second"]["trend"] == "stable"
    assert monitor.alerts == []
    assert monitor.generate_performance_report()["recommendations"] == []


def test_runs_are_counted_over_the_interval(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("quick", code_workflow())
    run(app, "quick", 8)
    clock.pass_(4)
    assert monitor.sample()["throughput_per_second"] == 2
    run(app, "quick", 3)
    clock.pass_(10)
    assert monitor.sample()["throughput_per_second"] == pytest.approx(0.3)
    clock.pass_(10)
    assert monitor.sample()["throughput_per_second"] == 0


def test_a_known_sleep_shows(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("sleeping", code_workflow("import time\ntime.sleep(0.04)\nresult = 1"))
    app.register("quick", code_workflow())
    run(app, "quick", 5)
    clock.pass_(5)
    before = monitor.sample()["response_time_ms"]
    began = time.perf_counter()
    run(app, "sleeping", 3)
    outside = 1000 * (time.perf_counter() - began)
    clock.pass_(5)
    slow = monitor.sample()["response_time_ms"]
    assert 40 <= slow <= outside / 3
    report = monitor.generate_performance_report()
    assert {name: found["runs"] for name, found in report["workflows"].items()} == {"sleeping": 3, "quick": 5}
    assert report["workflows"]["sleeping"]["mean_ms"] == pytest.approx(slow)
    # The average is over runs: of eight, not of two intervals.
    average = monitor.get_performance_summary()["response_time_ms"]["avg"]
    assert average == pytest.approx((5 * before + 3 * slow) / 8)


def test_a_failing_workflow_raises_the_error_rate_and_its_alert(
    app: Any, monitor: PerformanceMonitor, clock: Clock
) -> None:
    app.register("half", code_workflow("result = 1 / x"))
    assert [error is None for error in run(app, "half", 3, x=1) + run(app, "half", 1, x=0)] == [True] * 3 + [False]
    clock.pass_(5)
    assert monitor.sample()["error_rate_percent"] == 25
    (alert,) = monitor.get_active_alerts("critical")
    assert (alert["metric"], alert["current_value"], alert["threshold"]) == ("error_rate_percent", 25, 5)
    assert alert["message"] == "error_rate_percent exceeded threshold: 25 > 5"
    # Nothing runs any more: an idle app has no errors, yet the average is that of the runs.
    clock.pass_(5)
    monitor.sample()
    assert monitor.get_active_alerts() == []
    assert monitor.alerts[0]["resolution"] == "there was nothing to measure"
    assert monitor.get_performance_summary()["error_rate_percent"]["avg"] == 25


def test_over_http(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    httpx = pytest.importorskip("httpx")
    app.register("half", code_workflow("result = 1 / x"))

    async def main() -> list[int]:
        transport = httpx.ASGITransport(app.fastapi_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            replies = [await client.post("/workflows/half/execute", json={"inputs": {"x": x}}) for x in (1, 2, 0, 4)]
        return [reply.status_code for reply in replies]

    assert asyncio.run(main()) == [200, 200, 500, 200]
    clock.pass_(2)
    seen = monitor.sample()
    assert (seen["throughput_per_second"], seen["error_rate_percent"]) == (2, 25)


def test_runs_under_way_and_runs_in_line(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, max_concurrent_nodes=1, thread_pool_size=1)
    gate, entered = threading.Event(), threading.Event()

    def wait() -> int:
        entered.set()
        gate.wait(60)
        return 1

    app.register("waiting", function_workflow(wait))
    monitor = PerformanceMonitor(app)
    threads = [threading.Thread(target=run, args=(app, "waiting")) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        assert entered.wait(60)
        until(lambda: monitor.sample()["queue_size"] == 2)
        assert monitor.sample()["active_workflows"] == 3
    finally:
        gate.set()
        for thread in threads:
            thread.join()
    seen = monitor.sample()
    assert (seen["active_workflows"], seen["queue_size"]) == (0, 0)


def test_a_blocked_loop_is_late(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("quick", code_workflow())
    runtime = attached_runtime(app)

    async def main() -> None:
        await runtime.execute_workflow_async(app._workflows["quick"], {})
        clock.pass_(1)
        monitor.sample()
        time.sleep(0.6)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    clock.pass_(1)
    # The loop's timer was due within 0.2 s: it was late by 0.4 s, and once or twice in time since.
    assert monitor.sample()["event_loop_lag_ms"] >= 100
    clock.pass_(1)
    assert monitor.sample()["event_loop_lag_ms"] is None


@pytest.mark.own_process
def test_processor_share_is_what_psutil_says(app: Any) -> None:
    outside = psutil.Process()

    def used() -> tuple[float, float]:
        times = outside.cpu_times()
        return times.user + times.system, time.monotonic()

    first = used()
    monitor = PerformanceMonitor(app)
    second = used()
    deadline = time.process_time() + 0.4
    while time.process_time() < deadline:
        pass
    third = used()
    share = monitor.sample()["cpu_usage_percent"] / 100
    fourth = used()
    available = processors(process_metrics())
    assert available is not None
    assert available <= (psutil.cpu_count() or 1)
    tick = 0.03  # psutil reads the system's ticks
    assert (third[0] - second[0] - tick) / (fourth[1] - first[1]) <= share * available
    assert share * available <= (fourth[0] - first[0] + tick) / (third[1] - second[1])


@pytest.mark.own_process
def test_memory_share_is_what_psutil_says(app: Any, monitor: PerformanceMonitor) -> None:
    outside = psutil.Process()
    limit = memory_limit(process_metrics())
    assert limit is not None
    assert limit <= psutil.virtual_memory().total
    before = outside.memory_info().rss
    used = monitor.sample()["memory_usage_percent"] * limit / 100
    after = outside.memory_info().rss
    assert min(before, after) - 8_000_000 <= used <= max(before, after) + 8_000_000


def test_memory_of_the_container(app: Any, monitor: PerformanceMonitor) -> None:
    seen = process_metrics()
    share = monitor.sample()["container_memory_percent"]
    if seen.memory_limit_bytes is None:
        assert share is None
        assert monitor.not_visible()["container_memory_percent"] == "no container limits the memory"
    else:
        assert seen.limited_memory_used_bytes is not None
        assert 0 < share <= 100


def test_shares_are_of_what_the_container_gives(app: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = replace(process_metrics(), memory_limit_bytes=None, limited_memory_used_bytes=None, cpu_limit=None)
    seen = machine
    monkeypatch.setattr(measurements, "process_metrics", lambda: seen)
    monkeypatch.setattr(time, "monotonic", clock)
    monitor = PerformanceMonitor(app)

    def sample(seconds: float, **figures: Any) -> dict[str, Any]:
        nonlocal seen
        spent = (seen.cpu_user_seconds or 0.0) + seconds
        seen = replace(machine, cpu_user_seconds=spent, resident_bytes=300_000_000, **figures)
        clock.pass_(10)
        return monitor.sample()

    assert machine.cpus is not None
    free = sample(2.0)
    assert free["cpu_usage_percent"] == pytest.approx(20 / machine.cpus)
    assert free["memory_usage_percent"] == pytest.approx(100 * 300_000_000 / psutil.virtual_memory().total, rel=0.01)
    assert free["container_memory_percent"] is None
    limits = {"memory_limit_bytes": 400_000_000, "limited_memory_used_bytes": 360_000_000, "cpu_limit": 0.5}
    limited = sample(2.0, **limits)
    assert limited["cpu_usage_percent"] == pytest.approx(40)
    assert (limited["memory_usage_percent"], limited["container_memory_percent"]) == (75, 90)
    # A limit beyond what the machine has limits nothing.
    loose = sample(2.0, memory_limit_bytes=10**18, limited_memory_used_bytes=10**9, cpu_limit=1e6)
    assert loose["cpu_usage_percent"] == pytest.approx(free["cpu_usage_percent"])
    assert loose["memory_usage_percent"] == free["memory_usage_percent"]
    nothing = sample(0.0, cpu_system_seconds=None)
    assert nothing["cpu_usage_percent"] is None


def test_an_app_that_is_not_attached(make_app: Callable[[], Any], clock: Clock) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    monitor = PerformanceMonitor(app, clock=clock)
    run(app, "quick")
    clock.pass_(5)
    seen = monitor.sample()
    unseen = {
        "response_time_ms", "error_rate_percent", "active_workflows", "queue_size", "throughput_per_second",
        "event_loop_lag_ms",
    }  # fmt: skip
    assert all(seen[name] is None for name in unseen)
    assert unseen.isdisjoint(monitor.metrics)
    assert seen["memory_usage_percent"] > 0
    assert set(monitor.not_visible()) - {"container_memory_percent"} == unseen
    started = monitor.start_monitoring(60)
    assert (started["attached"], started["not_visible"]) == (False, monitor.not_visible())
    report = monitor.generate_performance_report()
    assert "Runs cannot be seen, as the app is not attached: nexus_core.attach(app)" in report["recommendations"]
    assert report["workflows"] == {}


def test_attaching_and_detaching_meanwhile(make_app: Callable[[], Any], clock: Clock) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    monitor = PerformanceMonitor(app, clock=clock, thresholds={"throughput_per_second": 1})
    clock.pass_(2)
    monitor.sample()
    nexus_core.attach(app)
    run(app, "quick", 4)
    clock.pass_(2)
    assert monitor.sample()["throughput_per_second"] == 2  # those before the first look at the runtime, too
    assert len(monitor.get_active_alerts()) == 1
    nexus_core.detach(app)
    clock.pass_(2)
    assert monitor.sample()["throughput_per_second"] is None
    (alert,) = monitor.alerts
    assert (alert["status"], alert["resolution"]) == ("resolved", "there was nothing to measure")


def test_runs_of_others_on_a_runtime_before_it_was_attached_do_not_count(
    make_app: Callable[[], Any], clock: Clock
) -> None:
    first, second = make_app(), make_app()
    runtime = nexus_core.attach(first).runtime
    first.register("quick", code_workflow())
    second.register("quick", code_workflow())
    monitor = PerformanceMonitor(second, clock=clock)
    run(first, "quick", 50)
    monitor.sample()
    nexus_core.attach(second, runtime)
    clock.pass_(1)
    assert monitor.sample()["throughput_per_second"] == 0
    run(second, "quick", 2)
    clock.pass_(1)
    assert monitor.sample()["throughput_per_second"] == 2
    second.close()


def test_no_rate_without_time(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("quick", code_workflow())
    run(app, "quick", 3)
    assert "throughput_per_second" not in monitor.sample()
    clock.pass_(1)
    assert monitor.sample()["throughput_per_second"] == 3


def test_what_a_clock_that_is_set_back_does_not_change(app: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    behind, level = 0.0, 100.0
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(time, "time", lambda: clock.now - behind)
    monitor = PerformanceMonitor(app)
    monitor.collect("level", lambda: level)
    for minute in range(12):
        behind = 0.0 if minute < 6 else 3600.0
        level += 10
        monitor.sample()
        clock.pass_(60)
    assert monitor.metrics["level"][-1][0] < monitor.metrics["level"][0][0]
    found = monitor.get_performance_summary(60)["level"]
    assert (found["trend"], found["slope_per_minute"]) == ("increasing", pytest.approx(10))
    assert monitor.get_performance_summary(3.5)["level"]["data_points"] == 3
    assert trend_of(monitor.metrics["level"]) == trend_of(monitor._watch.points(60)["level"])
    clock.pass_(3600)
    assert monitor.get_performance_summary() == {}


def test_a_runtime_is_not_taken_for_a_new_one_when_the_clock_is_set_back(
    make_app: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_app(), make_app()
    runtime = nexus_core.attach(first).runtime
    first.register("quick", code_workflow())
    run(first, "quick", 5)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    monitor = PerformanceMonitor(second)
    nexus_core.attach(second, runtime)
    assert monitor.sample()["throughput_per_second"] == 0
    assert monitor.generate_performance_report()["workflows"] == {}
    second.close()


def test_a_clock_of_ones_own_that_goes_back(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("quick", code_workflow())
    clock.pass_(-3600)
    assert "throughput_per_second" not in monitor.sample()
    run(app, "quick", 4)
    clock.pass_(2)
    assert monitor.sample()["throughput_per_second"] == 2


def test_its_totals_are_those_of_the_metrics(app: Any) -> None:
    app.register("half", code_workflow("result = 1 / x"))
    run(app, "half", 3, x=1)
    run(app, "half", 2, x=0)
    runtime = attached_runtime(app)
    totals, metrics = read_totals(runtime), runtime.metrics()
    (found,) = totals.workflows.values()
    assert (found.runs, found.failed, found.failures) == (5, 2, {"ZeroDivisionError": 2})
    assert found.seconds == metrics.workflows[next(iter(totals.workflows))].duration.total
    assert (totals.lag_samples, totals.lag_seconds) == (metrics.loop_lag.count, metrics.loop_lag.total)
    assert (totals.active, totals.waiting) == (metrics.active, metrics.places.waiting)
    age = time.time() - metrics.since
    assert 0 < totals.age <= age + 1


def test_a_sample_reads_no_figures_of_nodes(
    app: Any, monitor: PerformanceMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(attached_runtime(app)), "metrics", lambda _: 1 / 0)
    assert monitor.sample()["active_workflows"] == 0
    assert monitor.problems == {}


def test_a_failure_that_is_counted_after_its_run_is_not_lost(
    app: Any, monitor: PerformanceMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([(1, 0), (1, 1), (2, 1)])  # a run, its failure, and a run that ended well

    def read(_: Any) -> RuntimeTotals:
        runs, failed = next(states)
        return RuntimeTotals(9e9, 0, 0, 0, 0.0, {"w": WorkflowTotals(runs, failed, float(runs))})

    monkeypatch.setattr(measurements, "read_totals", read)
    rates = []
    for _ in range(3):
        clock.pass_(1)
        rates.append(monitor.sample()["error_rate_percent"])
    assert rates == [0, 0, 100]
