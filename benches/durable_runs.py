"""What a durable run costs beside a plain one, on Kailash's runtimes and on ours, as a table.

    python benches/durable_runs.py

Nodes do next to nothing, so that what is left is the engine, the checkpoints and the
hooks. Sides take turns; the median of the runs counts.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kailash.middleware.gateway.checkpoint_manager import DiskStorage, MemoryStorage
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsync
from kailash.runtime.local import LocalRuntime as StockLocal
from kailash.workflow.builder import WorkflowBuilder
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

NODES, ROUNDS = 50, 7
SIDES: dict[str, tuple[type[Any], bool]] = {
    "Kailash's `LocalRuntime`": (StockLocal, False),
    "`LocalRuntime`": (LocalRuntime, False),
    "Kailash's `AsyncLocalRuntime`": (StockAsync, True),
    "`AsyncLocalRuntime`": (AsyncLocalRuntime, True),
}


def workflow_of(shape: str) -> Any:
    """A chain, or nodes that do not depend on one another."""
    builder = WorkflowBuilder()
    for place in range(NODES):
        builder.add_node("PythonCodeNode", f"n{place}", {"code": "result = 1"})
        if shape == "chain" and place:
            builder.add_connection(f"n{place - 1}", "result", f"n{place}", "data")
    return builder.build()


def heard(event: object) -> None:
    """A subscriber that does nothing."""


def measured(name: str, shape: str, form: str, folder: Path) -> Callable[[], float]:
    """Runs once on this side, and returns microseconds a node."""
    cls, is_async = SIDES[name]
    options: dict[str, Any] = {} if is_async else {"enable_monitoring": False}
    if form.startswith("checkpoints"):
        store = MemoryStorage() if "memory" in form else DiskStorage(str(folder))
        options.update(checkpoint_store=store, checkpoint_after_each_node=True)
    runtime = cls(**options)
    if form == "a hook":
        runtime.on_node_complete(heard)
    if not is_async:
        runtime.mark_externally_managed()
    workflow = workflow_of(shape)
    loop = asyncio.new_event_loop()
    keys = itertools.count()

    def run() -> float:
        more = {"idempotency_key": f"run {next(keys)} of {name}"} if form.startswith("checkpoints") else {}
        began = time.perf_counter()
        if is_async:
            loop.run_until_complete(runtime.execute_workflow_async(workflow, {}, **more))
        else:
            runtime.execute(workflow, **more)
        return (time.perf_counter() - began) / NODES * 1e6

    return run


def main() -> None:
    """Prints the table."""
    logging.disable(logging.WARNING)
    print(f"| microseconds a node, {NODES} nodes | " + " | ".join(SIDES) + " |")
    print("|---|" + "---|" * len(SIDES))
    with tempfile.TemporaryDirectory() as folder:
        for form, shape in itertools.product(
            ("plain", "a hook", "checkpoints in memory", "checkpoints on disk"), ("chain", "independent")
        ):
            runs = [measured(name, shape, form, Path(folder)) for name in SIDES]
            for run in runs:
                run()
            figures = list(zip(*([run() for run in runs] for _ in range(ROUNDS)), strict=True))
            cells = " | ".join(f"{statistics.median(each):.0f}" for each in figures)
            print(f"| {form}, {shape} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
