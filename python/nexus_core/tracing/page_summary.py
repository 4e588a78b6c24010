"""The figures above a page's timeline: of all runs together, and of each that can be chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any

from nexus_core.gantt import readable_time
from nexus_core.tracing.analysis_text import sentence
from nexus_core.tracing.findings import Analysis, Makespan, RunAnalysis, WhatIf

__all__ = ["summaries"]


def summaries(analysis: Analysis, choices: Iterable[int]) -> dict[str, dict[str, Any]]:
    """What the page shows of all runs, under ``all``, and of each of some, under its number.

    Args:
        analysis: What was found.
        choices: Which runs.

    Returns:
        The figures and texts.
    """
    found = {str(number): _of_run(analysis.runs[number]) for number in choices}
    found["all"] = found["0"] if len(analysis.runs) == 1 else _of_all(analysis)
    return found


def _of_run(run: RunAnalysis) -> dict[str, Any]:
    failed = sum(node.status == "failed" for node in run.nodes)
    figures = [
        ("Makespan", readable_time(run.makespan), run.status),
        ("Critical path", readable_time(run.critical_path_length), _share(run.critical_path_length, run.makespan)),
        _parallelism(run.parallelism, run.possible_parallelism),
        ("Work", readable_time(run.work), "all nodes together"),
        *_waits(run.queued, run.waiting_for_gil),
        ("Nodes", f"{len(run.nodes):,}", f"{failed:,} failed" if failed else f"at the most {run.at_once:,} at once"),
    ]
    return _summary(figures, run.makespan_of, run.critical_path, run.simulated, run.what_if, "")


def _of_all(analysis: Analysis) -> dict[str, Any]:
    runs = analysis.runs
    work = math.fsum(run.work for run in runs)
    critical = math.fsum(run.critical_path_length for run in runs)
    total = math.fsum(run.makespan for run in runs)
    nodes = sum(len(run.nodes) for run in runs)
    failed = sum(run.status == "failed" for run in runs)
    ordered = sorted(run.makespan for run in runs)
    middle = ordered[(len(ordered) - 1) // 2] if ordered else 0.0
    figures = [
        ("Runs", f"{len(runs):,}", f"{failed:,} failed" if failed else f"in {readable_time(analysis.span)}"),
        ("Makespan", readable_time(middle), f"median; longest {readable_time(ordered[-1] if ordered else 0.0)}"),
        ("Critical paths", readable_time(critical), _share(critical, total) + "s"),
        _parallelism(work / total if total else 0.0, work / critical if critical else 0.0),
        *_waits(math.fsum(run.queued for run in runs), math.fsum(run.waiting_for_gil for run in runs)),
        ("Nodes", f"{nodes:,}", f"{readable_time(work)} of work"),
    ]
    parts = reduce(add, (run.makespan_of for run in runs), Makespan(0.0, 0.0, 0.0, 0.0, 0.0))
    if len(analysis.workflows) != 1:
        return _summary(figures, parts, (), 0.0, (), "")
    (only,) = analysis.workflows
    over = f"On average over {only.simulated_runs:,} runs. "
    return _summary(figures, parts, (), only.simulated, only.what_if, over)


def _share(part: float, makespan: float) -> str:
    return f"{part / makespan:.0%} of the makespan" if makespan > 0 else "of nothing"


def _parallelism(achieved: float, possible: float) -> tuple[str, str, str]:
    return ("Parallelism", f"{achieved:.2g} ×", f"{possible:.2g} × is possible")


def _waits(queued: float, lock: float) -> list[tuple[str, str, str]]:
    return [
        ("Queued", readable_time(queued), "ready, no thread free"),
        ("Interpreter lock", readable_time(lock), "waited before starts"),
    ]


def _summary(
    figures: Sequence[tuple[str, str, str]],
    parts: Makespan,
    path: Sequence[str],
    simulated: float,
    what_if: Sequence[WhatIf],
    over: str,
) -> dict[str, Any]:
    head, _, rest = sentence(parts.bound).partition(":")
    remark = "The scheduler, simulated on the measured durations; nodes are taken to run independently."
    return {
        "figures": figures,
        "bound": [f"Bounded by {head}", f":{rest}" if rest else ""],
        "parts": [parts.nodes, parts.interpreter_lock, parts.workers, parts.queueing, parts.runtime],
        "path": path,
        "simulated": simulated,
        "what_if": [(each.change, each.makespan) for each in what_if],
        "note": over + remark,
    }
