"""What the modules of this folder share: a guide's flow is to give real figures, which something else observes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

from nexus_core._app_workflows import WorkflowExecutor

__all__ = ["Observed", "run", "until"]

_names = itertools.count()


class Observed:
    """A workflow's function that sleeps for a known time, may fail, and notes each call with the clock's own times."""

    def __init__(self, seconds: float = 0.0, fails: Callable[[int], bool] = lambda number: False) -> None:
        self.seconds = seconds
        self._fails = fails
        self._numbers = itertools.count()
        self.calls: list[tuple[float, float]] = []

    def workflow(self) -> Any:
        def call() -> dict[str, int]:
            number = next(self._numbers)
            began = time.perf_counter()
            time.sleep(self.seconds)
            self.calls.append((began, time.perf_counter()))
            if self._fails(number):
                raise ValueError(f"call {number} was to fail")
            return {"number": number}

        from kailash.nodes.code.python import PythonCodeNode
        from kailash.workflow.graph import Workflow

        # Figures go by the workflow's own name: each has one.
        name = f"observed-{next(_names)}"
        built = Workflow(name, name)
        built.add_node("node", PythonCodeNode.from_function(call, name="node"))
        return built

    def most_at_once(self) -> int:
        """How many calls were under way at the same time, at most."""
        edges = sorted([(began, 1) for began, _ in self.calls] + [(ended, -1) for _, ended in self.calls])
        return max(itertools.accumulate(change for _, change in edges), default=0)


def run(app: Any, name: str, times: int = 1, **inputs: Any) -> float:
    """Executes a workflow as the app would, failures included; the seconds that it took, by a clock of its own."""

    async def runs() -> None:
        async with WorkflowExecutor(app, name) as execute:
            for _ in range(times):
                try:
                    await execute(inputs)
                except Exception as error:
                    assert "was to fail" in str(error), error

    began = time.perf_counter()
    asyncio.run(runs())
    return time.perf_counter() - began


def until(holds: Callable[[], object]) -> None:
    """Waits for something that another thread does."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.005)
