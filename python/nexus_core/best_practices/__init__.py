"""Behind ``PerformanceBestPractices``: the checklist, the guide's workflow, load tests with grades, the report."""

from __future__ import annotations

from nexus_core.best_practices.checklist import CheckedItem
from nexus_core.best_practices.performance_test import PerformanceTest
from nexus_core.best_practices.report import PerformanceReport

__all__ = ["CheckedItem", "PerformanceReport", "PerformanceTest"]
