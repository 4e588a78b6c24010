"""An attached app with a workflow that takes a while, and the scaler that is measured on it."""

from __future__ import annotations

from typing import Any

import nexus_core
from kailash.workflow.builder import WorkflowBuilder
from nexus import Nexus
from nexus_core import AutoScaler

CHECK_SECONDS = 0.5
SERVICE_SECONDS = 0.05
ALLOWED_SECONDS = 0.2
START_INSTANCES = 2
WORKFLOW = "work"
_LIMITS = {"min_instances": 1, "max_instances": 16, "window": 2}
POLICIES: dict[str, dict[str, Any]] = {
    "thresholds": {
        **_LIMITS,
        "metric": "utilization",
        "scale_up_threshold": 75,
        "scale_down_threshold": 40,
        "cooldown_period": 1,
        "scale_up_increment": 2,
    },
    "target": {**_LIMITS, "metric": "demand", "target": 60, "scale_up_cooldown": 0, "scale_down_cooldown": 4},
}


def scaled_app(policy: str) -> tuple[Any, AutoScaler]:
    """The app, and a scaler with one of the policies that is not started."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "work", {"code": f"import time\ntime.sleep({SERVICE_SECONDS})\nresult = x"})
    app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False, auto_discovery=False)
    app.register(WORKFLOW, builder)
    nexus_core.attach(app, thread_pool_size=START_INSTANCES, max_concurrent_nodes=START_INSTANCES)
    scaler = AutoScaler(app, latency_target_ms=1000 * ALLOWED_SECONDS, max_events=1000)
    scaler.configure_scaling_policy(policy, POLICIES[policy])
    return app, scaler


def record_of(scaler: AutoScaler) -> dict[str, Any]:
    """What a scaler has measured and done, as it can be written as JSON."""
    return {"events": scaler.scaling_events, "history": list(scaler.metrics_history), "problems": scaler.problems}
