"""What a runtime and its process have come to: counts, durations, and what they use.

Always counted natively, and read with a runtime's `metrics()`. `show` has Prometheus see them.
"""

from __future__ import annotations

from nexus_core.metrics.model import (
    NodeMetrics,
    PlaceMetrics,
    ProcessMetrics,
    RuntimeMetrics,
    WorkflowMetrics,
)
from nexus_core.metrics.process import process_metrics
from nexus_core.metrics.prometheus import hide, show

__all__ = [
    "NodeMetrics",
    "PlaceMetrics",
    "ProcessMetrics",
    "RuntimeMetrics",
    "WorkflowMetrics",
    "hide",
    "process_metrics",
    "show",
]
