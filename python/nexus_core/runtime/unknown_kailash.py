"""The drop-in on a Kailash that the engine cannot be built on: everything is Kailash's own.

Used in the place of the native runtimes when a version outside the tested range has no longer,
or not yet, what those import.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncLocalRuntime
from kailash.runtime.local import LocalRuntime as StockLocalRuntime

from nexus_core._core import _Figures, _TraceRecorder
from nexus_core.metrics.loops import LoopLag
from nexus_core.metrics.model import RuntimeMetrics
from nexus_core.metrics.reading import read_metrics
from nexus_core.runtime.events import RunEvent, RunFailed, RunFinished, RunStarted
from nexus_core.runtime.explain import DelegationError, Explanation
from nexus_core.runtime.run_ids import new_run_id
from nexus_core.runtime.traced_runs import observe_call, observe_delegation
from nexus_core.tracing.recording import MAX_EVENTS, Recording, recorder_of_process
from nexus_core.versions import warn_once

__all__ = ["AsyncLocalRuntime", "LocalRuntime"]

#: Why nothing is native.
REASON = "this version of Kailash is not known"


class LocalRuntime(StockLocalRuntime):
    """Kailash's ``LocalRuntime``, with what the drop-in adds to it.

    Args:
        *args: As for Kailash's.
        strict: Whether a run raises :class:`DelegationError`, since none is native.
        **kwargs: As for Kailash's.
    """

    def __init__(self, *args: Any, strict: bool = False, **kwargs: Any) -> None:
        warn_once()
        super().__init__(*args, **kwargs)
        self._strict = strict
        self._delegated_runs: Counter[str] = Counter()
        self._recorder: _TraceRecorder | None = recorder_of_process()
        self._figures: _Figures | None = _Figures()
        self._counted_since = time.time()
        self._loop_lag: LoopLag | None = None

    def explain(self, workflow: Any) -> Explanation:
        """Says that Kailash runs the workflow.

        Args:
            workflow: Any workflow.

        Returns:
            The explanation.
        """
        return Explanation(False, (REASON,))

    def engine_statistics(self) -> dict[str, Any]:
        """How many runs Kailash had to run.

        Returns:
            ``{"native_runs": 0, "delegated_runs": {reason: int}}``.
        """
        return {"native_runs": 0, "delegated_runs": dict(self._delegated_runs)}

    def metrics(self) -> RuntimeMetrics:
        """What the runtime's runs have come to; of their nodes nothing is known.

        Returns:
            The figures at this moment.
        """
        return read_metrics(self)

    def trace(self, *, max_events: int = MAX_EVENTS) -> Recording:
        """Takes down the runs that begin from now on, without their nodes.

        Args:
            max_events: Runs to keep.

        Returns:
            The recording.
        """
        return Recording(self, max_events)

    def watch_loop_lag(self, enabled: bool = True) -> None:
        """Samples how late the event loops are on which runs begin from now on.

        Args:
            enabled: ``False`` stops it.
        """
        before, self._loop_lag = self._loop_lag, None
        if before is not None:
            before.stop()
        if enabled and self._figures is not None:
            self._loop_lag = LoopLag(self._figures)

    def enable_trace(self, enabled: bool = True) -> None:
        """Does nothing: only native runs are traced.

        Args:
            enabled: Is not looked at.
        """

    def last_trace(self) -> list[tuple[str, str, float, float]]:
        """Nothing: only native runs are traced."""
        return []

    def flush_history(self, timeout: float | None = None) -> bool:
        """Returns at once: Kailash has written everything.

        Args:
            timeout: Is not looked at.

        Returns:
            ``True``.
        """
        return True

    def execute(self, workflow: Any, *args: Any, **kwargs: Any) -> Any:
        """As Kailash's.

        Args:
            workflow: A built workflow.
            *args: As for Kailash's.
            **kwargs: As for Kailash's.

        Returns:
            Results by node id, and the id of the run.
        """
        self._delegate()
        return observe_call(self, workflow, (REASON,), partial(super().execute, workflow, *args, **kwargs))

    def _delegate(self) -> None:
        if self._strict:
            raise DelegationError((REASON,))
        self._delegated_runs[REASON] += 1


class AsyncLocalRuntime(StockAsyncLocalRuntime, LocalRuntime):
    """Kailash's ``AsyncLocalRuntime``, with what the drop-in adds to it.

    Args:
        *args: As for Kailash's.
        strict: Whether a run raises :class:`DelegationError`, since none is native.
        run_short_on_loop: Is not looked at.
        **kwargs: As for Kailash's.
    """

    def __init__(self, *args: Any, strict: bool = False, run_short_on_loop: bool = True, **kwargs: Any) -> None:
        warn_once()
        super().__init__(*args, strict=strict, **kwargs)
        self.run_short_on_loop = run_short_on_loop

    async def execute_workflow_async(self, workflow: Any, *args: Any, **kwargs: Any) -> Any:
        """As Kailash's.

        Args:
            workflow: A built workflow.
            *args: As for Kailash's.
            **kwargs: As for Kailash's.

        Returns:
            Results by node id, and the id of the run.
        """
        self._delegate()
        if self._loop_lag is not None:
            self._loop_lag.watch(asyncio.get_running_loop())
        steps = super().execute_workflow_async(workflow, *args, **kwargs)
        return await observe_delegation(self, workflow, (REASON,), steps)

    async def stream(
        self, workflow: Any, inputs: dict[str, Any] | None = None, *, buffer: int = 256
    ) -> AsyncGenerator[RunEvent, None]:
        """Executes a workflow and yields its start and its end.

        Args:
            workflow: A built workflow.
            inputs: As for ``execute_workflow_async``.
            buffer: Is not looked at.

        Yields:
            :class:`RunStarted`, and then :class:`RunFinished` or :class:`RunFailed`.
        """
        run_id = new_run_id()
        yield RunStarted(run_id, 0.0, ())
        try:
            results, _ = await self.execute_workflow_async(workflow, inputs or {})
        except Exception as error:
            yield RunFailed(run_id, 0.0, error)
        else:
            yield RunFinished(run_id, 0.0, results)
