"""Active alerts in an app's `/metrics`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import PerformanceMonitor

client = pytest.importorskip("prometheus_client")
parser = pytest.importorskip("prometheus_client.parser")
httpx = pytest.importorskip("httpx")

NAME = "nexus_core_monitor_active_alerts"


def scraped(app: Any) -> dict[tuple[str, str, str], float]:
    """By app, metric and severity, as the app itself tells."""

    async def get() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app.fastapi_app), base_url="http://app") as asking:
            reply = await asking.get("/metrics")
        assert reply.status_code == 200
        return str(reply.text)

    # What Kailash adds of its own is not all of it well-formed.
    ours = "".join(f"{line}\n" for line in asyncio.run(get()).splitlines() if NAME in line)
    found: dict[tuple[str, str, str], float] = {}
    for family in parser.text_string_to_metric_families(ours):
        for sample in family.samples:
            if sample.name == NAME:
                key = (sample.labels["app"], sample.labels["metric"], sample.labels["severity"])
                assert key not in found
                found[key] = sample.value
    return found


def test_active_alerts_are_ones(app: Any) -> None:
    monitor = PerformanceMonitor(app)
    level = 0.0
    monitor.collect("level", lambda: level)
    monitor.thresholds = {"level": 10, "queue_size": 5}
    name = monitor.app_name
    nothing = {
        (name, metric, severity): 0
        for metric in ("level", "queue_size")
        for severity in ("info", "warning", "critical")
    }
    assert scraped(app) == nothing
    level = 13
    monitor.sample()
    assert scraped(app) == nothing | {(name, "level", "warning"): 1}
    level = 20
    monitor.sample()
    assert scraped(app) == nothing | {(name, "level", "critical"): 1}
    level = 0
    monitor.sample()
    assert scraped(app) == nothing
    monitor.close()
    assert scraped(app) == {}


def test_two_apps_have_labels_of_their_own(make_app: Callable[[], Any]) -> None:
    first, second = make_app(), make_app()
    monitors = [PerformanceMonitor(each) for each in (first, second)]
    name = monitors[0].app_name
    assert {label for label, *_ in scraped(first)} == {name, f"{name}-2"}
    first.close()
    assert {label for label, *_ in scraped(second)} == {f"{name}-2"}
    second.close()
    gc.collect()
    assert NAME not in client.generate_latest().decode()
