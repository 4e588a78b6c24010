"""The pools in ``/metrics``: one collector on prometheus_client's default registry for all managers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.resource_pool_manager import ResourcePoolManager

__all__ = ["hide", "show"]

_QUANTILES = (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"), ("1", "max"))

_lock = threading.Lock()
_managers: list[tuple[ResourcePoolManager, str]] = []
"""Each with the label of its app, which no other has and which it keeps."""
_collector: Any = None


def show(manager: ResourcePoolManager) -> bool:
    """Has the pools of a manager appear, if prometheus_client is installed.

    Args:
        manager: The manager.

    Returns:
        Whether they do.
    """
    global _collector
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return False
    with _lock:
        if not any(manager is other for other, _ in _managers):
            _managers.append((manager, _label(manager.app_name)))
        if _collector is None:
            _collector = _Collector()
            REGISTRY.register(_collector)
    return True


def hide(manager: ResourcePoolManager) -> None:
    """Has them disappear, and the collector with the last of them.

    Args:
        manager: The manager.
    """
    global _collector
    with _lock:
        _managers[:] = [shown for shown in _managers if shown[0] is not manager]
        if _managers or _collector is None:
            return
        collector, _collector = _collector, None
    from prometheus_client import REGISTRY

    REGISTRY.unregister(collector)


class _Collector:
    """Reads the figures when they are asked for."""

    def describe(self) -> list[Any]:
        """Nothing in advance: asked for names, the registry would collect."""
        return []

    def collect(self) -> Iterator[Any]:
        """The figures of every pool of every manager; labels are the app and the pool."""
        with _lock:
            managers = list(_managers)
        yield from _connection_families(managers)
        yield from _thread_families(managers)


def _label(name: str) -> str:
    """The name, or with a number where another app is shown under it."""
    taken = {label for _, label in _managers}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(label for label in itertools.chain([name], numbered) if label not in taken)


def _connection_families(managers: list[tuple[ResourcePoolManager, str]]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    prefix, labels = "nexus_core_connection_pool", ["app", "pool"]
    connections = GaugeMetricFamily(f"{prefix}_connections", "Connections of the pool", labels=[*labels, "state"])
    limit = GaugeMetricFamily(f"{prefix}_max_connections", "Connections that may exist at once", labels=labels)
    waiting = GaugeMetricFamily(f"{prefix}_waiting", "Callers that wait for a connection", labels=labels)
    counters = {
        name: CounterMetricFamily(f"{prefix}_{name}", text, labels=labels)
        for name, text in (
            ("checkouts", "Connections asked for"),
            ("checkout_errors", "Requests that got no connection"),
            ("connections_made", "Connections made"),
            ("connection_errors", "Attempts to connect that failed"),
            ("connections_lost", "Connections found broken"),
        )
    }
    wait = GaugeMetricFamily(f"{prefix}_wait_seconds", "Time waited for a connection", labels=[*labels, "quantile"])
    usage = GaugeMetricFamily(f"{prefix}_usage_seconds", "Time that connections were out", labels=[*labels, "quantile"])
    for manager, app in managers:
        for name, managed in list(manager.connection_pools.items()):
            figures = managed.figures()
            for state in ("idle", "in_use"):
                connections.add_metric([app, name, state], figures[state])
            limit.add_metric([app, name], managed.max_size)
            waiting.add_metric([app, name], figures["waiting"])
            for counter, family in counters.items():
                family.add_metric([app, name], figures[counter])
            _add_quantiles(wait, [app, name], figures["wait"])
            _add_quantiles(usage, [app, name], figures["usage"])
    yield from (connections, limit, waiting, *counters.values(), wait, usage)


def _thread_families(managers: list[tuple[ResourcePoolManager, str]]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    prefix, labels = "nexus_core_thread_pool", ["app", "pool"]
    threads = GaugeMetricFamily(f"{prefix}_threads", "Threads of the pool", labels=labels)
    tasks = GaugeMetricFamily(f"{prefix}_tasks", "Tasks that are not finished", labels=[*labels, "state"])
    finished = CounterMetricFamily(f"{prefix}_tasks_finished", "Tasks by how they ended", labels=[*labels, "outcome"])
    spent = CounterMetricFamily(f"{prefix}_thread_seconds", "What threads spent their time on", labels=[*labels, "on"])
    wait = GaugeMetricFamily(f"{prefix}_queue_wait_seconds", "Time in the queue", labels=[*labels, "quantile"])
    run = GaugeMetricFamily(f"{prefix}_run_seconds", "Time that tasks ran", labels=[*labels, "quantile"])
    for manager, app in managers:
        for name, managed in list(manager.thread_pools.items()):
            figures = managed.figures()
            threads.add_metric([app, name], figures["threads"])
            for state in ("queued", "running"):
                tasks.add_metric([app, name, state], figures[state])
            for outcome in ("done", "failed", "cancelled", "rejected"):
                finished.add_metric([app, name, outcome], figures[outcome])
            for on, seconds in figures["time"].items():
                spent.add_metric([app, name, on], seconds)
            _add_quantiles(wait, [app, name], figures["queue_wait"])
            _add_quantiles(run, [app, name], figures["run_time"])
    yield from (threads, tasks, finished, spent, wait, run)


def _add_quantiles(family: Any, labels: list[str], duration: Any) -> None:
    for quantile, attribute in _QUANTILES:
        family.add_metric([*labels, quantile], getattr(duration, attribute))
