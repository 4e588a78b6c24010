"""Nodes in worker processes: a fan that computes, what a hop costs, and how often a large array is copied."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session import Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterable[str]]

HEAD = ("what", "here", "in processes", "ratio")

#: Python code that holds the interpreter for about so many milliseconds.
WORK = "total = 0\nfor number in range({loops}):\n    total += number * number % 7\nresult = total"

ARRAY_BYTES = 100_000_000


@dataclass(frozen=True)
class Case:
    """One thing to measure."""

    key: str
    title: str
    measure: Callable[[Any, bool], dict[str, float]]


def _fan(pool: Any, quick: bool) -> dict[str, float]:
    """Eight nodes that compute, one after the other and in two processes, in turns."""
    from kailash.workflow.builder import WorkflowBuilder
    from nexus_core.runtime import LocalRuntime

    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "start", {"code": "result = 1"})
    for place in range(8):
        builder.add_node("PythonCodeNode", f"n{place}", {"code": WORK.format(loops=600_000)})
        builder.add_connection("start", "result", f"n{place}", "x")
    workflow = builder.build()
    with (
        LocalRuntime(enable_monitoring=False, max_concurrency=1) as one,
        LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as both,
    ):
        expected, _ = one.execute(workflow)
        assert both.execute(workflow)[0] == expected
        rounds = [
            (_seconds(lambda: one.execute(workflow)), _seconds(lambda: both.execute(workflow)))
            for _ in range(5 if quick else 12)
        ]
    here, there = min(here for here, _ in rounds), min(there for _, there in rounds)
    return {"here": here, "there": there, "ratio": here / there}


def _hop(pool: Any, quick: bool) -> dict[str, float]:
    """A chain of nodes that do next to nothing: what each costs more in another process, in seconds."""
    from kailash.workflow.builder import WorkflowBuilder
    from nexus_core.runtime import LocalRuntime

    length = 200
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "n0", {"code": "result = 1"})
    for place in range(1, length):
        builder.add_node("PythonCodeNode", f"n{place}", {"code": "result = x + 1"})
        builder.add_connection(f"n{place - 1}", "result", f"n{place}", "x")
    workflow = builder.build()
    with (
        LocalRuntime(enable_monitoring=False) as here,
        LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as there,
    ):
        for runtime in (here, there, there):
            runtime.execute(workflow)
        rounds = [
            (_seconds(lambda: here.execute(workflow)), _seconds(lambda: there.execute(workflow)))
            for _ in range(10 if quick else 40)
        ]
    plain, apart = (sorted(times)[len(times) // 10] / length for times in zip(*rounds, strict=True))
    return {"here": plain, "there": apart, "hop": apart - plain}


def _array(pool: Any, quick: bool) -> dict[str, float]:
    """An array of 100 MB to a function that sums it up: copies that were made of it, and the time."""
    import numpy as np

    array = np.ones(ARRAY_BYTES // 8)
    pool.submit(_sum, array[:10]).result()
    plain, apart, copies = [], [], []
    for _ in range(2 if quick else 5):
        before = pool.statistics().bytes_copied
        plain.append(_seconds(lambda: _sum(array)))
        apart.append(_seconds(lambda: pool.submit(_sum, array).result()))
        copies.append((pool.statistics().bytes_copied - before) / array.nbytes)
    return {"here": min(plain), "there": min(apart), "copies": max(copies)}


def _sum(array: Any) -> float:
    # Written to, so that the worker's own copy of a page would show as a second one.
    array[0] += 0.0
    return float(array.sum())


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


CASES = {
    case.key: case
    for case in (
        Case("fan_8", "8 nodes that compute, one after the other ÷ 2 processes", _fan),
        Case("hop", "a node that does nothing", _hop),
        Case("array", "an array of 100 MB, summed", _array),
    )
}


def rows(session: Session) -> Iterator[Row]:
    from budgets import number
    from service.figures import Cell

    for key, case in CASES.items():
        cell = Cell("processes", "nodes", key)
        here, there = (session.figures.median(cell, name) for name in ("here", "there"))
        if here is None or there is None:
            continue
        last = {"fan_8": ("ratio", "×", 1.0), "hop": ("hop", " µs a hop", 1e6), "array": ("copies", " copies", 1.0)}[
            key
        ]
        value = (session.figures.median(cell, last[0]) or 0.0) * last[2]
        unit = 1e6 if key == "hop" else 1e3
        yield (
            case.title,
            f"{number(here * unit)} {'µs' if key == 'hop' else 'ms'}",
            f"{number(there * unit)} {'µs' if key == 'hop' else 'ms'}",
            f"{number(value)}{last[1]}",
        )


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    if found := list(rows(session)):
        yield f"processes\n{table(HEAD, found)}"


def markdown(session: Session, table: Table) -> Iterator[str]:
    if not (found := list(rows(session))):
        return
    yield from ("## Processes", "")
    yield (
        "Two warm workers. The fan's nodes are Python code that holds the interpreter; its turns alternate, and the "
        "fastest of each kind are compared. A hop is what a node of a chain costs more in a worker than here: inputs "
        "there, output back, two switches of context. Copies are counted in bytes that were written for the array."
    )
    yield ""
    yield from table(HEAD, found)
    yield ""
