"""An analysis as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nexus_core.gantt import printable, readable_time
from nexus_core.tracing.findings import Analysis, Bound, Makespan, RunAnalysis, WhatIf, WorkflowAnalysis

__all__ = ["as_text", "run_as_text", "sentence", "workflow_as_text"]

_MOST_NODES = 8
_MOST_RUNS = 3
_REASONS: dict[Bound, str] = {
    "critical path": "the critical path: faster nodes on it help most",
    "workers": "workers: nodes were ready while all threads were busy; more threads help most",
    "interpreter lock": "the interpreter lock: nodes waited for one another's Python code",
    "queueing": "queueing: nodes were ready and there was room for them, but they did not start",
    "runtime": "the runtime: most of the time passed before the first node and after the last",
    "nothing": "nothing that was recorded",
}


def sentence(bound: Bound) -> str:
    """What it means to be bounded by something.

    Args:
        bound: By what.

    Returns:
        A few words.
    """
    return _REASONS[bound]


def as_text(analysis: Analysis) -> str:
    """All of an analysis.

    Args:
        analysis: What was found.

    Returns:
        Lines without a newline at the end.
    """
    if not analysis.runs:
        return "the trace has no runs"
    parts = []
    for workflow in analysis.workflows:
        runs = [run for run in analysis.runs if run.workflow == workflow.workflow]
        if len(runs) > 1:
            parts.append(workflow_as_text(workflow))
        if len(runs) <= _MOST_RUNS:
            parts += map(run_as_text, runs)
        else:
            longest = max(runs, key=lambda run: run.makespan)
            parts.append("Its longest run: " + run_as_text(longest))
    rows = [
        (printable(each.name), f"{each.utilisation:.0%}", readable_time(each.busy), f"{each.executions:,}")
        for each in analysis.threads
        if each.executions
    ]
    if rows:
        parts.append("\n".join(_table(("thread", "busy", "", "nodes"), rows)))
    if analysis.dropped:
        parts.append(f"{analysis.dropped:,} executions are missing: the trace was full. What is said is incomplete.")
    return "\n\n".join(parts)


def run_as_text(run: RunAnalysis) -> str:
    """What bounded one run.

    Args:
        run: What was found.

    Returns:
        Lines without a newline at the end.
    """
    head = f"Run {printable(run.run_id)} of {printable(run.workflow)!r}: {printable(run.status)} in {readable_time(run.makespan)}"
    if not run.nodes:
        return f"{head}\n  nothing is known of its nodes" + (f": {printable(run.note)}" if run.note else "")
    path = " → ".join(map(printable, _shortened(run.critical_path)))
    facts = [
        ("bounded by", sentence(run.bound)),
        ("critical path", f"{readable_time(run.critical_path_length)}: {path}"),
        (
            "parallelism",
            f"{run.parallelism:.1f} at once on average, {run.at_once} at the most;"
            f" {run.possible_parallelism:.1f} on average is possible",
        ),
        ("makespan", _parts(run.makespan_of)),
        *_what_if(run.what_if, run.simulated),
    ]
    nodes = sorted(run.nodes, key=lambda node: (not node.is_critical, -node.duration))
    rows = [
        (
            ("* " if node.is_critical else "  ") + printable(node.node_id),
            readable_time(node.duration),
            readable_time(node.slack) if not node.is_critical else "none",
            readable_time(node.queued),
            readable_time(node.waiting_for_gil),
            "" if node.status == "completed" else printable(f"{node.status} {node.error or ''}".strip()),
        )
        for node in nodes[:_MOST_NODES]
    ]
    lines = [head, *_facts(facts), *_table(("  node", "took", "slack", "queued", "lock", ""), rows)]
    if len(nodes) > _MOST_NODES:
        lines.append(f"  … and {len(nodes) - _MOST_NODES:,} more")
    return "\n".join(lines)


def workflow_as_text(workflow: WorkflowAnalysis) -> str:
    """What bounded all runs of a workflow.

    Args:
        workflow: What was found.

    Returns:
        Lines without a newline at the end.
    """
    failed = f", {workflow.failed:,} failed" if workflow.failed else ""
    unknown = f", of {workflow.unknown:,} the nodes are not known" if workflow.unknown else ""
    took = workflow.makespan
    head = (
        f"{workflow.runs:,} runs of {printable(workflow.workflow)!r}{failed}{unknown}:"
        f" p50 {readable_time(took.p50)}, p99 {readable_time(took.p99)}, longest {readable_time(took.max)}"
    )
    facts = [
        ("bounded by", sentence(workflow.bound)),
        (
            "parallelism",
            f"{workflow.parallelism:.1f} at once on average; {workflow.possible_parallelism:.1f} is possible",
        ),
        ("makespans", _parts(workflow.makespan_of)),
        *_what_if(workflow.what_if, workflow.simulated, f"on average over {workflow.simulated_runs:,} runs; "),
    ]
    rows = [
        (
            printable(node.node_id),
            f"{node.critical / node.executions:.0%}",
            readable_time(node.mean),
            readable_time(node.max),
            readable_time(node.queued / node.executions),
            readable_time(node.waiting_for_gil / node.executions),
            f"{node.failures:,} failed" if node.failures else "",
        )
        for node in workflow.nodes[:_MOST_NODES]
    ]
    lines = [head, *_facts(facts), *_table(("node", "critical", "mean", "longest", "queued", "lock", ""), rows)]
    if len(workflow.nodes) > _MOST_NODES:
        lines.append(f"  … and {len(workflow.nodes) - _MOST_NODES:,} more")
    return "\n".join(lines)


def _parts(makespan: Makespan) -> str:
    parts = [
        (makespan.nodes, "nodes"),
        (makespan.workers, "waiting for a worker"),
        (makespan.interpreter_lock, "for the interpreter lock"),
        (makespan.queueing, "queueing"),
        (makespan.runtime, "outside of nodes"),
    ]
    total = makespan.total
    told = [f"{seconds / total:.0%} {what}" for seconds, what in parts if total > 0 and seconds / total >= 0.005]
    return " · ".join(told) or "nothing"


def _what_if(answers: Sequence[WhatIf], simulated: float, over: str = "") -> list[tuple[str, str]]:
    if not answers:
        return []
    return [
        ("what if", f"({over}simulated as it ran: {readable_time(simulated)})"),
        *(("", str(each)) for each in answers),
    ]


def _facts(facts: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {name:<14}{value}" for name, value in facts]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    # Names and remarks to the left, numbers to the right.
    to_the_left = {0} if len(header) < 5 else {0, len(header) - 1}
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if place in to_the_left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def _shortened(path: Sequence[str]) -> Sequence[str]:
    return path if len(path) <= 10 else (*path[:5], f"({len(path) - 9} more)", *path[-4:])
