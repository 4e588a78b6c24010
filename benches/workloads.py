"""The graphs every peer runs, and the node bodies they share.

A graph is only a shape: each peer turns it into what that peer calls a workflow, so all of them do the same work, and
`Graph.expected` says what must come out whoever ran it.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Value = dict[str, int]


@dataclass(frozen=True)
class Graph:
    """A task graph by index, in topological order."""

    name: str
    title: str
    predecessors: tuple[tuple[int, ...], ...]
    seconds: tuple[float, ...] | None = None
    """How long each node sleeps; None for nodes that only compute."""
    workers: int | None = None
    """Threads that every peer gets; None leaves each peer its default."""

    def __len__(self) -> int:
        return len(self.predecessors)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(len(self)))

    @property
    def edges(self) -> int:
        return sum(map(len, self.predecessors))

    def expected(self) -> dict[str, Value]:
        """What each node must return, computed without any executor."""
        values: list[int] = []
        for predecessors in self.predecessors:
            values.append(combine([values[p] for p in predecessors]))
        return {name: {"v": value} for name, value in zip(self.names, values, strict=True)}

    def bound(self) -> float:
        """Makespan in seconds of list scheduling, longest remaining path first, with no overhead at all."""
        if self.seconds is None:
            return 0.0
        remaining = list(self.seconds)
        successors: list[list[int]] = [[] for _ in self.predecessors]
        for node, predecessors in enumerate(self.predecessors):
            for predecessor in predecessors:
                successors[predecessor].append(node)
        for node in reversed(range(len(self))):
            remaining[node] += max((remaining[s] for s in successors[node]), default=0.0)
        waiting = [len(p) for p in self.predecessors]
        ready = [(-remaining[n], n) for n in range(len(self)) if not waiting[n]]
        heapq.heapify(ready)
        running: list[tuple[float, int]] = []
        now = 0.0
        while ready or running:
            while ready and len(running) < (self.workers or len(self)):
                _, node = heapq.heappop(ready)
                heapq.heappush(running, (now + self.seconds[node], node))
            now, done = heapq.heappop(running)
            for successor in successors[done]:
                waiting[successor] -= 1
                if not waiting[successor]:
                    heapq.heappush(ready, (-remaining[successor], successor))
        return now


def combine(inputs: list[int]) -> int:
    """The arithmetic of every node: 1 without inputs, one more than a single input, the sum of several."""
    if not inputs:
        return 1
    return inputs[0] + 1 if len(inputs) == 1 else sum(inputs)


def chain(n: int) -> Graph:
    return Graph(f"chain_{n}", f"chain of {n:,}", ((), *(((i - 1),) for i in range(1, n))))


def fan(n: int) -> Graph:
    return Graph(f"fan_{n}", f"fan 1→{n:,}→1", ((), *((0,) for _ in range(n)), tuple(range(1, n + 1))))


def layered(layers: int = 10, width: int = 100, fan_in: int = 3, name: str = "") -> Graph:
    """Each node of a layer takes `fan_in` nodes of the layer before, drawn with a fixed seed."""
    draw = random.Random(1)
    predecessors: list[tuple[int, ...]] = [()] * width
    for layer in range(1, layers):
        before = range((layer - 1) * width, layer * width)
        predecessors += [tuple(draw.sample(before, fan_in)) for _ in range(width)]
    return Graph(name or f"layered_{layers}x{width}", f"layered {layers:,}×{width:,}", tuple(predecessors))


def sleeping(n: int, seconds: float, workers: int) -> Graph:
    return Graph(f"sleep_{n}", f"{n} sleeping nodes", ((),) * n, (seconds,) * n, workers)


def guide() -> Graph:
    """Three branches of 0.1 s and a node that combines them."""
    return Graph("guide", "three 0.1 s branches + combine", ((), (), (), (0, 1, 2)), (0.1, 0.1, 0.1, 0.0), 4)


def wide_sleeping() -> Graph:
    """1,000 independent nodes of 5 to 35 ms."""
    draw = random.Random(2)
    seconds = tuple(draw.uniform(0.005, 0.035) for _ in range(1_000))
    return Graph("sleep_1000", "1,000 sleeping nodes, 32 threads", ((),) * 1_000, seconds, 32)


OVERHEAD = (chain(100), chain(1_000), fan(100), fan(1_000), layered())
BLOCKING = (sleeping(8, 0.1, 8), guide(), wide_sleeping())


def source() -> Value:
    return {"v": 1}


def add_one(data: Value) -> Value:
    return {"v": data["v"] + 1}


def add_three(p0: Value, p1: Value, p2: Value) -> Value:
    return {"v": p0["v"] + p1["v"] + p2["v"]}


def add_all(*inputs: Value) -> Value:
    return {"v": sum([data["v"] for data in inputs])}


def add_all_named(**inputs: Value) -> Value:
    return {"v": sum([data["v"] for data in inputs.values()])}


def input_names(count: int) -> tuple[str, ...]:
    """What a node's inputs are called: `data` for one, `p0`, `p1`, … for several."""
    return ("data",) if count == 1 else tuple(f"p{i}" for i in range(count))


def callables(graph: Graph, *, keywords: bool = False) -> list[Callable[..., Value]]:
    """One callable a node, taking its predecessors' values by position or by name."""
    fixed: dict[int, Callable[..., Value]] = {0: source, 1: add_one, 3: add_three}
    many = add_all_named if keywords else add_all
    bodies: list[Callable[..., Value]] = [fixed.get(len(p), many) for p in graph.predecessors]
    if graph.seconds is None:
        return bodies
    return [sleep_then(body, s) for body, s in zip(bodies, graph.seconds, strict=True)]


def sleep_then(body: Callable[..., Value], seconds: float) -> Callable[..., Value]:
    if not seconds:
        return body

    def node(*args: Value, **kwargs: Value) -> Value:
        time.sleep(seconds)
        return body(*args, **kwargs)

    return node


def code_strings(graph: Graph, *, wrapped: bool = False) -> list[str]:
    """The same nodes as code for a PythonCodeNode; each leaves its value in `result`.

    `wrapped` is for Kailash's asynchronous runtime, where an edge from `result` delivers `{"result": value}`.
    """
    pauses = graph.seconds or (0.0,) * len(graph)
    return [code_string(len(p), pause, wrapped=wrapped) for p, pause in zip(graph.predecessors, pauses, strict=True)]


def code_string(inputs: int, seconds: float = 0.0, *, wrapped: bool = False) -> str:
    names = input_names(inputs)
    part = "['result']['v']" if wrapped else "['v']"
    terms = [f"{name}{part}" for name in names]
    if not terms:
        value = "1"
    elif len(terms) == 1:
        value = f"{terms[0]} + 1"
    elif len(terms) == 3:
        value = " + ".join(terms)
    else:
        # Not one long sum, which nests as deep as it has terms, and short: Kailash takes 10,000 characters.
        value = f"sum([p{part} for p in [{','.join(names)}]])"
    sleep = f"import time\ntime.sleep({seconds!r})\n" if seconds else ""
    return f"{sleep}result = {{'v': {value}}}"


def values_of_results(results: dict[str, Any]) -> dict[str, Any]:
    """`{"n0": {"result": {"v": 1}}}` without the wrapping."""
    return {name: output["result"] for name, output in results.items()}
