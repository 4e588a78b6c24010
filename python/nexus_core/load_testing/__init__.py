"""Load tests: workflows executed for real, in a closed or an open loop, in process or over HTTP."""

from __future__ import annotations

from nexus_core.load_testing.latency_histogram import LatencyHistogram, LatencySummary
from nexus_core.load_testing.load_shapes import ClosedLoop, LoadShape, OpenLoop
from nexus_core.load_testing.load_test import LoadTest, run_load_test, run_load_test_async
from nexus_core.load_testing.result import ErrorGroup, GeneratorReport, Interval, LoadProgress, LoadTestResult

__all__ = [
    "ClosedLoop",
    "ErrorGroup",
    "GeneratorReport",
    "Interval",
    "LatencyHistogram",
    "LatencySummary",
    "LoadProgress",
    "LoadShape",
    "LoadTest",
    "LoadTestResult",
    "OpenLoop",
    "run_load_test",
    "run_load_test_async",
]
