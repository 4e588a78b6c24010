"""How late a heartbeat is on a loop on which a runtime works hard, and how long other runs on that runtime take.

Prints what it measured as JSON. Everything is planned on a fixed timetable, and what could not start in time counts from
when it should have: a loop that stands still for a second is late for all the beats of that second.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from peers.kailash_runtime import build
from service.variants import runtime_class
from workloads import Graph, sleeping

BEAT = 0.005
SMALL_EVERY = 0.05

# 100 chains of 100: wide and deep.
SHORT = Graph("short_10000", "10,000 short nodes", tuple((i - 100,) if i >= 100 else () for i in range(10_000)))
BLOCKING = sleeping(200, 0.02, 4)
SMALL = Graph("one_node", "one node", ((),))


class Timetable:
    """Calls back at fixed intervals until it is stopped, with how late each call is in seconds."""

    def __init__(self, interval: float, call: Callable[[float], None]) -> None:
        self.interval = interval
        self.call = call
        self.running = True

    async def keep(self) -> None:
        due = time.perf_counter() + self.interval
        while self.running:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            while due <= now:
                self.call(now - due)
                due += self.interval


class Observed:
    """One phase: what was late while the work was done."""

    def __init__(self, runtime: Any, small: Any) -> None:
        self.runtime = runtime
        self.small = small
        self.check = checker(SMALL)
        self.late: list[float] = []
        self.answered: list[float] = []
        self.asked: list[asyncio.Task[None]] = []

    def ask(self, late: float) -> None:
        self.asked.append(asyncio.ensure_future(self.answer(time.perf_counter() - late)))

    async def answer(self, due: float) -> None:
        results, _ = await self.runtime.execute_workflow_async(self.small, {})
        self.answered.append(time.perf_counter() - due)
        self.check(results)

    async def during(self, work: Any) -> dict[str, float]:
        tables = [Timetable(BEAT, self.late.append), Timetable(SMALL_EVERY, self.ask)]
        keepers = [asyncio.ensure_future(table.keep()) for table in tables]
        started = time.perf_counter()
        runs = await work
        took = time.perf_counter() - started
        for table in tables:
            table.running = False
        await asyncio.gather(*keepers)
        await asyncio.gather(*self.asked)
        return {"seconds": took, "runs": runs, **quantiles("late", self.late), **quantiles("small", self.answered)}


def quantiles(name: str, values: list[float]) -> dict[str, float]:
    """Nearest-rank percentiles."""
    ordered = sorted(values)
    ranks = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    found = {f"{name}_{title}": ordered[max(0, -int(-rank * len(ordered) // 1) - 1)] for title, rank in ranks.items()}
    return {f"{name}_count": len(ordered), **found}


def checker(graph: Graph) -> Callable[[dict[str, Any]], None]:
    """A function that checks results without making objects, which would only bring forth garbage collections."""
    expected = graph.expected()

    def check(results: dict[str, Any]) -> None:
        if len(results) != len(expected) or not all(results[name]["result"] == expected[name] for name in expected):
            raise AssertionError(f"{graph.title}: wrong results")

    return check


class Collections:
    """How long the garbage collections of a phase took: each stops every thread, whatever the runtime does."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = 0.0

    def note(self, event: str, info: dict[str, int]) -> None:
        now = time.perf_counter()
        if event == "start":
            self.began = now
        else:
            self.seconds.append(now - self.began)

    def __enter__(self) -> Collections:
        gc.callbacks.append(self.note)
        return self

    def __exit__(self, *exc: object) -> None:
        gc.callbacks.remove(self.note)

    def figures(self) -> dict[str, float]:
        return {"collections": sum(self.seconds), "longest_collection": max(self.seconds, default=0.0)}


async def measure(runtime: Any, seconds: float, *, freeze: bool) -> dict[str, dict[str, float]]:
    workflows = {graph: build(graph, asynchronous=True) for graph in (SHORT, BLOCKING, SMALL)}
    small = workflows[SMALL]
    checkers = {graph: checker(graph) for graph in workflows}
    # What the first run of all does once in a process (importing libraries) is the cold start's business.
    checkers[SMALL]((await runtime.execute_workflow_async(small, {}))[0])

    async def run(graph: Graph) -> int:
        results, _ = await runtime.execute_workflow_async(workflows[graph], {})
        # Checking 10,000 results takes longer than a beat.
        await asyncio.to_thread(checkers[graph], results)
        return 1

    async def again(graph: Graph) -> int:
        end = time.perf_counter() + seconds
        runs = 0
        while not runs or time.perf_counter() < end:
            runs += await run(graph)
        return runs

    async def both(what: Callable[[Graph], Any]) -> int:
        return sum(await asyncio.gather(what(SHORT), what(BLOCKING)))

    async def observe(work: Any) -> dict[str, float]:
        if freeze:
            gc.collect()
            gc.freeze()
        with Collections() as collections:
            figures = await Observed(runtime, small).during(work)
        return figures | collections.figures()

    first = await observe(both(run))
    later = await observe(both(again))
    return {"first": first, "later": later, "idle": await observe(asyncio.sleep(1, 0))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=("stock", "ours"))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--freeze", action="store_true", help="call gc.freeze() before each phase")
    options = parser.parse_args()
    found = runtime_class(options.variant, "AsyncLocalRuntime")
    logging.getLogger("kailash").setLevel(logging.ERROR)
    runtime = found()
    print(json.dumps(asyncio.run(measure(runtime, options.seconds, freeze=options.freeze))))
    runtime.close()


if __name__ == "__main__":
    main()
