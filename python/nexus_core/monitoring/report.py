"""A monitor's report: the guide's keys, and the same as Markdown and as a page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nexus_core._saved_report import SavedReport
from nexus_core.monitoring.series import moment_of
from nexus_core.monitoring.trends import shown_confidence

__all__ = ["MonitoringReport"]

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots svg { width: 29rem; max-width: 100%; }
"""

_SUMMARY = ("metric", "now", "average", "least", "most", "points", "trend", "per minute", "confidence")
_ALERTS = ("alert", "severity", "status", "message")
_WORKFLOWS = ("workflow", "runs", "failed", "ms each")


class MonitoringReport(SavedReport):
    """A report: a dict with the guide's keys, which can be shown as Markdown and as HTML.

    Attributes:
        series: The points of each metric that are in it.
    """

    def __init__(self, found: Mapping[str, Any], series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        super().__init__(found)
        self.series = {name: list(points) for name, points in series.items()}

    def to_markdown(self) -> str:
        """The report as Markdown."""
        lines = ["# Performance of " + _plain(self["app"]), "", _plain(self._head()), ""]
        for title, texts in self._lists("recommendations"):
            lines += [f"## {title}", "", *(f"- {_plain(text)}" for text in texts), ""]
        for title, columns, rows in self._tables():
            lines += [f"## {title}", "", _row(columns), "|---|" + "---:|" * (len(columns) - 1)]
            lines += [*map(_row, rows), ""]
        for title, texts in self._lists("not_visible", "problems"):
            lines += [f"## {title}", "", *(f"- {_plain(text)}" for text in texts), ""]
        return "\n".join(lines).rstrip() + "\n"

    def to_html(self) -> str:
        """The report as a page of its own, with plots, that needs no network."""
        from nexus_core.best_practices.plots import line_chart

        name = escape(str(self["app"]))
        parts = [f"<h1>Performance of {name}</h1><p>{escape(self._head())}</p>"]
        parts += [_html_list(title, texts) for title, texts in self._lists("recommendations")]
        for title, columns, rows in self._tables():
            cells = "".join(f"<th>{escape(column)}</th>" for column in columns)
            body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            parts.append(f"<h2>{title}</h2><table><tr>{cells}</tr>{body}</table>")
        plots = [
            line_chart(
                metric, "", [(metric, [(moment_of(point) - moment_of(points[0]), point[1]) for point in points])]
            )
            for metric, points in self.series.items()
            if len(points) > 1
        ]
        parts.append(f'<div class="plots">{"".join(plots)}</div>')
        parts += [_html_list(title, texts) for title, texts in self._lists("not_visible", "problems")]
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Performance of {name}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{_STYLE}</style></head>\n<body>{''.join(parts)}</body></html>\n"
        )

    def _head(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self["report_timestamp"]))
        alerts = self["alert_summary"]
        return (
            f"{when}, the last {self['window_minutes']:g} minutes; monitoring is {self['monitoring_status']}; "
            f"active alerts: {alerts['total_alerts']}, critical ones: {alerts['critical_alerts']}."
        )

    def _tables(self) -> list[tuple[str, Sequence[str], list[list[str]]]]:
        summary = [
            [
                name,
                *(f"{found[key]:.4g}" for key in ("current", "avg", "min", "max")),
                str(found["data_points"]),
                found["trend"].replace("_", " "),
                "" if found["slope_per_minute"] is None else f"{found['slope_per_minute']:+.3g}",
                "" if found["confidence"] is None else shown_confidence(found["confidence"]),
            ]
            for name, found in self["performance_summary"].items()
        ]
        alerts = [
            [alert["alert_id"], alert["highest_severity"], alert["status"], alert["message"]]
            for alert in self["alert_summary"]["recent_alerts"]
        ]
        workflows = [
            [name, str(found["runs"]), str(found["failed"]), f"{found['mean_ms']:.4g}"]
            for name, found in self["workflows"].items()
        ]
        tables = (("Figures", _SUMMARY, summary), ("Alerts", _ALERTS, alerts), ("Workflows", _WORKFLOWS, workflows))
        return [(title, columns, rows) for title, columns, rows in tables if rows]

    def _lists(self, *keys: str) -> list[tuple[str, list[str]]]:
        texts = {
            "recommendations": self["recommendations"],
            "not_visible": [f"{name}: {why}" for name, why in self["not_visible"].items()],
            "problems": [
                f"{name}: {found['last_error']} ({found['count']} times)" for name, found in self["problems"].items()
            ],
        }
        return [(key.replace("_", " ").capitalize(), texts[key]) for key in keys if texts[key]]


def _html_list(title: str, texts: list[str]) -> str:
    return f"<h2>{title}</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: object) -> str:
    """Text of somebody else's on one line, with nothing in it that Markdown or HTML would take for its own."""
    flat = " ".join(str(text).split())
    return "".join("\\" + mark if mark in "\\`*_[]<>|" else mark for mark in flat)
