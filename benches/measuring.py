"""What it costs to measure: runs with metrics beside runs without, and traced ones beside both."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session import Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterable[str]]

HEAD = ("runtime, workload", "µs a run, unmeasured", "metrics ÷ unmeasured", "traced ÷ unmeasured")

#: Seconds of one block: short, so that what disturbs the machine disturbs neighbours alike.
BLOCK = 0.003

#: Blocks of each kind between two garbage collections.
BLOCKS = 40


@dataclass(frozen=True)
class Case:
    """One runtime on a chain of short code nodes."""

    key: str
    title: str
    nodes: int
    is_async: bool
    ours: bool = True


CASES = {
    case.key: case
    for case in (
        Case("local_1", "LocalRuntime, one node", 1, False),
        Case("local_1000", "LocalRuntime, chain of 1,000", 1_000, False),
        Case("async_1", "AsyncLocalRuntime, one node, on the loop", 1, True),
        Case("async_20", "AsyncLocalRuntime, chain of 20", 20, True),
    )
}


@contextlib.contextmanager
def opened(case: Case) -> Iterator[tuple[Any, Callable[[int], None]]]:
    """The runtime, and a function that runs the workflow so many times."""
    from kailash.workflow.builder import WorkflowBuilder
    from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

    builder = WorkflowBuilder()
    for place in range(case.nodes):
        builder.add_node("PythonCodeNode", f"n{place}", {"code": "result = 1"})
        if place:
            builder.add_connection(f"n{place - 1}", "result", f"n{place}", "x")
    workflow = builder.build()
    if not case.is_async:
        with LocalRuntime(enable_monitoring=False) as runtime:

            def run(times: int) -> None:
                for _ in range(times):
                    runtime.execute(workflow)

            yield runtime, run
        return
    loop = asyncio.new_event_loop()
    served = AsyncLocalRuntime()

    async def execute(times: int) -> None:
        for _ in range(times):
            await served.execute_workflow_async(workflow, {})

    try:
        yield served, lambda times: loop.run_until_complete(execute(times))
        loop.run_until_complete(served.cleanup())
    finally:
        served.close()
        loop.close()


def compare(runtime: Any, run: Callable[[int], None], seconds: float) -> dict[str, float]:
    """Blocks of each kind in turns, for so long; compared are those that were disturbed least: the tenth fastest of a
    hundred."""
    figures = runtime._figures
    run(30)
    began = time.perf_counter()
    run(10)
    times = max(1, int(BLOCK / ((time.perf_counter() - began) / 10)))

    def block(kind: str) -> float:
        # The private switch: nothing is counted.
        runtime._figures = None if kind == "unmeasured" else figures
        recording = runtime.trace() if kind == "traced" else contextlib.nullcontext()
        with recording:
            # The next run looks at everything anew, as the runtime has changed.
            run(3)
            started = time.perf_counter()
            run(times)
            return (time.perf_counter() - started) / times

    # Each comes as often after each of the others, and none after itself.
    orders = itertools.cycle([("unmeasured", "metrics", "traced"), ("metrics", "unmeasured", "traced")])
    found: dict[str, list[float]] = {kind: [] for kind in ("unmeasured", "metrics", "traced")}
    until = time.perf_counter() + seconds
    gc.disable()
    try:
        while time.perf_counter() < until:
            for _ in range(BLOCKS):
                for kind in next(orders):
                    found[kind].append(block(kind))
            gc.collect()
    finally:
        gc.enable()
        runtime._figures = figures
    least = {kind: statistics.quantiles(blocks, n=10)[0] for kind, blocks in found.items()}
    return {
        "unmeasured": least["unmeasured"],
        "metrics_ratio": least["metrics"] / least["unmeasured"],
        "traced_ratio": least["traced"] / least["unmeasured"],
    }


def rows(session: Session) -> Iterator[Row]:
    from budgets import number
    from service.figures import Cell

    for key, case in CASES.items():
        cell = Cell("measuring", "short_nodes", key)
        plain = session.figures.median(cell, "unmeasured")
        if plain is None:
            continue
        ratios = [session.figures.median(cell, name) or 0.0 for name in ("metrics_ratio", "traced_ratio")]
        yield (case.title, number(plain * 1e6), f"{ratios[0]:.3f}", number(ratios[1]))


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    if found := list(rows(session)):
        yield f"metrics and traces\n{table(HEAD, found)}"


def markdown(session: Session, table: Table) -> Iterator[str]:
    if not (found := list(rows(session))):
        return
    yield from ("## Metrics and traces", "")
    yield (
        "Code nodes that do nothing, run history off. Metrics are always on; the runs without are made with a private "
        "switch. Short blocks of the three kinds take turns, and each ratio compares the tenth fastest of a hundred. A traced "
        "run leaves the short way on the event loop, hence its ratio for one node there."
    )
    yield ""
    yield from table(HEAD, found)
    yield ""
