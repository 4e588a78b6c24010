"""Reads a runtime's figures."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from nexus_core._core import Places, _Figures
from nexus_core.durations import Durations
from nexus_core.metrics.model import NodeMetrics, PlaceMetrics, RuntimeMetrics, WorkflowMetrics
from nexus_core.metrics.process import process_metrics

__all__ = ["read_metrics", "read_raw"]

_NOTHING: dict[str, Any] = _Figures().read([])


def read_raw(runtime: Any, bounds: Iterable[float] = ()) -> dict[str, Any]:
    """What a runtime counts, as the native side tells it.

    Args:
        runtime: The runtime.
        bounds: Seconds; of durations it is told how many did not exceed each of them.

    Returns:
        See ``_Figures.read``.
    """
    figures: _Figures | None = runtime._figures
    return _NOTHING if figures is None else figures.read(list(bounds))


def read_metrics(runtime: Any) -> RuntimeMetrics:
    """The figures of a runtime at this moment.

    Args:
        runtime: A ``LocalRuntime`` or ``AsyncLocalRuntime``.

    Returns:
        The figures.
    """
    raw = read_raw(runtime)
    statistics = runtime.engine_statistics()
    active, peak_active = raw["active"]
    workflows = raw["workflows"]
    return RuntimeMetrics(
        taken_at=time.time(),
        since=runtime._counted_since,
        active=active,
        peak_active=peak_active,
        workflows={name: _workflow(found) for name, found in workflows.items()},
        queue_wait=Durations(**raw["queue_wait"]["durations"]),
        gil_wait=Durations(**raw["lock_wait"]["durations"]),
        places=_places(getattr(runtime, "_places", None)),
        native_runs=statistics["native_runs"],
        delegated_runs=statistics["delegated_runs"],
        cache=statistics.get("cache"),
        loop_lag=Durations(**raw["loop_lag"]["durations"]),
        process=process_metrics(),
    )


def _workflow(found: dict[str, Any]) -> WorkflowMetrics:
    return WorkflowMetrics(
        completed=found["completed"],
        failures=found["failures"],
        cancelled=found["cancelled"],
        delegated=found["delegated"],
        cached=found["cached"],
        duration=Durations(**found["duration"]["durations"]),
        queue_wait=Durations(**found["queue_wait"]["durations"]),
        gil_wait=Durations(**found["lock_wait"]["durations"]),
        nodes={
            node_id: NodeMetrics(
                kind, executions, failures, skipped, cached, Durations(**seconds["durations"]), seconds["measured"]
            )
            for node_id, kind, executions, skipped, cached, failures, seconds in found["nodes"]
        },
    )


def _places(places: Places | None) -> PlaceMetrics | None:
    if places is None:
        return None
    taken, waiting = places.occupancy()
    return PlaceMetrics(places.places, places.threads, taken, places.most_taken(), waiting)
