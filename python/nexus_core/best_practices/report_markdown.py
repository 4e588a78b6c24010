"""A performance report as Markdown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from nexus_core.best_practices.figures import COLUMNS, cells
from nexus_core.best_practices.report import loads_of

__all__ = ["as_markdown"]


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown.

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
        lines += [_row(COLUMNS), "|---|" + "---:|" * (len(COLUMNS) - 1)]
        lines += [_row(cells(load, result)) for load, result in loads_of(found).items()]
        lines.append("")
    lines += _list("Recommendations", report["optimization_recommendations"])
    lines += _list("Next steps", report["next_steps"])
    return "\n".join(lines).rstrip() + "\n"


def _row(columns: Iterable[str]) -> str:
    return "| " + " | ".join(map(_inline, columns)) + " |"


def _list(title: str, texts: list[Any]) -> list[str]:
    return [f"## {title}", "", *(f"- {_inline(text)}" for text in texts), ""] if texts else []


def _inline(text: object) -> str:
    """Text of somebody else's on one line, with nothing in it that Markdown or HTML would take for its own."""
    flat = " ".join(str(text).split())
    for mark in "\\`*_[]<>|":
        flat = flat.replace(mark, "\\" + mark)
    return flat
