"""The demo's workflows: three branches that take a tenth of a second each and a node that combines them, and a chain."""

from __future__ import annotations

from typing import Any

from kailash.workflow.builder import WorkflowBuilder

PAUSE = 0.1
CHAIN = 100

BRANCHES = ("data_validation", "data_enrichment", "data_quality_check")

# What goes into the combining node: branch, part of its result, name of the input.
CONNECTIONS = (
    ("data_validation", "result.validation", "validation"),
    ("data_enrichment", "result.enrichment", "enrichment"),
    ("data_quality_check", "result.quality_score", "quality_score"),
)

PARAMETERS: dict[str, dict[str, Any]] = {branch: {"records": [1, 2, 3]} for branch in BRANCHES}

FUNCTIONS = {
    "data_validation": f"""
def check(data):
    import time
    time.sleep({PAUSE})
    return {{"validation": "passed", "record_count": len(data.get("records", []))}}
""",
    "data_enrichment": f"""
def enrich(data):
    import time
    time.sleep({PAUSE})
    return {{"enrichment": "completed", "enriched_fields": ["timestamp", "geo_location"]}}
""",
    "data_quality_check": f"""
def measure_quality(data):
    import time
    time.sleep({PAUSE})
    return {{"quality_score": 0.95, "issues_found": 0}}
""",
    "combine_results": """
def combine(data):
    return {
        "validation_status": data.get("validation", "unknown"),
        "enrichment_status": data.get("enrichment", "unknown"),
        "quality_score": data.get("quality_score", 0),
        "processing_complete": True,
    }
""",
}

FUNCTION_NAMES = {
    "data_validation": "check",
    "data_enrichment": "enrich",
    "data_quality_check": "measure_quality",
    "combine_results": "combine",
}

STATEMENTS = {
    "data_validation": f"""
import time
time.sleep({PAUSE})
result = {{"validation": "passed", "record_count": len(records)}}
""",
    "data_enrichment": f"""
import time
time.sleep({PAUSE})
result = {{"enrichment": "completed", "enriched_fields": ["timestamp", "geo_location"]}}
""",
    "data_quality_check": f"""
import time
time.sleep({PAUSE})
result = {{"quality_score": 0.95, "issues_found": 0}}
""",
    "combine_results": """
result = {
    "validation_status": validation,
    "enrichment_status": enrichment,
    "quality_score": quality_score,
    "processing_complete": True,
}
""",
}

EXPECTED_COMBINATION = {
    "validation_status": "passed",
    "enrichment_status": "completed",
    "quality_score": 0.95,
    "processing_complete": True,
}


def parallel_with_functions() -> WorkflowBuilder:
    """As the performance guide writes its nodes: code that defines a function, and that function's name."""
    builder = WorkflowBuilder()
    for node, code in FUNCTIONS.items():
        builder.add_node("PythonCodeNode", node, {"code": code, "function_name": FUNCTION_NAMES[node]})
    return connected(builder)


def parallel_with_statements() -> WorkflowBuilder:
    """The same work in the form that stock Kailash runs: code that assigns `result`."""
    builder = WorkflowBuilder()
    for node, code in STATEMENTS.items():
        builder.add_node("PythonCodeNode", node, {"code": code})
    return connected(builder)


def connected(builder: WorkflowBuilder) -> WorkflowBuilder:
    for branch, output, name in CONNECTIONS:
        builder.add_connection(branch, output, "combine_results", name)
    return builder


def chain() -> WorkflowBuilder:
    """A hundred nodes, each adding one to what the node before it made."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "step_0", {"code": "result = {'value': 1}"})
    for i in range(1, CHAIN):
        builder.add_node("PythonCodeNode", f"step_{i}", {"code": "result = {'value': data['value'] + 1}"})
        builder.add_connection(f"step_{i - 1}", "result", f"step_{i}", "data")
    return builder
