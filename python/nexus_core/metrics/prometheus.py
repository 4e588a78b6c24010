"""Runtimes in ``/metrics``: one collector on prometheus_client's default registry for all of them."""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from nexus_core.metrics.process import process_metrics
from nexus_core.metrics.reading import read_raw

__all__ = ["MOST_NODES", "MOST_WORKFLOWS", "hide", "show"]

#: Workflows and nodes of a runtime with labels of their own: the first that are seen. Others
#: are together ``other``.
MOST_WORKFLOWS = 100
MOST_NODES = 500

#: Upper bounds of the buckets, in seconds.
BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

_OTHER = "other"
_QUANTILES = (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"), ("1", "max"))

_log = logging.getLogger("nexus_core.metrics")
#: A finalizer that the collector runs in here may detach an app.
_lock = threading.RLock()
_shown: list[_Shown] = []
_collector: Any = None


class _Shown:
    """A runtime that is shown, with a label that no other has, and the labels that it has used."""

    def __init__(self, runtime: Any, label: str) -> None:
        self.runtime = weakref.ref(runtime)
        self.label = label
        #: How often it was asked for.
        self.times = 1
        self._workflows: set[str] = set()
        self._nodes: set[tuple[str, str]] = set()

    def workflow(self, name: str) -> str:
        """The label of a workflow: once it has one of its own it keeps it, so that sums never shrink."""
        return _own_or_other(self._workflows, name, name, MOST_WORKFLOWS)

    def node(self, workflow: str, node_id: str) -> str:
        """The label of a node."""
        return _own_or_other(self._nodes, (workflow, node_id), node_id, MOST_NODES)


def _own_or_other(known: set[Any], key: Any, label: str, most: int) -> str:
    if key not in known:
        if len(known) >= most:
            return _OTHER
        known.add(key)
    return label


def show(runtime: Any, name: str | None = None) -> bool:
    """Has the figures of a runtime appear in Prometheus' default registry, and so in Nexus' ``/metrics``.

    An attached app's runtime appears by itself. Shown twice, it is to be hidden twice. A runtime
    that is no more disappears.

    Args:
        runtime: A ``LocalRuntime`` or ``AsyncLocalRuntime``.
        name: The value of its label ``runtime``, with a number where another has it; by default
            ``runtime``.

    Returns:
        Whether they appear: ``False`` without prometheus_client.

    Example:
        >>> from nexus_core.runtime import LocalRuntime
        >>> with LocalRuntime(enable_monitoring=False) as runtime:
        ...     shown = show(runtime, "reports")
        ...     hide(runtime)
        >>> shown
        True
    """
    global _collector
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return False
    with _lock:
        _forget_gone()
        known = next((shown for shown in _shown if shown.runtime() is runtime), None)
        if known is not None:
            known.times += 1
        else:
            _shown.append(_Shown(runtime, _label(name or "runtime")))
        if _collector is None:
            _collector = _Collector()
            REGISTRY.register(_collector)
    return True


def hide(runtime: Any) -> None:
    """Has them disappear, once it was called as often as `show`; of a runtime that is not shown, nothing.

    Args:
        runtime: The runtime.
    """
    global _collector
    with _lock:
        for shown in _shown:
            if shown.runtime() is runtime:
                shown.times -= 1
        _forget_gone()
        _shown[:] = [shown for shown in _shown if shown.times > 0]
        if _shown or _collector is None:
            return
        collector, _collector = _collector, None
    from prometheus_client import REGISTRY

    REGISTRY.unregister(collector)


def _forget_gone() -> None:
    _shown[:] = [shown for shown in _shown if shown.runtime() is not None]


def _label(name: str) -> str:
    taken = {shown.label for shown in _shown}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(label for label in itertools.chain([name], numbered) if label not in taken)


class _Collector:
    """Reads the figures when they are asked for."""

    def describe(self) -> list[Any]:
        """Nothing in advance: asked for names, the registry would collect."""
        return []

    def collect(self) -> Iterator[Any]:
        """The figures of every runtime, and of the process."""
        with _lock:
            shown = [(entry, runtime) for entry in _shown if (runtime := entry.runtime()) is not None]
        runtimes = []
        for entry, runtime in shown:
            try:
                runtimes.append((entry, runtime, read_raw(runtime, BOUNDS), runtime.engine_statistics()))
            except Exception:
                # Whatever it is, the other figures of the process are not to miss for it.
                _log.warning("the figures of runtime %r could not be read", entry.label, exc_info=True)
        yield from _workflow_families(runtimes)
        yield from _node_families(runtimes)
        yield from _runtime_families(runtimes)
        yield from _process_families()


_Runtimes = list[tuple[_Shown, Any, dict[str, Any], dict[str, Any]]]


class _Sums:
    """Durations by labels, added up where several have the same."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], tuple[list[int], int, float]] = {}

    def add(self, labels: tuple[str, ...], seen: dict[str, Any]) -> None:
        counts, count, total = self._found.get(labels, ([0] * len(BOUNDS), 0, 0.0))
        durations = seen["durations"]
        together = [a + b for a, b in zip(counts, seen["at_most"], strict=True)]
        self._found[labels] = together, count + durations["count"], total + durations["total"]

    def family(self, name: str, text: str, labels: list[str]) -> Any:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(name, text, labels=labels)
        for values, (counts, count, total) in self._found.items():
            buckets = [*zip(map(str, BOUNDS), counts, strict=True), ("+Inf", count)]
            family.add_metric(list(values), buckets, total)
        return family


def _counter(name: str, text: str, labels: list[str], counts: Counter[tuple[str, ...]]) -> Any:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric(list(values), count)
    return family


def _workflow_families(runtimes: _Runtimes) -> Iterator[Any]:
    labels = ["runtime", "workflow"]
    runs: Counter[tuple[str, ...]] = Counter()
    failures: Counter[tuple[str, ...]] = Counter()
    delegated: Counter[tuple[str, ...]] = Counter()
    cached: Counter[tuple[str, ...]] = Counter()
    seconds, queue, lock = _Sums(), _Sums(), _Sums()
    for shown, _, raw, _ in runtimes:
        for name, found in raw["workflows"].items():
            own = (shown.label, shown.workflow(name))
            for outcome in ("completed", "failed", "cancelled"):
                runs[(*own, outcome)] += found[outcome]
            for error, count in found["failures"].items():
                failures[(*own, error)] += count
            delegated[own] += found["delegated"]
            cached[own] += found["cached"]
            seconds.add(own, found["duration"])
            queue.add(own, found["queue_wait"])
            lock.add(own, found["lock_wait"])
    prefix = "nexus_core_workflow"
    yield _counter(f"{prefix}_runs", "Runs that have ended, by how", [*labels, "outcome"], runs)
    yield _counter(f"{prefix}_failures", "Runs that failed, by type of error", [*labels, "error"], failures)
    yield _counter(f"{prefix}_delegated_runs", "Runs that Kailash's own runtime executed", labels, delegated)
    yield _counter(f"{prefix}_cached_runs", "Runs that a cache of results has answered, no runs", labels, cached)
    yield seconds.family(f"{prefix}_run_seconds", "Time that runs took", labels)
    yield queue.family(f"{prefix}_queue_wait_seconds", "Time that ready nodes waited for a thread or a place", labels)
    yield lock.family(f"{prefix}_gil_wait_seconds", "Time that threads waited for the interpreter's lock", labels)


def _node_families(runtimes: _Runtimes) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ["runtime", "workflow", "node"]
    executions: Counter[tuple[str, ...]] = Counter()
    failures: Counter[tuple[str, ...]] = Counter()
    spent: Counter[tuple[str, ...]] = Counter()
    quantiles = GaugeMetricFamily(
        "nexus_core_node_duration_seconds", "Time that executions took, estimated", labels=[*labels, "quantile"]
    )
    for shown, _, raw, _ in runtimes:
        for name, found in raw["workflows"].items():
            workflow = shown.workflow(name)
            for node_id, _, ran, skipped, cached, errors, seconds in found["nodes"]:
                node = _OTHER if workflow == _OTHER else shown.node(workflow, node_id)
                own = (shown.label, workflow, node)
                failed = sum(errors.values())
                for outcome, count in (
                    ("completed", ran - failed),
                    ("failed", failed),
                    ("skipped", skipped),
                    ("cached", cached),
                ):
                    executions[(*own, outcome)] += count
                for error, count in errors.items():
                    failures[(*own, error)] += count
                durations = seconds["durations"]
                spent[own] += durations["mean"] * ran
                if node != _OTHER and durations["count"]:
                    for quantile, attribute in _QUANTILES:
                        quantiles.add_metric([*own, quantile], durations[attribute])
    prefix = "nexus_core_node"
    yield _counter(f"{prefix}_executions", "Executions of nodes, by how they ended", [*labels, "outcome"], executions)
    yield _counter(f"{prefix}_failures", "Executions that failed, by type of error", [*labels, "error"], failures)
    yield _counter(f"{prefix}_seconds", "Time that executions took altogether, estimated", labels, spent)
    yield quantiles


def _runtime_families(runtimes: _Runtimes) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ["runtime"]
    prefix = "nexus_core_runtime"
    active = GaugeMetricFamily(f"{prefix}_active_runs", "Runs under way", labels=labels)
    peak = GaugeMetricFamily(f"{prefix}_peak_active_runs", "The most runs at once", labels=labels)
    places = GaugeMetricFamily(f"{prefix}_places", "Places for nodes, by state", labels=[*labels, "state"])
    waiting = GaugeMetricFamily(f"{prefix}_waiting_runs", "Runs that wait for a place", labels=labels)
    native: Counter[tuple[str, ...]] = Counter()
    lag = _Sums()
    for shown, runtime, raw, statistics in runtimes:
        now, most = raw["active"]
        active.add_metric([shown.label], now)
        peak.add_metric([shown.label], most)
        native[shown.label,] += statistics["native_runs"]
        lag.add((shown.label,), raw["loop_lag"])
        own = getattr(runtime, "_places", None)
        if own is not None:
            taken, in_line = own.occupancy()
            for state, count in (("taken", taken), ("free", own.places - taken), ("peak", own.most_taken())):
                places.add_metric([shown.label, state], count)
            waiting.add_metric([shown.label], in_line)
    yield from (active, peak, places, waiting)
    yield _counter(f"{prefix}_native_runs", "Runs that the native engine has begun", labels, native)
    yield lag.family("nexus_core_event_loop_lag_seconds", "How late event loops were, by samples", labels)


def _process_families() -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    seen = process_metrics()
    prefix = "nexus_core_process"
    if seen.cpu_user_seconds is not None and seen.cpu_system_seconds is not None:
        spent = CounterMetricFamily(f"{prefix}_cpu_seconds", "Processor time of all threads", labels=["mode"])
        spent.add_metric(["user"], seen.cpu_user_seconds)
        spent.add_metric(["system"], seen.cpu_system_seconds)
        yield spent
    yield CounterMetricFamily(
        f"{prefix}_returned_memory_bytes", "Freed memory that was given back to the system", value=seen.returned_bytes
    )
    for name, text, value in (
        ("resident_memory_bytes", "Memory that is resident", seen.resident_bytes),
        ("peak_resident_memory_bytes", "The most memory that was ever resident", seen.peak_resident_bytes),
        ("virtual_memory_bytes", "Address space", seen.virtual_bytes),
        ("memory_limit_bytes", "Memory that the control group may use", seen.memory_limit_bytes),
        ("limited_memory_used_bytes", "Memory that the control group uses", seen.limited_memory_used_bytes),
        ("threads", "Threads", seen.threads),
        ("open_files", "Open file descriptors", seen.open_files),
        ("uptime_seconds", "Time since the process was started", seen.uptime_seconds),
        ("cpus", "Processors that the process may run on", seen.cpus),
        ("cpu_limit", "Processors whose time the control group may use", seen.cpu_limit),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"{prefix}_{name}", text, value=value)
