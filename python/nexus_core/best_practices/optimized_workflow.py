"""The guide's optimized workflow: two independent nodes and one that puts their results together."""

from __future__ import annotations

from typing import Any

__all__ = ["create_optimized_workflow"]

# A caller gives ``data`` with its records, or ``records`` alone; without either there are none.
_GIVEN = """
try:
    given = data
except NameError:
    try:
        given = {"records": records}
    except NameError:
        given = {}
"""

_VALIDATE = (
    _GIVEN
    + """
if not isinstance(given, dict):
    raise ValueError(f"data must be a dict with records, got {type(given).__name__}")
found = given.get("records", [])
if not isinstance(found, list):
    raise ValueError(f"records must be a list, got {type(found).__name__}")
result = {"validation": "passed", "record_count": len(found)}
"""
)

# What is wrong with the data the other node says; this one is not to say it in other words.
_PREPROCESS = (
    "import time\nbegan = time.perf_counter()\n"
    + _GIVEN
    + """
found = given.get("records", []) if isinstance(given, dict) else []
batch_size = 100
batches = []
for start in range(0, len(found) if isinstance(found, list) else 0, batch_size):
    batch = []
    for item in found[start:start + batch_size]:
        batch.append({"id": item.get("id") if isinstance(item, dict) else item, "processed": True})
    batches.append(batch)
result = {
    "processed_batches": batches,
    "total_batches": len(batches),
    "seconds": time.perf_counter() - began,
}
"""
)

# LocalRuntime hands on what a node has in ``result``, AsyncLocalRuntime a dict around it.
_FINALIZE = """
if "validation" not in checked:
    checked = checked["result"]
if "processed_batches" not in preprocessed:
    preprocessed = preprocessed["result"]
batches = preprocessed["processed_batches"]
total = 0
for batch in batches:
    total += len(batch)
result = {
    "status": "completed",
    "validation": checked["validation"],
    "total_records": total,
    "processing_time": preprocessed["seconds"],
    "batches_processed": len(batches),
}
"""


def create_optimized_workflow() -> Any:
    """A ``WorkflowBuilder`` with the guide's nodes, connected, which Kailash's own runtimes execute, too.

    Validation and preprocessing do not depend on each other; ``finalize_results`` gets both. Its
    ``result`` has the guide's keys, ``processing_time`` in seconds.
    """
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "validate_input", {"code": _VALIDATE})
    builder.add_node("PythonCodeNode", "preprocess_data", {"code": _PREPROCESS})
    builder.add_node("PythonCodeNode", "finalize_results", {"code": _FINALIZE})
    builder.add_connection("validate_input", "result", "finalize_results", "checked")
    builder.add_connection("preprocess_data", "result", "finalize_results", "preprocessed")
    return builder
