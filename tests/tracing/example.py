"""A run of a workflow that has a bit of everything: waits, work, a queue, a critical path."""

from __future__ import annotations

from kailash.workflow.builder import WorkflowBuilder

from nexus_core.runtime import LocalRuntime
from nexus_core.tracing import Trace

# Milliseconds that each node sleeps and then works, and what it waits for.
_NODES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "load_orders": (80, 5, ()),
    "load_customers": (55, 5, ()),
    "load_prices": (30, 5, ()),
    "load_stock": (65, 5, ()),
    "clean_orders": (10, 25, ("load_orders",)),
    "clean_customers": (10, 15, ("load_customers",)),
    "currency_rates": (90, 0, ("load_prices",)),
    "join_orders": (20, 30, ("clean_orders", "clean_customers")),
    "price_orders": (15, 20, ("join_orders", "currency_rates")),
    "forecast_north": (110, 10, ("price_orders", "load_stock")),
    "forecast_south": (150, 10, ("price_orders", "load_stock")),
    "forecast_east": (90, 10, ("price_orders", "load_stock")),
    "forecast_west": (125, 10, ("price_orders", "load_stock")),
    "forecast_online": (70, 10, ("price_orders", "load_stock")),
    "score_customers": (60, 10, ("clean_customers",)),
    "merge_forecasts": (20, 10, tuple(f"forecast_{part}" for part in ("north", "south", "east", "west", "online"))),
    "report": (45, 5, ("merge_forecasts", "score_customers")),
    "archive": (35, 0, ("merge_forecasts",)),
}
_CODE = """
import time
time.sleep({sleep} / 1000)
end = time.thread_time() + {work} / 1000
while time.thread_time() < end:
    pass
result = 1
"""


def nightly() -> Trace:
    """Runs it on four threads at the most, which is one less than it has forecasts."""
    builder = WorkflowBuilder()
    for node, (sleep, work, _) in _NODES.items():
        builder.add_node("PythonCodeNode", node, {"code": _CODE.format(sleep=sleep, work=work)})
    for node, (_, _, sources) in _NODES.items():
        for source in sources:
            builder.add_connection(source, "result", node, f"from_{source}")
    workflow = builder.build(name="nightly forecast")
    with LocalRuntime(enable_monitoring=False, max_concurrency=4) as runtime:
        runtime.execute(workflow)
        with runtime.trace() as recording:
            runtime.execute(workflow)
    return recording.trace
