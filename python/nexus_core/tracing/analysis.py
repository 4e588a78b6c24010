"""What bounds the makespans of a trace's runs: each run, and all runs of a workflow summed up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from nexus_core.durations import Durations
from nexus_core.tracing.execution_graph import events_by_run
from nexus_core.tracing.findings import (
    Analysis,
    Makespan,
    NodeAnalysis,
    NodeSummary,
    RunAnalysis,
    ThreadAnalysis,
    WhatIf,
    WorkflowAnalysis,
)
from nexus_core.tracing.model import Trace
from nexus_core.tracing.run_analysis import Concurrency, Questions, RunAnalyst

__all__ = ["Analysis", "RunAnalysis", "WhatIf", "WorkflowAnalysis", "analyze"]

# What-if questions are simulated for that many runs of a workflow, spread evenly.
_SIMULATED = 100
# The nodes that are longest on critical paths, which are asked about when nobody names any.
_LONGEST = 3
# A node with a smaller share of its critical path is not worth a question.
_WORTHWHILE = 0.01
#: No machine has more.
_MOST_THREADS = 1_000_000


def analyze(trace: Trace, threads: Sequence[int] = (), faster: Mapping[str, float] | None = None) -> Analysis:
    """Says what bounds the makespans of a trace's runs, and what would change them.

    Args:
        trace: What was recorded.
        threads: Numbers of threads to answer for; by default half, twice and four times as many as ran at once.
        faster: How many times as fast to take a node, by id; by default twice, for those that were longest on
            critical paths.

    Returns:
        The analysis.

    Raises:
        ValueError: If a number of threads is below 1, a factor is not positive and finite, or no run has such a node.

    Example:
        >>> from nexus_core.tracing import NodeEvent, RunTrace, Trace, TracedThread, analyze
        >>> nodes = [("load", "Code"), ("left", "Code"), ("right", "Code")]
        >>> run = RunTrace("halves", "run-1", 0.0, 0.7, nodes=nodes, edges=[(0, 1), (0, 2)])
        >>> times = [(0, 0.0, 0.1), (1, 0.1, 0.5), (2, 0.5, 0.7)]
        >>> events = [NodeEvent(0, node, 0, start, start, end) for node, start, end in times]
        >>> found = analyze(Trace([TracedThread("main")], [run], events), threads=[2]).runs[0]
        >>> found.critical_path, round(found.critical_path_length, 3), round(found.slack["right"], 3)
        (('load', 'left'), 0.5, 0.2)
        >>> print(found.what_if[0])
        with 2 threads 500 ms
    """
    _check(trace, threads, faster or {})
    events = trace.events
    by_thread: list[list[tuple[float, float]]] = [[] for _ in trace.threads]
    lock = [0.0] * len(trace.threads)
    for thread, start, end, waited in zip(events.thread, events.start, events.end, events.waiting_for_gil, strict=True):
        by_thread[thread].append((start, end))
        lock[thread] += waited
    analyst = RunAnalyst(events, Concurrency(zip(events.start, events.end, strict=True)))
    counts = Counter(run.workflow for run in trace.runs)
    sampled: dict[str, list[int]] = {}
    seen: Counter[str] = Counter()
    runs = []
    for number, of_run in events_by_run(trace):
        run = trace.runs[number]
        runs.append(analyst.analyze(number, run, of_run))
        if _is_sampled(seen[run.workflow], counts[run.workflow]):
            sampled.setdefault(run.workflow, []).append(number)
        seen[run.workflow] += 1
    by_workflow: dict[str, list[int]] = {}
    for number, run in enumerate(trace.runs):
        by_workflow.setdefault(run.workflow, []).append(number)
    for workflow, chosen in sampled.items():
        # The same of all runs of a workflow, so that an average means something.
        questions = _questions([runs[number] for number in by_workflow[workflow]], threads, faster)
        for number in chosen:
            runs[number] = analyst.answer(runs[number], trace.runs[number], questions)
    began = min((run.began for run in trace.runs), default=0.0)
    span = max((run.ended for run in trace.runs), default=0.0) - began
    found = []
    for name, spans, waited in zip((thread.name for thread in trace.threads), by_thread, lock, strict=True):
        busy = Concurrency(spans).busy()
        found.append(ThreadAnalysis(name, len(spans), busy, min(busy / span, 1.0) if span > 0 else 0.0, waited))
    workflows = tuple(_summed_up(name, [runs[k] for k in numbers]) for name, numbers in by_workflow.items())
    return Analysis(tuple(runs), workflows, tuple(found), span, trace.dropped)


def _check(trace: Trace, threads: Sequence[int], faster: Mapping[str, float]) -> None:
    for each in threads:
        if isinstance(each, bool) or not isinstance(each, int) or each < 1:
            raise ValueError(f"threads must be whole numbers of at least 1, not {each!r}")
        if each > _MOST_THREADS:
            raise ValueError(f"no machine has {each} threads: {_MOST_THREADS:,} are the most that can be asked for")
    known = {node_id for nodes in {id(run.nodes): run.nodes for run in trace.runs}.values() for node_id, _ in nodes}
    for node_id, factor in faster.items():
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"node {node_id!r} cannot be {factor!r} times as fast: the factor must be above 0")
        if node_id not in known:
            raise ValueError(f"no run of the trace has a node {node_id!r}")


def _questions(runs: Sequence[RunAnalysis], threads: Sequence[int], faster: Mapping[str, float] | None) -> Questions:
    at_once = max(max(run.at_once for run in runs), 1)
    asked = threads or [each for each in (max(at_once // 2, 1), at_once * 2, at_once * 4) if each != at_once]
    if faster is None:
        longest: dict[str, float] = {}
        for run in runs:
            for node in run.nodes:
                if node.is_critical:
                    longest[node.node_id] = longest.get(node.node_id, 0.0) + node.duration
        least = _WORTHWHILE * math.fsum(longest.values())
        ordered = sorted(longest, key=lambda node_id: -longest[node_id])[:_LONGEST]
        faster = {node_id: 2.0 for node_id in ordered if longest[node_id] > least}
    return Questions(tuple(dict.fromkeys(asked)), faster)


def _is_sampled(position: int, count: int) -> bool:
    """Whether the run is one of those, spread evenly over all of them, that are simulated."""
    return count <= _SIMULATED or position * _SIMULATED // count != (position - 1) * _SIMULATED // count


def _summed_up(workflow: str, runs: Sequence[RunAnalysis]) -> WorkflowAnalysis:
    makespans = sorted(run.makespan for run in runs)
    total = math.fsum(makespans)
    work = math.fsum(run.work for run in runs)
    critical = math.fsum(run.critical_path_length for run in runs)
    simulated = [run for run in runs if run.what_if]
    makespan_of = reduce(add, (run.makespan_of for run in runs), Makespan(0.0, 0.0, 0.0, 0.0, 0.0))
    return WorkflowAnalysis(
        workflow=workflow,
        runs=len(runs),
        failed=sum(run.status == "failed" for run in runs),
        unknown=sum(run.note is not None and not run.nodes for run in runs),
        makespan=Durations(
            count=len(runs),
            total=total,
            mean=total / len(runs),
            p50=_quantile(makespans, 0.5),
            p90=_quantile(makespans, 0.9),
            p99=_quantile(makespans, 0.99),
            max=makespans[-1],
        ),
        work=work,
        critical_path_length=critical,
        parallelism=work / total if total > 0 else 0.0,
        possible_parallelism=work / critical if critical > 0 else 0.0,
        makespan_of=makespan_of,
        bounds=dict(Counter(run.bound for run in runs).most_common()),
        nodes=_nodes(runs),
        simulated=_mean([run.simulated for run in simulated]),
        what_if=_what_if(simulated),
        simulated_runs=len(simulated),
    )


def _nodes(runs: Sequence[RunAnalysis]) -> tuple[NodeSummary, ...]:
    found: dict[str, list[NodeAnalysis]] = {}
    for run in runs:
        for node in run.nodes:
            found.setdefault(node.node_id, []).append(node)
    critical = {
        node_id: math.fsum(each.duration for each in nodes if each.is_critical) for node_id, nodes in found.items()
    }
    summaries = []
    for node_id, nodes in sorted(found.items(), key=lambda item: -critical[item[0]]):
        total = math.fsum(each.duration for each in nodes)
        summaries.append(
            NodeSummary(
                node_id=node_id,
                node_type=nodes[0].node_type,
                executions=len(nodes),
                failures=sum(each.status == "failed" for each in nodes),
                total=total,
                mean=total / len(nodes),
                max=max(each.duration for each in nodes),
                queued=math.fsum(each.queued for each in nodes),
                waiting_for_gil=math.fsum(each.waiting_for_gil for each in nodes),
                critical=sum(each.is_critical for each in nodes),
                slack=min(each.slack for each in nodes),
            )
        )
    return tuple(summaries)


def _what_if(runs: Sequence[RunAnalysis]) -> tuple[WhatIf, ...]:
    """The answers on average; all runs were asked the same."""
    at_once = max((run.at_once for run in runs), default=1)
    return tuple(
        WhatIf(
            _mean([answer.makespan for answer in answers]),
            answers[0].threads if answers[0].node is None else at_once,
            answers[0].node,
            answers[0].factor,
        )
        for answers in zip(*(run.what_if for run in runs), strict=True)
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of which at least this share is no larger."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
