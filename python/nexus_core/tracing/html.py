"""Traces as a page that needs nothing but a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from nexus_core.tracing.analysis import analyze
from nexus_core.tracing.events import STATUSES, queued
from nexus_core.tracing.files import replaced
from nexus_core.tracing.findings import Analysis
from nexus_core.tracing.model import RunTrace, Trace
from nexus_core.tracing.page_summary import summaries
from nexus_core.tracing.shapes import shapes

__all__ = ["write_html"]

# As many runs can be chosen from a list; beyond, the longest.
_MOST_CHOICES = 200
_MOST_NODES = 1000


def write_html(trace: Trace, path: str | os.PathLike[str]) -> Path:
    """Writes a trace as one self-contained page: Gantt chart, critical path, slack, and what each worker did.

    Args:
        trace: What is written.
        path: The file.

    Returns:
        The path.

    Raises:
        OSError: If the file cannot be written; what was there before stays then.
    """
    path = Path(path)
    analysis = analyze(trace)
    style, script = _part("page.css"), _script()
    # Only this very style and script are allowed: whatever an id or a name holds, nothing else is run or fetched.
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    with replaced(path) as file:
        file.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<link rel="icon" href="data:,">\n<title>{_text(_heading(trace))} – nexus-core trace</title>\n'
            f"<style>{style}</style>\n</head>\n<body>\n"
        )
        file.write(_body(trace, analysis))
        file.write('<script type="application/json" id="about">')
        file.write(_inert(_about(trace, analysis)))
        file.write("</script>\n")
        for name, column in _columns(trace, analysis):
            if sys.byteorder == "big":
                column.byteswap()
            file.write(f'<script type="text/plain" id="column-{name}">')
            file.write(base64.b64encode(column).decode("ascii"))
            file.write("</script>\n")
        file.write(f"<script>{script}</script>\n</body>\n</html>\n")
    return path


def _part(name: str) -> str:
    return (files("nexus_core.tracing") / "page" / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = ("1_data.js", "2_rows.js", "3_draw.js", "4_panels.js", "5_input.js")
    return '"use strict";\n(() => {\n' + "\n".join(map(_part, parts)) + "})();\n"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str) -> str:
    # Lone surrogates cannot be encoded.
    return escape(text.encode("utf-8", "replace").decode("utf-8"))


def _inert(value: Any) -> str:
    """JSON in which nothing looks like markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _heading(trace: Trace) -> str:
    names = list(dict.fromkeys(run.workflow for run in trace.runs))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "No runs"


def _body(trace: Trace, analysis: Analysis) -> str:
    failed = sum(run.status == "failed" for run in trace.runs)
    if len(trace.runs) == 1:
        status = text = trace.runs[0].status
    else:
        status = "failed" if failed else "completed"
        text = f"{len(trace.runs):,} runs" + (f", {failed:,} failed" if failed else "")
    warnings = []
    if trace.dropped:
        warnings.append(f"{trace.dropped:,} executions are missing: the trace was full.")
    notes = dict.fromkeys(run.note for run in trace.runs if run.note)
    warnings += [_text(note) for note in list(notes)[:5]]
    used = sorted(set(trace.events.status))
    names = [STATUSES[number] for number in used if STATUSES[number] != "completed"]
    nodes = sum(len(workflow.nodes) for workflow in analysis.workflows)
    recorded = f" · {datetime.fromtimestamp(trace.began, UTC):%Y-%m-%d %H:%M:%S} UTC" if trace.began > 0 else ""
    return _part("page.html").format(
        recorded=recorded + f" · process {trace.process_id}",
        heading=_text(_heading(trace)),
        status=_text(status if status in ("completed", "failed", "cancelled", "cached") else ""),
        status_text=_text(text),
        warning="".join(f'<p class="panel warning">{warning}</p>' for warning in warnings),
        statuses="".join(f'<span><i class="key {name}"></i>{name}</span>' for name in names),
        more_nodes=f'<p class="note">and {nodes - _MOST_NODES:,} more</p>' if nodes > _MOST_NODES else "",
    )


def _about(trace: Trace, analysis: Analysis) -> dict[str, Any]:
    workflows, numbers = shapes(trace.runs)
    runs = []
    for position, (run, number) in enumerate(zip(trace.runs, numbers, strict=True)):
        label = f"{run.workflow} #{position + 1}"
        runs.append({"workflow": number, "label": label, "began": run.began, "ended": run.ended})
    longest = sorted(range(len(runs)), key=lambda number: -trace.runs[number].makespan)
    choices = sorted(longest[:_MOST_CHOICES])
    return {
        "statuses": STATUSES,
        "errors": trace.events.errors,
        "threads": [list(thread) for thread in trace.threads],
        "workflows": [{"nodes": list(each.nodes), "edges": list(each.edges)} for each in workflows],
        "runs": runs,
        "choices": choices,
        "summaries": summaries(analysis, choices),
        "utilisation": [
            [thread.name, thread.executions, thread.busy, thread.utilisation]
            for thread in analysis.threads
            if thread.executions
        ],
        "nodes": _nodes(analysis, workflows),
    }


def _nodes(analysis: Analysis, shaped: Sequence[RunTrace]) -> list[dict[str, Any]]:
    """The table's rows, with where to find the node: a workflow's number and the node's."""
    places: dict[tuple[str, str], tuple[int, int]] = {}
    for position, run in enumerate(shaped):
        for place, (node_id, _) in enumerate(run.nodes):
            places.setdefault((run.workflow, node_id), (position, place))
    rows = []
    for each in analysis.workflows:
        for node in each.nodes:
            workflow, number = places[each.workflow, node.node_id]
            cells = [
                node.node_id,
                node.node_type,
                node.executions,
                node.failures,
                node.mean,
                node.max,
                node.slack,
                node.queued / node.executions,
                node.waiting_for_gil / node.executions,
                node.critical / node.executions,
            ]
            rows.append({"workflow": workflow, "node": number, "cells": cells})
    return rows[:_MOST_NODES]


def _columns(trace: Trace, analysis: Analysis) -> Iterable[tuple[str, array[Any]]]:
    events = trace.events
    slack = array("f", bytes(4 * len(events)))
    critical = array("B", bytes(len(events)))
    for run in analysis.runs:
        for node in run.nodes:
            slack[node.event] = node.slack
            critical[node.event] = node.is_critical
    times = zip(events.ready, events.start, events.waiting_for_gil, strict=True)
    waits = array("f", (queued(*each) if math.isfinite(each[0]) else math.nan for each in times))
    yield "run", array("I", events.run)
    yield "node", array("I", events.node)
    yield "thread", array("I", events.thread)
    yield "status", array("B", events.status)
    yield "error", array("I", events.error)
    yield "critical", critical
    yield "start", array("d", events.start)
    yield "end", array("d", events.end)
    yield "queued", waits
    yield "lock", array("f", events.waiting_for_gil)
    yield "slack", slack
