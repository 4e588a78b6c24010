"""What a runtime tells of its runs."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from nexus_core._core import _Figures, _TraceRecorder
from nexus_core.metrics.loops import LoopLag
from nexus_core.metrics.model import RuntimeMetrics
from nexus_core.metrics.reading import read_metrics
from nexus_core.tracing.recording import MAX_EVENTS, Recording, recorder_of_process

__all__ = ["Measured"]


class _Counts:
    """Kept apart from the runtime, whose attributes say how it runs workflows."""

    __slots__ = ("native_runs",)

    def __init__(self) -> None:
        self.native_runs = 0


class Measured:
    """A runtime whose runs are counted, and traced where somebody asks for it."""

    _cached_runs: Any

    def _measure(self) -> None:
        """Begins to count."""
        self._counts = _Counts()
        self._delegated_runs: Counter[str] = Counter()
        self._tracing = False
        self._recorder: _TraceRecorder | None = recorder_of_process()
        #: ``None`` counts nothing, which only a benchmark is to ask for.
        self._figures: _Figures | None = _Figures()
        self._counted_since = time.time()
        self._loop_lag: LoopLag | None = None
        self._last_trace: list[tuple[str, str, float, float]] = []

    def engine_statistics(self) -> dict[str, Any]:
        """How many runs were native, and why others were delegated.

        Returns:
            ``{"native_runs": int, "delegated_runs": {reason: int}}``, and with a cache its
            statistics under ``"cache"``.
        """
        statistics: dict[str, Any] = {
            "native_runs": self._counts.native_runs,
            "delegated_runs": dict(self._delegated_runs),
        }
        if self._cached_runs is not None:
            statistics["cache"] = self._cached_runs.cache.statistics()
        return statistics

    def metrics(self) -> RuntimeMetrics:
        """What the runtime's runs have come to, and what the process uses.

        Returns:
            The figures at this moment; they are always counted.

        Example:
            >>> from kailash.workflow.builder import WorkflowBuilder
            >>> from nexus_core.runtime import LocalRuntime
            >>> builder = WorkflowBuilder()
            >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
            >>> workflow = builder.build(name="sums")
            >>> with LocalRuntime(enable_monitoring=False) as runtime:
            ...     _ = runtime.execute(workflow)
            ...     metrics = runtime.metrics()
            >>> metrics.workflows["sums"].nodes["one"].executions
            1
        """
        return read_metrics(self)

    def trace(self, *, max_events: int = MAX_EVENTS) -> Recording:
        """Takes down every node of the runs that begin from now on.

        Args:
            max_events: Executions of nodes to keep, some 50 bytes each; what comes later is
                dropped and counted.

        Returns:
            The recording: ``stop()`` it, or use it in a ``with`` statement.

        Raises:
            ValueError: If `max_events` is less than one.
            RuntimeError: If the runtime is being traced already.

        Example:
            >>> from kailash.workflow.builder import WorkflowBuilder
            >>> from nexus_core.runtime import LocalRuntime
            >>> builder = WorkflowBuilder()
            >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
            >>> with LocalRuntime(enable_monitoring=False) as runtime:
            ...     with runtime.trace() as trace:
            ...         _ = runtime.execute(builder.build())
            >>> len(trace)
            1
        """
        return Recording(self, max_events)

    def enable_trace(self, enabled: bool = True) -> None:
        """Keeps when and on which thread each node of the following runs ran.

        Args:
            enabled: ``False`` stops it.
        """
        self._tracing = enabled

    def last_trace(self) -> list[tuple[str, str, float, float]]:
        """The last traced run: ``(node_id, thread, start, end)``, seconds from its start."""
        return list(self._last_trace)
