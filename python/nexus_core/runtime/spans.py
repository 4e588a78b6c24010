"""OpenTelemetry spans of a run, as ``LocalRuntime._execute_workflow_async`` makes them.

Kailash's own tracer starts and ends them, so that names, attributes and levels are its own.
None of them is the current span while a node runs, there or here.
"""

from __future__ import annotations

import os
from typing import Any

from kailash.runtime.tracing import get_workflow_tracer

from nexus_core.runtime.compiler import CompiledWorkflow

try:
    from opentelemetry import trace
except ImportError:  # then Kailash's tracer is not enabled either
    trace = None  # type: ignore[assignment]

__all__ = ["RunSpans", "spans_are_recorded"]

#: The environment can name a provider, which is then made at the first span.
_NO_PROVIDER_NAMED = "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ


def spans_are_recorded() -> bool:
    """Whether a span that Kailash's tracer starts would reach anybody.

    With the OpenTelemetry API alone, or no provider set, spans record nothing.
    """
    if _NO_PROVIDER_NAMED and getattr(trace, "_TRACER_PROVIDER", trace) is None:
        return False
    if not get_workflow_tracer().enabled:
        return False
    return not isinstance(trace.get_tracer_provider(), (trace.ProxyTracerProvider, trace.NoOpTracerProvider))


class RunSpans:
    """The spans of one run; what Kailash leaves open when a run is stopped stays open.

    Args:
        workflow: The workflow that runs.
        compiled: Its plan.
        run_id: The run's id, or ``None``.
    """

    def __init__(self, workflow: Any, compiled: CompiledWorkflow, run_id: str | None) -> None:
        self._compiled = compiled
        self._tracer = get_workflow_tracer()
        self._nodes: dict[int, Any] = {}
        self._run = self._tracer.start_workflow_span(
            workflow_id=getattr(workflow, "workflow_id", "") or "",
            workflow_name=getattr(workflow, "name", "") or "",
            run_id=run_id or "",
        )

    def started(self, index: int) -> None:
        """Before a node."""
        span = self._tracer.start_node_span(
            node_id=self._compiled.node_ids[index],
            node_type=type(self._compiled.instances[index]).__name__,
            parent_span=self._run,
        )
        if span is not None:
            self._nodes[index] = span

    def completed(self, index: int, seconds: float, *, cached: bool = False) -> None:
        """After a node that returned; that of a skipped one stays open, as in Kailash."""
        span = self._nodes.pop(index, None)
        self._tracer.set_attribute(span, "node.duration_s", seconds)
        if cached:
            self._tracer.set_attribute(span, "node.cached", True)
        self._tracer.end_span(span, status="ok")

    def failed(self, index: int, error: Exception) -> None:
        """After a node that failed."""
        self._tracer.end_span(self._nodes.pop(index, None), status="error", error=error)

    def finished(self, failed: list[str]) -> None:
        """After the last node of a run that was not stopped."""
        if failed:
            self._tracer.set_attribute(self._run, "workflow.failed_nodes", ",".join(failed))
            self._tracer.end_span(self._run, status="error")
        else:
            self._tracer.set_attribute(self._run, "workflow.node_count", len(self._compiled.node_ids))
            self._tracer.end_span(self._run, status="ok")
