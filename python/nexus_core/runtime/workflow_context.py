"""The context that a run's nodes share."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from kailash.runtime.execution_tracker import ExecutionTracker
from kailash.runtime.signals import QueryRegistry, SignalChannel

from nexus_core._core import WorkflowRun

__all__ = ["LazySignals", "LiveTracker"]


def _nothing() -> None:
    pass


class LazySignals(dict[str, Any]):
    """A run's signal channel and query registry, made when somebody asks for one.

    Args:
        loop: Where the run's nodes are awaited; ``None`` if none is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._loop = loop

    def wake(self) -> None:
        """Lets a node that waits for a signal look, if it waits on another thread's loop."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the run has ended, and its loop with it
                self._loop.call_soon_threadsafe(_nothing)

    def __missing__(self, key: str) -> Any:
        if key == "signal_channel":
            made: Any = SignalChannel()
        elif key == "query_registry":
            made = QueryRegistry()
        else:
            raise KeyError(key)
        return self.setdefault(key, made)

    def get(self, key: str, default: Any = None) -> Any:
        """As ``dict.get``, making what is missing."""
        try:
            return self[key]
        except KeyError:
            return default


class LiveTracker(ExecutionTracker):
    """An execution tracker that reads a run's outputs when somebody looks."""

    def __init__(self) -> None:
        super().__init__()
        self._run: WorkflowRun | None = None

    def follow(self, run: WorkflowRun) -> None:
        """Shows the outputs of ``run`` from now on."""
        self._run = run

    def freeze(self) -> None:
        """Takes over what the run has completed and lets go of it."""
        self._catch_up()
        self._run = None

    def _catch_up(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        outputs = run.outputs()
        for node_id in run.completed():
            if node_id not in self._completed_outputs:
                self.record_completion(node_id, outputs[node_id])
        self._run = run

    # Stock's methods read these two attributes.
    @property
    def _completed(self) -> dict[str, Any]:
        self._catch_up()
        return self._completed_outputs

    @_completed.setter
    def _completed(self, value: dict[str, Any]) -> None:
        self._completed_outputs = value
