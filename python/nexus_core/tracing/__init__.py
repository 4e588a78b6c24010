"""Traces of runs: what ran when, what waited for what, and what bounds the makespan."""

from __future__ import annotations

from nexus_core.tracing.analysis import Analysis, RunAnalysis, WhatIf, analyze
from nexus_core.tracing.events import STATUSES, EventColumns, NodeEvent, Status
from nexus_core.tracing.model import RunTrace, Trace, TracedThread

__all__ = [
    "STATUSES",
    "Analysis",
    "EventColumns",
    "NodeEvent",
    "RunAnalysis",
    "RunTrace",
    "Status",
    "Trace",
    "TracedThread",
    "WhatIf",
    "analyze",
]
