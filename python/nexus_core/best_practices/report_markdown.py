"""A performance report as Markdown."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from nexus_core.best_practices.report import loads_of

__all__ = ["as_markdown"]

_HEADER = "| load | requests/s | errors | mean | p50 | p95 | p99 | max |"


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown; times in milliseconds.

    Args:
        report: A ``PerformanceReport``.
    """
    summary = report["executive_summary"]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["report_timestamp"]))
    lines = [
        "# Performance report",
        "",
        f"{when}: {summary['total_workflows_tested']} workflows, average grade "
        f"{summary['average_performance_grade'] or 'none'}, {summary['critical_issues']} critical issues.",
        "",
    ]
    lines += _list("Critical issues", summary["critical_issue_details"])
    for name, found in report["detailed_results"].items():
        grade = found.get("performance_grade")
        lines += [f"## {_inline(name)}" + (f": {grade}" if grade else ""), ""]
        if found.get("grade_reason"):
            lines += [_inline(found["grade_reason"]) + ".", ""]
        lines += [_HEADER, "|---|---:|---:|---:|---:|---:|---:|---:|"]
        lines += [_row(load, result) for load, result in loads_of(found).items()]
        lines.append("")
    lines += _list("Recommendations", report["optimization_recommendations"])
    lines += _list("Next steps", report["next_steps"])
    return "\n".join(lines).rstrip() + "\n"


def _row(load: str, result: Mapping[str, Any]) -> str:
    percentiles = result.get("percentiles", {})
    times = [result["avg_response_time"], *(percentiles.get(name) for name in ("p50", "p95", "p99"))]
    times.append(result["max_response_time"])
    shown = " | ".join("" if seconds is None else f"{seconds * 1e3:.1f} ms" for seconds in times)
    name = _inline(load.replace("_", " "))
    return f"| {name} | {result['requests_per_second']:.1f} | {result['error_rate']:.2f} % | {shown} |"


def _list(title: str, texts: list[Any]) -> list[str]:
    return [f"## {title}", "", *(f"- {_inline(text)}" for text in texts), ""] if texts else []


def _inline(text: object) -> str:
    """Text of somebody else's on one line, with nothing in it that Markdown or HTML would take for its own."""
    flat = " ".join(str(text).split())
    for mark in "\\`*_[]<>|":
        flat = flat.replace(mark, "\\" + mark)
    return flat
