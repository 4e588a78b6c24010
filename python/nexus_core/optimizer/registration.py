"""Registrations of workflows with an app, timed and taken back."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["timed_registrations"]

# Slower ones are "good" in the guide.
_EXCELLENT_SECONDS = 0.1

_CODE = """
def process_data_{number}(data):
    result = sum(range(100))
    return {{"node_id": {number}, "result": result}}
"""


def timed_registrations(app: Any, count: int) -> dict[str, Any]:
    """Builds and registers workflows of one node, and removes them again.

    Args:
        app: An open app.
        count: How many.
    """
    from kailash.workflow.builder import WorkflowBuilder

    deregister = getattr(app, "deregister", None)
    seconds: list[float] = []
    registered: list[str] = []
    removed: list[str] = []
    try:
        for name in _free_names(app, count, kept=deregister is None):
            number = len(seconds)
            began = time.perf_counter()
            builder = WorkflowBuilder()
            function = f"process_data_{number}"
            config = {"code": _CODE.format(number=number), "function_name": function}
            builder.add_node("PythonCodeNode", f"node_{number}", config)
            registered.append(name)
            app.register(name, builder)
            seconds.append(time.perf_counter() - began)
    finally:
        if deregister is not None:
            # One that has failed may be there, or may not.
            removed = [name for name in registered if deregister(name)]
    return {
        "total_workflows": len(seconds),
        "avg_registration_time": sum(seconds) / len(seconds),
        "min_registration_time": min(seconds),
        "max_registration_time": max(seconds),
        "performance_score": "excellent" if max(seconds) < _EXCELLENT_SECONDS else "good",
        "registration_times": seconds,
        "left_registered": [name for name in registered if name not in removed],
    }


def _free_names(app: Any, count: int, *, kept: bool) -> list[str]:
    """The guide's names, without those that the app has; others for workflows that will stay."""
    stem, taken = "nexus-core-registration-test" if kept else "perf-test", set(app._workflows)
    gateway = getattr(app._http_transport, "gateway", None)
    taken.update(getattr(gateway, "workflows", ()))
    names: list[str] = []
    number = 0
    while len(names) < count:
        name = f"{stem}-{number}"
        if name not in taken:
            names.append(name)
        number += 1
    return names
