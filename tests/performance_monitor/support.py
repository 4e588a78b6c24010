"""Runs of an app's workflows, and a clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from nexus_core._app_workflows import WorkflowExecutor

__all__ = ["Clock", "run", "until"]


class Clock:
    """Tells the time that a test has set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def run(app: Any, name: str, times: int = 1, **inputs: Any) -> list[BaseException | None]:
    """Executes a workflow as the app would; what each run raised."""

    async def runs() -> list[BaseException | None]:
        raised: list[BaseException | None] = []
        async with WorkflowExecutor(app, name) as execute:
            for _ in range(times):
                try:
                    await execute(inputs)
                except Exception as error:
                    raised.append(error)
                else:
                    raised.append(None)
        return raised

    return asyncio.run(runs())


def until(holds: Callable[[], object]) -> None:
    """Waits for something that another thread does."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.005)
