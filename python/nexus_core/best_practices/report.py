"""The performance report: the guide's keys, with a summary that is computed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nexus_core._saved_report import SavedReport
from nexus_core.best_practices.grades import average_grade

__all__ = ["LOADS", "PerformanceReport", "critical_issues", "loads_of", "make_report"]

#: The loads of a suite by their keys, in the order in which they grow.
LOADS = ("light_load", "medium_load", "heavy_load")

# What every load test has, the guide's own included.
_FIGURES = (
    "total_requests", "error_count", "error_rate", "requests_per_second", "avg_response_time", "max_response_time",
)  # fmt: skip

# The guide's limits for the last grade that is none of failure.
_ERROR_RATE = 5.0
_SECONDS = 5.0
# A heavier load under which less is answered by more than this share shows a collapse.
_COLLAPSE = 0.2


class PerformanceReport(SavedReport):
    """A report: a dict with the guide's keys, which can be shown as Markdown and as HTML.

    ``executive_summary`` has, beside the guide's keys, ``critical_issue_details``: a sentence for each.
    """

    def to_markdown(self) -> str:
        """The report as Markdown."""
        from nexus_core.best_practices.report_markdown import as_markdown

        return as_markdown(self)

    def to_html(self) -> str:
        """The report as a page of its own, with plots, that needs no network."""
        from nexus_core.best_practices.report_html import as_html

        return as_html(self)


def make_report(test_results: Any, optimization_recommendations: Any) -> PerformanceReport:
    """Makes a report.

    Args:
        test_results: By workflow's name what ``run_benchmark_suite`` has returned for it, or what
            ``run_load_test`` has.
        optimization_recommendations: Sentences.

    Raises:
        TypeError: If they are none of these.
    """
    if not isinstance(test_results, Mapping):
        raise TypeError(f"test_results must be what run_benchmark_suite returns, got {test_results!r}")
    if isinstance(optimization_recommendations, (str, bytes)) or not isinstance(optimization_recommendations, Sequence):
        raise TypeError(f"recommendations must be a list, got {optimization_recommendations!r}")
    for name, found in test_results.items():
        if not isinstance(found, Mapping) or not loads_of(found):
            raise TypeError(f"test_results[{name!r}] has no load test in it: {found!r}")
        for load, result in loads_of(found).items():
            lacking = [key for key in _FIGURES if not isinstance(result.get(key), (int, float))]
            if lacking:
                raise TypeError(
                    f"test_results[{name!r}], {load}, is not what run_load_test returns: it has no number under "
                    f"{', '.join(map(repr, lacking))}"
                )
    issues = critical_issues(test_results)
    grades = [found.get("performance_grade") for found in test_results.values()]
    return PerformanceReport(
        report_timestamp=time.time(),
        executive_summary={
            "total_workflows_tested": len(test_results),
            "average_performance_grade": average_grade(grades),
            "critical_issues": len(issues),
            "optimization_opportunities": len(optimization_recommendations),
            "critical_issue_details": issues,
        },
        detailed_results=dict(test_results),
        optimization_recommendations=list(optimization_recommendations),
        next_steps=_next_steps(test_results, issues, list(optimization_recommendations)),
    )


def loads_of(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The load tests in what was found of a workflow, by their names, the lightest first."""
    if "total_requests" in found:
        return {str(found.get("load", "load")): found}
    return {load: found[load] for load in LOADS if isinstance(found.get(load), Mapping)}


def critical_issues(test_results: Mapping[str, Any]) -> list[str]:
    """What has to be mended, each with its figures."""
    issues: list[str] = []
    for name, found in test_results.items():
        before: tuple[str, float] | None = None
        for load, result in loads_of(found).items():
            shown = load.replace("_", " ")
            if not result["total_requests"]:
                issues.append(f"{name}, {shown}: no request was measured")
                continue
            if result["error_rate"] >= _ERROR_RATE:
                said = result.get("errors") or []
                example = f", most of them {said[0]['type']}: {said[0]['example']}" if said else ""
                issues.append(f"{name}, {shown}: {result['error_rate']:.1f} % of requests failed{example}")
            elif result["avg_response_time"] >= _SECONDS:
                issues.append(f"{name}, {shown}: a reply took {result['avg_response_time']:.2f} s on average")
            rate = result["requests_per_second"]
            if before is not None and rate < before[1] * (1 - _COLLAPSE):
                issues.append(
                    f"{name}: {rate:.1f} requests/s under {shown}, after {before[1]:.1f} under {before[0]}: "
                    "more load makes it do less"
                )
            before = (shown, rate)
    return issues


def _next_steps(test_results: Mapping[str, Any], issues: list[str], recommendations: list[Any]) -> list[str]:
    steps = [f"Mend: {issue}" for issue in issues]
    for name, found in test_results.items():
        grade, reason = found.get("performance_grade"), found.get("grade_reason")
        if grade in ("B", "C") and reason:
            steps.append(f"Raise {name} from {grade}: {reason}")
        for load, result in loads_of(found).items():
            generator = result.get("generator") or {}
            if generator.get("fell_behind"):
                steps.append(f"Test {name} again with another generator ({load.replace('_', ' ')}): {generator['why']}")
    if recommendations:
        steps.append(f"Apply the recommendations ({len(recommendations)}), and test again under the same loads")
    steps.append("Run the same suite again after the next change, and compare")
    return steps
