"""What a run takes on many workers: a model with the costs that were measured on few.

Writes docs/scaling.svg and prints the table of docs/scaling.md::

    PYTHONPATH=python .venv/bin/python benches/scaling_model.py
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from nexus_core._core import _grouped

#: Seconds of a processor for a task, measured with 1,000 tasks on two workers (docs/scaling.md).
SCHEDULER, CLIENT, WORKER = 0.0011, 0.0006, 0.0020
#: Seconds of a node beside its own, in one process.
NODE = 0.00001
#: Seconds from the scheduler to a worker and back.
ROUND_TRIP = 0.001

LAYERS, WIDTH = 10, 1_000
WORKERS = (1, 2, 10, 100, 1_000)
SECONDS = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Task:
    """A group of nodes."""

    seconds: float
    sources: tuple[int, ...]


def layered() -> list[tuple[int, int]]:
    """Each node waits for two of the layer above."""
    return [
        (source, layer * WIDTH + place)
        for layer in range(1, LAYERS)
        for place in range(WIDTH)
        for source in ((layer - 1) * WIDTH + place, (layer - 1) * WIDTH + (place + 1) % WIDTH)
    ]


def tasks(seconds: float, workers: int, *, batches: bool) -> list[Task]:
    """What is sent to the scheduler."""
    nodes, edges = LAYERS * WIDTH, layered()
    if batches:
        groups = _grouped(edges, [seconds] * nodes, [0] * nodes, 0.001, workers)
    else:
        inputs: list[list[int]] = [[] for _ in range(nodes)]
        for source, target in edges:
            inputs[target].append(source)
        groups = [([node], inputs[node], [node]) for node in range(nodes)]
    home = {node: number for number, (members, _, _) in enumerate(groups) for node in members}
    return [
        Task(len(members) * (seconds + NODE), tuple({home[node] for node in inputs})) for members, inputs, _ in groups
    ]


def makespan(given: list[Task], workers: int) -> float:
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
        heapq.heappush(events, ((number + 1) * CLIENT, 0, number))
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
            free_at = max(free_at, now) + SCHEDULER / 2
            end = max(end, free_at)
            idle += 1
            for after in behind[number]:
                waiting[after] -= 1
                if waiting[after] == 0 and arrived[after]:
                    ready.append(after)
        while idle and ready:
            idle -= 1
            chosen = ready.popleft()
            free_at = max(free_at, now) + SCHEDULER / 2
            heapq.heappush(events, (free_at + ROUND_TRIP + WORKER + given[chosen].seconds, 1, chosen))
    return end


def measured() -> dict[tuple[float, bool, int], float]:
    """By seconds of a node, whether nodes are grouped, and workers."""
    return {
        (seconds, batches, workers): makespan(tasks(seconds, workers, batches=batches), workers)
        for seconds in SECONDS
        for batches in (True, False)
        for workers in WORKERS
    }


def table(found: dict[tuple[float, bool, int], float]) -> list[str]:
    """Speed-ups over one process."""
    head = ["10,000 nodes of", "one process", *(f"{workers:,} workers" for workers in WORKERS[1:])]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for seconds in SECONDS:
        alone = LAYERS * WIDTH * (seconds + NODE)
        for batches in (True, False):
            name = f"{1000 * seconds:g} ms, {'in groups' if batches else 'a task a node'}"
            cells = [f"{alone:,.0f} s"]
            for workers in WORKERS[1:]:
                took = found[seconds, batches, workers]
                cells.append(f"{took:,.1f} s ({alone / took:.1f}×)")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def picture(found: dict[tuple[float, bool, int], float], path: Path) -> None:
    """Speed-up over workers, both by powers of ten."""
    import math

    width, height, left, top = 720, 420, 70, 40
    inner_width, inner_height = width - left - 200, height - top - 60
    colours = dict(zip(SECONDS, ("#c0392b", "#d68910", "#1e8449", "#1f618d"), strict=True))

    def at(workers: float, speed_up: float) -> tuple[float, float]:
        x = left + inner_width * math.log10(workers) / 3
        y = top + inner_height * (1 - (math.log10(max(speed_up, 0.1)) + 1) / 4)
        return round(x, 1), round(y, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="14">Speed-up over one process, 10 layers of 1,000 nodes (model)</text>',
    ]
    for power in range(-1, 4):
        (x0, y), (x1, _) = at(1, 10.0**power), at(1000, 10.0**power)
        parts.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{10.0**power:g}×</text>')
    for workers in (1, 10, 100, 1000):
        x, y = at(workers, 0.1)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{workers:,}</text>')
    parts.append(
        f'<text x="{left + inner_width / 2}" y="{height - 14}" text-anchor="middle">workers of one thread</text>'
    )
    (x0, y0), (x1, y1) = at(1, 1), at(1000, 1000)
    parts.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#999" stroke-dasharray="2 3"/>')
    place = top + 10
    for seconds in reversed(SECONDS):
        for batches in (True, False):
            alone = LAYERS * WIDTH * (seconds + NODE)
            points = " ".join(
                "{},{}".format(*at(workers, alone / found[seconds, batches, workers])) for workers in WORKERS
            )
            dash = "" if batches else ' stroke-dasharray="6 4"'
            stroke = f'stroke="{colours[seconds]}" stroke-width="2"{dash}'
            parts.append(f'<polyline points="{points}" fill="none" {stroke}/>')
            x = left + inner_width + 15
            parts.append(f'<line x1="{x}" y1="{place}" x2="{x + 28}" y2="{place}" {stroke}/>')
            name = f"{1000 * seconds:g} ms, {'groups' if batches else 'a task a node'}"
            parts.append(f'<text x="{x + 34}" y="{place + 4}">{name}</text>')
            place += 20
    parts.append(f'<text x="{left + inner_width + 15}" y="{place + 10}" fill="#666">dotted: no overhead at all</text>')
    path.write_text("\n".join([*parts, "</svg>", ""]))


def main() -> None:
    found = measured()
    print("\n".join(table(found)))
    picture(found, Path(__file__).parents[1] / "docs" / "scaling.svg")


if __name__ == "__main__":
    main()
