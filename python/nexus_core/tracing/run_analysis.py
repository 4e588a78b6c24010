"""What bounded one run: critical path, slack, where its makespan went, and what would change it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from nexus_core._core import CompiledGraph, TaskGraph
from nexus_core.errors import CycleError
from nexus_core.tracing.events import STATUSES, EventColumns, queued
from nexus_core.tracing.execution_graph import execution_edges
from nexus_core.tracing.findings import Makespan, NodeAnalysis, RunAnalysis, WhatIf
from nexus_core.tracing.model import RunTrace

__all__ = ["Concurrency", "Questions", "RunAnalyst"]


class Questions(NamedTuple):
    """What is asked of the simulated scheduler."""

    threads: Sequence[int]
    faster: Mapping[str, float]


class Concurrency:
    """How many of some executions run at which time."""

    def __init__(self, spans: Iterable[tuple[float, float]]) -> None:
        changes: dict[float, int] = {}
        for start, end in spans:
            if end > start:
                changes[start] = changes.get(start, 0) + 1
                changes[end] = changes.get(end, 0) - 1
        self._times = sorted(changes)
        self._counts = list(accumulate(map(changes.__getitem__, self._times)))
        self.most = max(self._counts, default=0)
        lengths = zip(self._times, self._times[1:], self._counts, strict=False)
        full = (later - time if count == self.most else 0.0 for time, later, count in lengths)
        # Seconds at the most until each time.
        self._full = list(accumulate(full, initial=0.0))

    def at_the_most(self, start: float, end: float) -> float:
        """Seconds between two times in which as many ran as ever did."""
        return self._until(end) - self._until(start) if self._times and end > start else 0.0

    def _until(self, time: float) -> float:
        k = bisect_right(self._times, time) - 1
        if k < 0:
            return 0.0
        rest = time - self._times[k] if self._counts[k] == self.most else 0.0
        return self._full[k] + rest

    def busy(self) -> float:
        """Seconds in which at least one ran."""
        spans = zip(self._times, self._times[1:], self._counts, strict=False)
        return math.fsum(end - start for start, end, count in spans if count)


class _Graph(NamedTuple):
    plan: CompiledGraph
    names: Sequence[str]
    """In `plan`, of each execution."""
    edges: Sequence[tuple[int, int]]
    """Between executions."""

    def by_name(self, seconds: Sequence[float]) -> dict[str, float]:
        return dict(zip(self.names, seconds, strict=True))


class RunAnalyst:
    """Analyses the runs of one trace; graphs that runs share are made once."""

    def __init__(self, events: EventColumns, everything: Concurrency) -> None:
        self._events = events
        self._everything = everything
        # By the identity of a workflow's nodes and edges, and which of the nodes ran; None where there is a cycle.
        self._plans: dict[tuple[int, int, tuple[int, ...]], CompiledGraph | None] = {}

    def answer(self, analysed: RunAnalysis, run: RunTrace, questions: Questions) -> RunAnalysis:
        """The same with answers to questions."""
        if not analysed.nodes:
            return analysed
        graph = self._graph(run, [node.event for node in analysed.nodes])
        simulated, what_if = _simulate(graph, analysed.nodes, max(analysed.at_once, 1), questions)
        return replace(analysed, simulated=simulated, what_if=what_if)

    def analyze(self, number: int, run: RunTrace, of_run: Sequence[int]) -> RunAnalysis:
        """Analyses one run, without answers to questions."""
        events = self._events
        order = sorted(of_run, key=lambda i: (events.start[i], events.end[i], i))
        durations = [events.end[i] - events.start[i] for i in order]
        graph = self._graph(run, order)
        named = graph.by_name(durations)
        found, length = graph.plan.critical_path(named)
        slack = graph.plan.slack(named)
        places = {name: k for k, name in enumerate(graph.names)}
        path = [places[name] for name in found]
        critical = set(path)
        spans = [(events.start[i], events.end[i]) for i in order]
        concurrency = Concurrency(spans)
        work = math.fsum(durations)
        nodes = tuple(
            NodeAnalysis(
                *run.nodes[events.node[i]],
                event=i,
                duration=durations[k],
                slack=slack[graph.names[k]],
                is_critical=k in critical,
                queued=queued(events.ready[i], events.start[i], events.waiting_for_gil[i]),
                waiting_for_gil=events.waiting_for_gil[i],
                status=STATUSES[events.status[i]],
                error=events.errors[events.error[i]] or None,
            )
            for k, i in enumerate(order)
        )
        makespan = run.makespan
        return RunAnalysis(
            run=number,
            workflow=run.workflow,
            run_id=run.run_id,
            status=run.status,
            note=run.note,
            makespan=makespan,
            work=work,
            critical_path=tuple(nodes[k].node_id for k in path),
            critical_path_length=length,
            parallelism=work / makespan if makespan > 0 else 0.0,
            possible_parallelism=work / length if length > 0 else 0.0,
            at_once=concurrency.most,
            threads=len({events.thread[i] for i in order}),
            queued=math.fsum(node.queued for node in nodes),
            waiting_for_gil=math.fsum(node.waiting_for_gil for node in nodes),
            makespan_of=self._makespan(run, order, graph.edges, concurrency),
            simulated=0.0,
            what_if=(),
            nodes=nodes,
        )

    def _graph(self, run: RunTrace, order: Sequence[int]) -> _Graph:
        nodes = [self._events.node[i] for i in order]
        edges = execution_edges(run, self._events, order)
        if len(set(nodes)) == len(nodes):
            key = (id(run.nodes), id(run.edges), tuple(sorted(nodes)))
            if key not in self._plans:
                self._plans[key] = _acyclic(key[2], [(nodes[i], nodes[j]) for i, j in edges])
            plan = self._plans[key]
            if plan is not None:
                return _Graph(plan, [str(node) for node in nodes], edges)
            # A cycle that was gone through once: what started later cannot have been waited for.
            edges = [(i, j) for i, j in edges if i < j]
        plan = _compiled(range(len(order)), edges)
        return _Graph(plan, [str(k) for k in range(len(order))], edges)

    def _makespan(
        self, run: RunTrace, order: Sequence[int], edges: Sequence[tuple[int, int]], concurrency: Concurrency
    ) -> Makespan:
        """Goes back from the node that ended last to what it waited for, and so on."""
        events = self._events
        if not order:
            return Makespan(0.0, 0.0, 0.0, 0.0, max(run.makespan, 0.0))
        before: list[list[int]] = [[] for _ in order]
        for i, j in edges:
            before[j].append(i)
        ends = [events.end[i] for i in order]
        last = max(range(len(order)), key=ends.__getitem__)
        # Nothing is counted twice where clocks disagree: what is above the horizon is accounted for.
        horizon = min(max(run.ended, run.began), max(ends[last], run.began))
        now: int | None = last
        nodes = lock = workers = queueing = 0.0
        runtime = max(run.ended - horizon, 0.0)
        while now is not None:
            event = order[now]
            start = min(max(events.start[event], run.began), horizon)
            nodes += horizon - start
            cause = max(before[now], key=ends.__getitem__, default=None)
            if cause is not None:
                ready = ends[cause]
            else:
                ready = events.ready[event]
                ready = ready if math.isfinite(ready) else run.began
            ready = min(max(ready, run.began), start)
            waited = min(max(events.waiting_for_gil[event], 0.0), start - ready)
            lock += waited
            start -= waited
            full = max(concurrency.at_the_most(ready, start), self._everything.at_the_most(ready, start))
            full = min(full, start - ready)
            workers += full
            queueing += start - ready - full
            horizon, now = ready, cause
        return Makespan(nodes, lock, workers, queueing, runtime + max(horizon - run.began, 0.0))


def _simulate(
    graph: _Graph, nodes: Sequence[NodeAnalysis], at_once: int, questions: Questions
) -> tuple[float, tuple[WhatIf, ...]]:
    work = [node.duration for node in nodes]
    named = graph.by_name(work)
    found = [WhatIf(graph.plan.predict_makespan(threads, named), threads) for threads in questions.threads]
    for node_id, factor in questions.faster.items():
        pairs = zip(nodes, work, strict=True)
        changed = [seconds / factor if node.node_id == node_id else seconds for node, seconds in pairs]
        found.append(WhatIf(graph.plan.predict_makespan(at_once, graph.by_name(changed)), at_once, node_id, factor))
    return graph.plan.predict_makespan(at_once, named), tuple(found)


def _acyclic(nodes: Iterable[int], edges: Iterable[tuple[int, int]]) -> CompiledGraph | None:
    try:
        return _compiled(nodes, edges)
    except CycleError:
        return None


def _compiled(nodes: Iterable[int], edges: Iterable[tuple[int, int]]) -> CompiledGraph:
    graph = TaskGraph()
    for node in nodes:
        graph.add(str(node), _nothing)
    for i, j in edges:
        graph.after(str(j), str(i))
    return graph.compile()


def _nothing() -> None:
    """Stands for a node: the graph is never run."""
