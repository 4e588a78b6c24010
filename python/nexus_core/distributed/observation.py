"""A run's nodes on workers, as the runtime's metrics and traces see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from nexus_core.distributed.cluster_plan import Group
from nexus_core.distributed.messages import Outcome
from nexus_core.distributed.node_events import NodeEnd

__all__ = ["observe"]


def observe(
    run: Any,
    groups: Sequence[Group],
    sources: Sequence[Sequence[int]],
    began: float,
    outcomes: Mapping[int, Outcome],
    arrived: Mapping[int, float],
) -> None:
    """Tells the run's runtime what has become of its nodes.

    Args:
        run: The run.
        groups: Its groups, each after those that it waits for.
        sources: What each node waits for, by places.
        began: When the groups went out, in seconds since 1970.
        outcomes: What has come back, by group.
        arrived: When that came, in seconds since 1970.
    """
    figures, traced, tracing = run.runtime._figures, run.traced, run.runtime._tracing
    if figures is None and traced is None and not tracing:
        return
    seen = _Seen(sources, began)
    counted: list[tuple[int, int, str | None, float, float, float]] = []
    told: dict[tuple[str, int], list[tuple[int, float, float, float, float, int, str | None]]] = defaultdict(list)
    lines: list[tuple[str, str, float, float]] = []
    zero = 0.0 if traced is None else traced.began
    for group in groups:
        events = None if group.number not in outcomes else outcomes[group.number].events
        if events is None:
            continue
        ends = list(events)
        threads = [(f"{events.worker}: {name}", native_id) for name, native_id in events.threads]
        for node, ready, start, end in seen.of_group(group, ends, arrived[group.number]):
            queued = max(start - node.waited - ready, 0.0)
            counted.append((node.place, node.status, node.error, end - start, queued, node.waited))
            told[threads[node.thread]].append(
                (node.place, ready - zero, start - zero, end - zero, node.waited, node.status, node.error)
            )
            lines.append((run.plan.node_ids[node.place], threads[node.thread][0], start - began, end - began))
    if figures is not None:
        figures.ended_elsewhere(run.plan.plan, run.workflow, counted)
    if traced is not None:
        for (name, native_id), nodes in told.items():
            traced.ended_elsewhere(name, native_id, nodes)
    if tracing:
        run.runtime._last_trace = sorted(lines, key=lambda line: line[2:])


class _Seen:
    """What is known of a run's nodes so far, by this process's clock."""

    def __init__(self, sources: Sequence[Sequence[int]], began: float) -> None:
        self._sources = sources
        self._began = began
        self._ends: dict[int, float] = {}

    def of_group(
        self, group: Group, ends: Sequence[NodeEnd], arrived: float
    ) -> list[tuple[NodeEnd, float, float, float]]:
        """Executions with when they were ready, began and ended.

        Args:
            group: The group, after those that it waits for.
            ends: Its nodes' executions.
            arrived: When its outcome came.
        """
        if not ends:
            return []
        earliest = max((self._ends[place] for place in group.inputs if place in self._ends), default=self._began)
        shift = _shift(min(each.start for each in ends), max(each.end for each in ends), earliest, arrived)
        members = set(group.members)
        found = []
        for each in ends:
            start, end = each.start + shift, each.end + shift
            sources = self._sources[each.place]
            if each.place in self._ends or (sources and members.issuperset(sources)):
                # Its worker knows better.
                ready = each.ready + shift
            else:
                ready = max((self._ends[place] for place in sources if place in self._ends), default=self._began)
            self._ends[each.place] = end
            found.append((each, min(ready, start), start, end))
        return found


def _shift(start: float, end: float, earliest: float, latest: float) -> float:
    """Seconds to add to a worker's clock, as far as it cannot be right: those of two machines may differ."""
    if start < earliest:
        return earliest - start
    if end > latest:
        return max(latest - end, earliest - start)
    return 0.0
