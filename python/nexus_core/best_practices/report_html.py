"""A performance report as a page of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nexus_core.best_practices.figures import COLUMNS, cells
from nexus_core.best_practices.plots import bar_chart, line_chart
from nexus_core.best_practices.report import loads_of

__all__ = ["as_html"]

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots svg { width: 29rem; max-width: 100%; }
.grade { display: inline-block; min-width: 1.6em; text-align: center; border-radius: .3em; padding: 0 .3em;
  background: #8883; }
.issue { color: #d33; }
"""


def as_html(report: Mapping[str, Any]) -> str:
    """The report as a page that needs no network.

    Args:
        report: A ``PerformanceReport``.
    """
    summary = report["executive_summary"]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["report_timestamp"]))
    issues = summary["critical_issue_details"]
    body = [
        "<h1>Performance report</h1>",
        f"<p>{when}: {summary['total_workflows_tested']} workflows, average grade "
        f"{_grade(summary['average_performance_grade'])}, {summary['critical_issues']} critical issues.</p>",
        _list("Critical issues", issues, "issue"),
    ]
    for name, found in report["detailed_results"].items():
        body.append(_workflow(str(name), found))
    body.append(_list("Recommendations", report["optimization_recommendations"]))
    body.append(_list("Next steps", report["next_steps"]))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Performance report</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>{''.join(body)}</body></html>\n"
    )


def _workflow(name: str, found: Mapping[str, Any]) -> str:
    loads = loads_of(found)
    head = f"<h2>{escape(name)} {_grade(found.get('performance_grade'))}</h2>"
    if found.get("grade_reason"):
        head += f"<p>{escape(str(found['grade_reason']))}.</p>"
    table = "<table><tr>" + "".join(f"<th>{column}</th>" for column in COLUMNS) + "</tr>"
    for load, result in loads.items():
        table += "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(load, result)) + "</tr>"
    table += "</table>"
    return head + table + f'<div class="plots">{_plots(name, loads)}</div>'


def _plots(name: str, loads: Mapping[str, Mapping[str, Any]]) -> str:
    shown = {load.replace("_", " "): result for load, result in loads.items()}
    quantiles = ("p50", "p90", "p95", "p99")
    latency = [
        (load, [result["percentiles"][quantile] * 1e3 for quantile in quantiles])
        for load, result in shown.items()
        if "percentiles" in result
    ]
    over_time = [
        (load, [(point["start"] + point["seconds"] / 2, point["succeeded"] / point["seconds"]) for point in timeline])
        for load, result in shown.items()
        if len(timeline := _whole(result.get("timeline") or [])) > 1
    ]
    plots = []
    if any(value for _, values in latency for value in values):
        plots.append(bar_chart(f"{name}: latency", "ms", quantiles, latency))
    if over_time:
        plots.append(line_chart(f"{name}: replies", "/s", over_time))
    return "".join(plots)


def _whole(timeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A timeline without a last interval that is too short for a rate."""
    return [point for point in timeline if point["seconds"] > timeline[0]["seconds"] / 2]


def _list(title: str, texts: list[Any], kind: str = "") -> str:
    if not texts:
        return ""
    mark = f' class="{kind}"' if kind else ""
    return f"<h2>{title}</h2><ul>" + "".join(f"<li{mark}>{escape(str(text))}</li>" for text in texts) + "</ul>"


def _grade(grade: str | None) -> str:
    return f'<span class="grade">{escape(str(grade or "none"))}</span>'
