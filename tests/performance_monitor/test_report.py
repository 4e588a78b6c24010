"""The report: what it recommends, and how it is shown."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from apps import code_workflow
from nexus_core import PerformanceMonitor
from nexus_core.monitoring import Threshold
from performance_monitor.support import Clock, run


@pytest.fixture
def monitor(app: Any, clock: Clock) -> PerformanceMonitor:
    return PerformanceMonitor(app, clock=clock, thresholds={"cpu_usage_percent": 1e9, "memory_usage_percent": 1e9})


def recommended(monitor: PerformanceMonitor, *words: str) -> str:
    """The one recommendation that has these words."""
    found = [text for text in monitor.generate_performance_report()["recommendations"] if words[0] in text]
    assert len(found) == 1, monitor.generate_performance_report()["recommendations"]
    for word in words:
        assert word in found[0]
    return str(found[0])


def test_failures_are_named(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("orders", code_workflow("result = 1 / x"))
    app.register("fine", code_workflow())
    run(app, "orders", 3, x=0)
    run(app, "orders", 2, x=1)
    run(app, "fine", 5)
    clock.pass_(5)
    monitor.sample()
    text = recommended(monitor, "30.0 % of runs failed", "orders failed in 3 of 5 runs (3 × ZeroDivisionError)")
    assert "fine" not in text
    assert recommended(monitor, "Address critical alerts immediately", "error_rate_percent exceeded threshold: 30 > 5")


def test_what_is_slow_is_named(app: Any, clock: Clock) -> None:
    app.register("slow", code_workflow("import time\ntime.sleep(0.03)\nresult = 1"))
    app.register("quick", code_workflow())
    monitor = PerformanceMonitor(app, clock=clock, thresholds={"cpu_usage_percent": 1e9, "memory_usage_percent": 1e9})
    run(app, "quick", 2)  # which may take long for the first time in a process
    runs = 0
    while runs < 2 or next(iter(monitor.generate_performance_report()["workflows"])) != "slow":
        run(app, "slow")
        runs += 1
    clock.pass_(5)
    monitor.sample()
    monitor.thresholds["response_time_ms"] = 1e6
    assert not any("Runs took" in text for text in monitor.generate_performance_report()["recommendations"])
    monitor.thresholds["response_time_ms"] = 1
    text = recommended(monitor, "Runs took", f" % of it in slow ({runs} runs, ")
    node = re.search(r"its node node takes ([\d.]+) ms\)", text)
    assert node is not None and float(node[1]) >= 30
    average = monitor.get_performance_summary()["response_time_ms"]["avg"]
    assert f"Runs took {average:.0f} ms on average" in text


def test_a_rise_is_told_with_its_figures(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("rising", code_workflow("import time\ntime.sleep(seconds)\nresult = 1"))
    seconds = 0.01
    for _ in range(6):
        run(app, "rising", seconds=seconds)
        clock.pass_(60)
        seconds = monitor.sample()["response_time_ms"] / 1000 + 0.01  # longer than the one before in any case
    found = monitor.get_performance_summary()["response_time_ms"]
    assert found["trend"] == "increasing"
    assert found["confidence"] == pytest.approx(1 - 2 / 720)
    assert found["slope_per_minute"] >= 10
    recommended(monitor, f"Response times rise by {found['slope_per_minute']:.3g} ms a minute (confidence 99.7 %)")


def test_memory_and_processor_are_told_with_what_there_is(app: Any, clock: Clock) -> None:
    monitor = PerformanceMonitor(app, clock=clock, thresholds={"memory_usage_percent": Threshold(1e-6)})
    monitor.sample()
    share = monitor.get_performance_summary()["memory_usage_percent"]["avg"]
    recommended(monitor, f"Memory was at {share:.1f} % on average", " MB now)")


def test_nothing_measured(app: Any, monitor: PerformanceMonitor) -> None:
    assert monitor.generate_performance_report()["recommendations"] == [
        "Nothing was measured in the last 30 minutes: start_monitoring()"
    ]


def test_the_window(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    monitor.sample()
    clock.pass_(9 * 60)
    monitor.sample()
    assert monitor.get_performance_summary()["queue_size"]["data_points"] == 2
    assert monitor.get_performance_summary(5)["queue_size"]["data_points"] == 1
    clock.pass_(25 * 60)
    assert monitor.get_performance_summary() == {}
    assert monitor.generate_performance_report()["performance_summary"]["queue_size"]["data_points"] == 1
    clock.pass_(25 * 60)
    assert monitor.generate_performance_report()["performance_summary"] == {}


def test_recent_alerts_and_counts(monitor: PerformanceMonitor, clock: Clock) -> None:
    levels = [0.0]
    for number in range(7):
        monitor.collect(f"level {number}", lambda: levels[0])
        monitor.thresholds[f"level {number}"] = 100
    for levels[0] in (200, 0, 110):
        clock.pass_(1)
        monitor.sample()
    summary = monitor.generate_performance_report()["alert_summary"]
    assert (summary["total_alerts"], summary["critical_alerts"], summary["resolved_alerts"]) == (7, 0, 7)
    assert [alert["metric"] for alert in summary["recent_alerts"]] == [f"level {number}" for number in range(2, 7)]


def test_as_markdown_html_and_json(app: Any, monitor: PerformanceMonitor, clock: Clock, tmp_path: Path) -> None:
    monitor.collect("<b>|*", lambda: 7)
    monitor.thresholds["<b>|*"] = 1
    app.register("half", code_workflow("result = 1 / x"))
    run(app, "half", 1, x=0)
    for _ in range(3):
        clock.pass_(5)
        monitor.sample()
    report = monitor.generate_performance_report()
    markdown = report.to_markdown()
    assert markdown.startswith("# Performance of ")
    assert "| half | 1 | 1 |" in markdown
    assert "\\<b\\>\\|\\* exceeded threshold: 7 \\> 1" in markdown
    html = report.to_html()
    assert "<b>|*" not in html
    assert "&lt;b&gt;|* exceeded threshold: 7 &gt; 1" in html
    assert html.count("<svg") == sum(len(points) > 1 for points in report.series.values())
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    for name, begins in (("r.md", "# "), ("r.html", "<!doctype"), ("r.json", "{")):
        assert report.save(tmp_path / name).read_text().startswith(begins)
    assert json.loads((tmp_path / "r.json").read_text()) == report
    with pytest.raises(ValueError, match=r"a report is saved as \.html, \.md or \.json, got 'r\.pdf'"):
        report.save("r.pdf")


def test_what_is_named_is_of_the_time_that_the_report_is_about(
    app: Any, monitor: PerformanceMonitor, clock: Clock
) -> None:
    app.register("former", code_workflow("result = 1 / x"))
    app.register("now", code_workflow("result = 1 / x"))
    run(app, "former", 20, x=0)
    monitor.sample()
    for _ in range(35):
        clock.pass_(60)
        monitor.sample()
    run(app, "former", 1, x=1)
    run(app, "now", 1, x=0)
    clock.pass_(60)
    monitor.sample()
    report = monitor.generate_performance_report()
    assert {name: (found["runs"], found["failed"]) for name, found in report["workflows"].items()} == {
        "former": (1, 0),
        "now": (1, 1),
    }
    assert "former" not in recommended(monitor, "% of runs failed", "now failed in 1 of 1 runs (1 × ZeroDivisionError)")


def test_shares_of_workflows_are_of_all_of_the_time(app: Any, clock: Clock) -> None:
    for name in ("one", "two", "three"):
        app.register(name, code_workflow("import time\ntime.sleep(0.02)\nresult = 1"))
    monitor = PerformanceMonitor(app, clock=clock, thresholds={"response_time_ms": 1, "cpu_usage_percent": 1e9})
    for name in ("one", "two", "three"):
        run(app, name, 2)
    clock.pass_(5)
    monitor.sample()
    workflows = monitor.generate_performance_report()["workflows"]
    name, most = next(iter(workflows.items()))
    share = most["mean_ms"] / sum(found["mean_ms"] for found in workflows.values())
    recommended(monitor, "Runs took", f"{100 * share:.0f} % of it in {name} (2 runs")


def test_of_an_app_that_was_closed_it_says_how_it_ended(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    app.register("orders", code_workflow("result = 1 / x"))
    run(app, "orders", 2, x=0)
    clock.pass_(5)
    monitor.sample()
    run(app, "orders", 2, x=1)
    app.close()
    report = monitor.generate_performance_report()
    assert report["attached"] is True
    assert (report["workflows"]["orders"]["runs"], report["workflows"]["orders"]["failed"]) == (4, 2)
    assert not any("attach" in text or "start_monitoring" in text for text in report["recommendations"])
    assert any("orders failed in 2 of 4 runs" in text for text in report["recommendations"])
    clock.pass_(3600)
    assert monitor.generate_performance_report()["recommendations"][1:] == []


def test_memory_beyond_its_limit_is_full_now(app: Any, monitor: PerformanceMonitor, clock: Clock) -> None:
    monitor.sample()
    series = monitor.metrics["memory_usage_percent"]
    series.clear()
    series.extend((clock.now + 60 * minute, 90.0 + 5 * minute) for minute in range(6))
    recommended(monitor, "Memory grows by 5 % of the limit a minute", "is full in 0 minutes")


def test_saved_whatever_kind_of_number_a_threshold_is(app: Any, tmp_path: Path) -> None:
    monitor = PerformanceMonitor(app, thresholds={"memory_usage_percent": Fraction(1, 10**6)})
    monitor.sample()
    (alert,) = json.loads(monitor.generate_performance_report().save(tmp_path / "r.json").read_text())["alert_summary"][
        "recent_alerts"
    ]
    assert alert["threshold"] == 1e-6
