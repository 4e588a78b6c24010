"""What ``PerformanceMonitor`` is made of: series of measured values, thresholds, alerts and what is told of them."""

from __future__ import annotations

from nexus_core.monitoring.report import MonitoringReport
from nexus_core.monitoring.thresholds import Threshold
from nexus_core.monitoring.trends import Trend, trend_of

__all__ = ["MonitoringReport", "Threshold", "Trend", "trend_of"]
