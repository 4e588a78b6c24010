"""A trace while it is taken."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from nexus_core._core import _TraceRecorder

if TYPE_CHECKING:
    from nexus_core.tracing.analysis import Analysis
    from nexus_core.tracing.model import Trace

__all__ = ["MAX_EVENTS", "ProcessRecording", "Recording", "recorder_of_process"]

#: Events that a trace keeps if nothing else is asked for: about 50 MB.
MAX_EVENTS = 1_000_000

_TYPE_CODES = {"run": "I", "node": "I", "thread": "I", "error": "I", "status": "B"}

_one_at_a_time = threading.Lock()

# What runtimes record to that are made while a whole process is traced.
_of_process: _TraceRecorder | None = None


def recorder_of_process() -> _TraceRecorder | None:
    """What a runtime that is made now records to, unless its own `trace()` is called."""
    return _of_process


class Recording:
    """Takes down every node of a runtime's runs until it is stopped.

    `runtime.trace()` makes it. Runs count that begin after it and have ended before it is
    stopped; of others, what happened in between. It keeps a bounded number of events: what
    comes later is dropped and counted. Let go of, it stops.

    Args:
        runtime: The runtime.
        max_events: Events to keep; a run, and each node and edge of a workflow, counts as one, too.

    Raises:
        ValueError: If `max_events` is less than one.
        RuntimeError: If the runtime is being traced already.
    """

    def __init__(self, runtime: Any, max_events: int = MAX_EVENTS) -> None:
        if isinstance(max_events, bool) or not isinstance(max_events, int):
            raise ValueError(f"max_events is {max_events!r}, and must be a whole number")
        recorder = _TraceRecorder(max_events)
        with _one_at_a_time:
            self._before = runtime._recorder if runtime._recorder is _of_process else None
            if runtime._recorder is not self._before:
                raise RuntimeError("the runtime is being traced already; stop() that trace first")
            runtime._recorder = recorder
        self._recorder = recorder
        self._runtime = runtime
        self._trace: Trace | None = None

    def stop(self) -> Trace:
        """Stops taking down.

        Returns:
            The trace. Stopped again, it is the same.
        """
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            self._recorder.stop()
            with _one_at_a_time:
                if runtime._recorder is self._recorder:
                    runtime._recorder = self._before
        if self._trace is None:
            self._trace = self._read()
        return self._trace

    @property
    def trace(self) -> Trace:
        """What has been taken down until now."""
        return self._read() if self._trace is None else self._trace

    @property
    def is_running(self) -> bool:
        """Whether it has not been stopped."""
        return self._runtime is not None

    @property
    def dropped(self) -> int:
        """Executions of nodes that were not kept because the trace was full."""
        return self._recorder.dropped

    def __len__(self) -> int:
        return len(self._recorder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        runtime = getattr(self, "_runtime", None)
        if runtime is not None:
            self._recorder.stop()
            if runtime._recorder is self._recorder:
                runtime._recorder = self._before

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<Recording of {len(self):,} node events, {state}>"

    # --- as the trace itself ------------------------------------------------------------

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes what has been taken down; see `Trace.write`.

        Args:
            path: ``.json``, ``.json.gz`` or ``.html``.

        Returns:
            The path.
        """
        return self.trace.write(path)

    def gantt(
        self,
        width: int = 80,
        *,
        run: int | None = None,
        by: Literal["node", "thread"] = "node",
        max_rows: int = 40,
    ) -> str:
        """Draws it as text; see `Trace.gantt`.

        Args:
            width: Columns that no line goes beyond.
            run: Only this run, by its position; by default all of them.
            by: A row for each execution of a node, or for each thread.
            max_rows: Rows beyond this number are only counted.

        Returns:
            Lines without a newline at the end.
        """
        return self.trace.gantt(width, run=run, by=by, max_rows=max_rows)

    def analyze(self, threads: Sequence[int] = (), faster: Mapping[str, float] | None = None) -> Analysis:
        """Says what bounds the makespan; see `Trace.analyze`.

        Args:
            threads: Numbers of threads to answer for.
            faster: How many times as fast to take a node, by id.

        Returns:
            The analysis.
        """
        return self.trace.analyze(threads, faster)

    def _read(self) -> Trace:
        return _read(self._recorder)


class ProcessRecording:
    """Takes down the runs of every runtime that is made while it runs, unless its own `trace()` is called.

    Args:
        max_events: As of `Recording`.

    Raises:
        ValueError: If `max_events` is less than one.
        RuntimeError: If the process is being traced already.
    """

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        global _of_process
        recorder = _TraceRecorder(max_events)
        with _one_at_a_time:
            if _of_process is not None:
                raise RuntimeError("the process is being traced already; stop() that trace first")
            _of_process = recorder
        self._recorder = recorder

    def stop(self) -> Trace:
        """Stops taking down.

        Returns:
            The trace.
        """
        global _of_process
        self._recorder.stop()
        with _one_at_a_time:
            if _of_process is self._recorder:
                _of_process = None
        return _read(self._recorder)


def _read(recorder: _TraceRecorder) -> Trace:
    from nexus_core.tracing.events import EventColumns
    from nexus_core.tracing.model import RunTrace, Trace

    # Events first: runs and threads that come meanwhile are no harm.
    columns: dict[str, array[Any]] = {}
    for name, content in recorder.columns().items():
        column = columns[name] = array(_TYPE_CODES.get(name, "d"))
        column.frombytes(content)
    errors = recorder.errors()
    runs, workflows = recorder.runs()
    now = recorder.elapsed
    traced = []
    for workflow, run_id, began, ended, status, _ in runs:
        name, nodes, edges, note = workflows[workflow]
        traced.append(RunTrace(name, run_id or "", began, now if ended is None else ended, status, nodes, edges, note))
    events = EventColumns.from_columns(errors=errors, **columns)
    return Trace(recorder.threads(), traced, events, dropped=recorder.dropped, began=recorder.began)
