"""What a run takes on many workers: a model with the costs that were measured on few. `scaling_page.py` writes it."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

from nexus_core._core import _grouped
from nexus_core.distributed.messages import OVERHEAD

from layered.costs import Costs

LAYERS, WIDTH = 10, 1_000
WORKERS = (1, 2, 10, 100, 1_000)
SECONDS = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Task:
    """A group of nodes."""

    seconds: float
    sources: tuple[int, ...]


def edges_between(layers: int, width: int) -> list[tuple[int, int]]:
    """Each node waits for two of the layer above."""
    return [
        (source, layer * width + place)
        for layer in range(1, layers)
        for place in range(width)
        for source in ((layer - 1) * width + place, (layer - 1) * width + (place + 1) % width)
    ]


def tasks(
    costs: Costs, seconds: float, workers: int, *, batches: bool, layers: int = LAYERS, width: int = WIDTH
) -> list[Task]:
    """What is sent to the scheduler."""
    nodes, edges = layers * width, edges_between(layers, width)
    if batches:
        groups = _grouped(edges, [seconds] * nodes, [0] * nodes, OVERHEAD, workers)
    else:
        inputs: list[list[int]] = [[] for _ in range(nodes)]
        for source, target in edges:
            inputs[target].append(source)
        groups = [([node], inputs[node], [node]) for node in range(nodes)]
    home = {node: number for number, (members, _, _) in enumerate(groups) for node in members}
    return [
        Task(len(members) * (seconds + costs.node), tuple({home[node] for node in inputs}))
        for members, inputs, _ in groups
    ]


def makespan(costs: Costs, given: list[Task], workers: int) -> float:
    """Seconds of a run. The client and the scheduler do one thing at a time, in the order in which it comes.

    Half of what a task costs the scheduler is spent before it runs, half after.
    """
    waiting = [len(task.sources) for task in given]
    behind: list[list[int]] = [[] for _ in given]
    for number, task in enumerate(given):
        for source in task.sources:
            behind[source].append(number)
    events: list[tuple[float, int, int]] = []  # when, what (0 arrives at the scheduler, 1 has run), task
    for number in range(len(given)):
        heapq.heappush(events, ((number + 1) * costs.client, 0, number))
    arrived = [False] * len(given)
    ready: deque[int] = deque()
    idle, free_at, end = workers, 0.0, 0.0
    while events:
        now, what, number = heapq.heappop(events)
        if what == 0:
            arrived[number] = True
            if waiting[number] == 0:
                ready.append(number)
        else:
            free_at = max(free_at, now) + costs.scheduler / 2
            end = max(end, free_at)
            idle += 1
            for after in behind[number]:
                waiting[after] -= 1
                if waiting[after] == 0 and arrived[after]:
                    ready.append(after)
        while idle and ready:
            idle -= 1
            chosen = ready.popleft()
            free_at = max(free_at, now) + costs.scheduler / 2
            heapq.heappush(events, (free_at + costs.message + costs.worker + given[chosen].seconds, 1, chosen))
    return end


Found = dict[tuple[float, bool, int], float]


def foreseen(costs: Costs) -> Found:
    """By seconds of a node, whether nodes are grouped, and workers."""
    return {
        (seconds, batches, workers): makespan(costs, tasks(costs, seconds, workers, batches=batches), workers)
        for seconds in SECONDS
        for batches in (True, False)
        for workers in WORKERS
    }


def table(costs: Costs, found: Found) -> list[str]:
    """Speed-ups over one process."""
    head = ["10,000 nodes of", "one process", *(f"{workers:,} workers" for workers in WORKERS[1:])]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for seconds in SECONDS:
        alone = LAYERS * WIDTH * (seconds + costs.node)
        for batches in (True, False):
            name = f"{1000 * seconds:g} ms, {'in groups' if batches else 'a task a node'}"
            cells = [f"{alone:,.0f} s"]
            for workers in WORKERS[1:]:
                took = found[seconds, batches, workers]
                cells.append(f"{took:,.1f} s ({alone / took:.1f}×)")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
