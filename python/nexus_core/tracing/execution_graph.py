"""Which execution waited for which: a run's edges between what really ran."""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence

from nexus_core.tracing.events import EventColumns
from nexus_core.tracing.model import RunTrace, Trace

__all__ = ["events_by_run", "execution_edges"]


def events_by_run(trace: Trace) -> Iterator[tuple[int, array[int]]]:
    """The positions of each run's events, run by run.

    Args:
        trace: The trace.

    Yields:
        The run's position, and those of its events in their order; of type code ``I``, possibly none.
    """
    first = array("I", bytes(4 * (len(trace.runs) + 1)))
    for run in trace.events.run:
        first[run + 1] += 1
    for run in range(len(trace.runs)):
        first[run + 1] += first[run]
    places, free = array("I", bytes(4 * len(trace.events))), first[:-1]
    for i, run in enumerate(trace.events.run):
        places[free[run]] = i
        free[run] += 1
    for run in range(len(trace.runs)):
        yield run, places[first[run] : first[run + 1]]


def execution_edges(run: RunTrace, events: EventColumns, of_run: Sequence[int]) -> list[tuple[int, int]]:
    """The edges between a run's executions.

    Where no node runs twice the edges are the workflow's. A node of a cycle runs several times: each of its executions
    waited for the last one of its predecessor that had started before, and for its own last one. Rounds follow each
    other, so what none of these explains is explained by whatever ended last before the execution was ready.

    Args:
        run: The run.
        events: The trace's events.
        of_run: The positions of the run's events.

    Returns:
        Pairs of positions in `of_run`, without a cycle.
    """
    executions: dict[int, list[int]] = {}
    order = sorted(range(len(of_run)), key=lambda k: (events.start[of_run[k]], events.end[of_run[k]], k))
    for k in order:
        executions.setdefault(events.node[of_run[k]], []).append(k)
    if len(executions) == len(of_run):
        only = {node: ks[0] for node, ks in executions.items()}
        return [(only[i], only[j]) for i, j in run.edges if i in only and j in only]
    before: list[list[int]] = [[] for _ in run.nodes]
    for i, j in run.edges:
        before[j].append(i)
    last: dict[int, int] = {}
    ended: list[tuple[float, int]] = []
    edges = []
    for k in order:
        event = of_run[k]
        node, ready = events.node[event], events.ready[event]
        causes = [last[i] for i in dict.fromkeys((*before[node], node)) if i in last]
        place = bisect_right(ended, (ready, len(of_run)))
        if place and all(events.end[of_run[cause]] < ended[place - 1][0] for cause in causes):
            causes.append(ended[place - 1][1])
        edges += [(cause, k) for cause in causes]
        last[node] = k
        insort(ended, (events.end[event], k))
    return edges
