"""The thread that samples: when it begins and ends, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nexus_core
from nexus_core import PerformanceMonitor
from nexus_core.errors import NexusCoreError
from nexus_core.monitoring import series
from nexus_core.monitoring.sampler import Sampler, next_due
from nexus_core.monitoring.series import moment_of
from performance_monitor.support import until

LIMIT = 240  # seconds: what may hang gets no more


def in_process(program: str, tmp_path: Path) -> Any:
    """What a program of its own has printed."""
    (tmp_path / ".kailash" / "tracking").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_samples_are_taken_at_intervals_until_it_is_stopped(app: Any) -> None:
    monitor = PerformanceMonitor(app)
    monitor.start_monitoring(0.01)
    until(lambda: len(monitor.metrics["queue_size"]) >= 5)
    thread = monitor.monitor_thread
    assert monitor.stop_monitoring() == {"monitoring_stopped": True, "was_running": True, "sample_pending": False}
    assert thread is not None and not thread.is_alive()
    taken = len(monitor.metrics["queue_size"])
    assert monitor.stop_monitoring()["was_running"] is False
    assert len(monitor.metrics["queue_size"]) == taken
    times = [when for when, _ in monitor.metrics["queue_size"]]
    assert times == sorted(times)
    monitor.start_monitoring(60)
    until(lambda: len(monitor.metrics["queue_size"]) == taken + 1)


def test_started_twice(app: Any) -> None:
    monitor = PerformanceMonitor(app)
    assert monitor.start_monitoring(60)["already_running"] is False
    thread = monitor.monitor_thread
    again = monitor.start_monitoring(60)
    assert (again["monitoring_started"], again["interval"], again["already_running"]) == (True, 60, True)
    with pytest.raises(NexusCoreError, match=r"runs already, every 60 s; stop_monitoring\(\) before .* with 5"):
        monitor.start_monitoring(5)
    assert monitor.monitor_thread is thread
    monitor.stop_monitoring()
    assert monitor.start_monitoring(5)["already_running"] is False


def test_closing_the_app_ends_it(make_app: Callable[[], Any]) -> None:
    app = make_app()
    monitor = PerformanceMonitor(app)
    monitor.start_monitoring(3600)
    thread = monitor.monitor_thread
    assert thread is not None
    app.close()
    assert not monitor.monitoring_active and monitor.closed
    thread.join(60)
    assert not thread.is_alive()
    assert "close" not in vars(app)
    assert not any("monitor" in name for name in app._plugins)
    with pytest.raises(NexusCoreError, match="the monitor is closed"):
        monitor.start_monitoring(5)
    with pytest.raises(NexusCoreError, match="the monitor is closed"):
        monitor.sample()
    assert monitor.generate_performance_report()["monitoring_status"] == "inactive"
    assert monitor.stop_monitoring()["was_running"] is False
    with pytest.raises(NexusCoreError, match="the app is closed"):
        PerformanceMonitor(app)


def test_the_apps_shutdown_hooks_end_it(app: Any) -> None:
    monitor = PerformanceMonitor(app)
    monitor.start_monitoring(3600)
    asyncio.run(app._call_shutdown_hooks_async())
    assert monitor.closed and not monitor.monitoring_active


def test_shutdown_does_not_wait_for_a_collector(app: Any) -> None:
    entered, gate = threading.Event(), threading.Event()

    def collect() -> float:
        entered.set()
        assert gate.wait(120)
        return 1

    monitor = PerformanceMonitor(app)
    monitor.collect("held up", collect)
    monitor.start_monitoring(3600)
    assert entered.wait(60)
    thread = monitor.monitor_thread
    assert thread is not None
    app.close()
    assert thread.is_alive()  # nobody has waited for it
    gate.set()
    thread.join(60)
    assert not thread.is_alive()
    assert "held up" not in monitor.metrics


def test_a_handler_may_stop_it(app: Any) -> None:
    monitor = PerformanceMonitor(app, thresholds={"memory_usage_percent": 0})
    replies: list[dict[str, Any]] = []
    monitor.add_handler(lambda alert: replies.append(monitor.stop_monitoring()))
    monitor.start_monitoring(0.01)
    until(lambda: replies)
    until(lambda: not monitor.monitoring_active)
    assert replies[0]["was_running"] is True


def test_several_monitors_of_one_app(app: Any) -> None:
    first, second = PerformanceMonitor(app), PerformanceMonitor(app)
    assert [name for name in app._plugins if "monitor" in name] == [
        "nexus-core-performance-monitor",
        "nexus-core-performance-monitor-2",
    ]
    first.close()
    first.close()
    assert second.sample()["active_workflows"] == 0
    app.close()
    assert second.closed


def test_what_is_missed_is_not_made_up_for() -> None:
    assert next_due(100.0, 5.0, 100.2) == 105.0
    assert next_due(100.0, 5.0, 104.9) == 105.0
    assert next_due(100.0, 5.0, 105.0) == 110.0
    assert next_due(100.0, 5.0, 131.0) == 135.0
    assert next_due(100.0, 5.0, 99.0) == 105.0  # a clock that is coarse


def test_it_ends_with_its_owner() -> None:
    class Owner:
        pass

    owner = Owner()
    seen = weakref.ref(owner)
    sampler = Sampler(owner, lambda _: None, 3600)
    del owner
    gc.collect()
    assert seen() is None
    assert sampler.join(60)


def test_a_sample_that_fails_is_logged_once_and_others_follow(
    app: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = PerformanceMonitor(app)
    with caplog.at_level(logging.WARNING, "nexus_core.monitor"):
        monkeypatch.setattr(series.SeriesByName, "add", lambda *_: 1 / 0)
        monitor.start_monitoring(0.01)
        until(lambda: monitor.problems.get("a sample", {}).get("count", 0) >= 3)
        monkeypatch.undo()
        until(lambda: len(monitor.metrics["queue_size"]) >= 2)
    assert len([record for record in caplog.records if record.name == "nexus_core.monitor"]) == 1


def test_it_keeps_no_process_alive(tmp_path: Path) -> None:
    found = in_process(
        """
        import atexit, json, threading
        atexit.register(lambda: print(json.dumps([active, monitor.monitoring_active, monitor.closed])))
        from nexus import Nexus
        from nexus_core import PerformanceMonitor

        app = Nexus(enable_durability=False)
        monitor = PerformanceMonitor(app)
        entered = threading.Event()

        def collect():
            entered.set()
            threading.Event().wait()  # never

        monitor.collect("for ever", collect)
        monitor.start_monitoring(0.01)
        entered.wait()
        active = monitor.monitoring_active
        """,
        tmp_path,
    )
    assert found == [True, False, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_none_and_may_start_one(tmp_path: Path) -> None:
    found = in_process(
        """
        import json, os, time, warnings
        import nexus_core
        from nexus import Nexus
        from nexus_core import PerformanceMonitor

        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        app = Nexus(enable_durability=False)
        monitor = PerformanceMonitor(app)
        monitor.start_monitoring(0.001)
        while len(monitor.metrics["cpu_usage_percent"]) < 2:
            time.sleep(0.005)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            seen = {"active": monitor.monitoring_active, "thread": monitor.monitor_thread is None}
            monitor.stop_monitoring()
            before = monitor.sample()["timestamp"]
            monitor.start_monitoring(0.001)
            while monitor.metrics["memory_usage_percent"][-1][0] <= before:
                time.sleep(0.005)
            seen["again"] = monitor.monitoring_active
            known = len(monitor.metrics["cpu_usage_percent"])
            while len(monitor.metrics["cpu_usage_percent"]) == known < 100:
                time.sleep(0.005)
            seen["share"] = monitor.metrics["cpu_usage_percent"][-1][1] >= 0
            monitor.close()
            os.write(writing, json.dumps(seen).encode())
            os._exit(0)
        os.waitpid(child, 0)
        seen = json.loads(os.read(reading, 1000))
        seen["parent"] = monitor.monitoring_active
        app.close()
        print(json.dumps(seen))
        """,
        tmp_path,
    )
    assert found == {"active": False, "thread": True, "again": True, "share": True, "parent": True}


def test_of_a_closed_one_the_app_keeps_nothing(app: Any) -> None:
    gone = []
    for _ in range(3):
        first, second = PerformanceMonitor(app), PerformanceMonitor(app)
        gone += [weakref.ref(first), weakref.ref(second)]
        first.close()  # the other stands before it in app.close
        nexus_core.detach(app)
        nexus_core.attach(app)  # and this before that one
        second.close()
        del first, second
    gc.collect()
    assert [monitor() for monitor in gone] == [None] * 6
    last = PerformanceMonitor(app)
    app.close()
    assert last.closed


def test_many_threads_at_once(app: Any) -> None:
    monitor = PerformanceMonitor(app, thresholds={"memory_usage_percent": 0})
    raised: list[BaseException] = []

    def use(number: int) -> None:
        calls: list[Callable[[], object]] = [
            monitor.sample,
            lambda: monitor.start_monitoring(0.001),
            monitor.stop_monitoring,
            monitor.get_performance_summary,
            monitor.generate_performance_report,
        ]
        try:
            for turn in range(60):
                calls[(number + turn) % len(calls)]()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert raised == []
    assert monitor.problems == {}
    assert len(monitor.alerts) == 1
    for points in monitor.metrics.values():
        moments = [moment_of(point) for point in points]
        assert moments == sorted(moments)
