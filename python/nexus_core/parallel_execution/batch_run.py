"""One execution of many batches, so many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nexus_core.load_testing.latency_histogram import LatencyHistogram
from nexus_core.parallel_execution.measurements import Sample

__all__ = ["BatchRun"]

_log = logging.getLogger("nexus_core.parallel_execution")


class BatchRun:
    """Executes batches on the running event loop.

    Args:
        execute: Executes the workflow once.
        batches: The inputs.
        limit: How many may run at once.
        timeout: Seconds that a batch may take, or ``None``.
        on_batch: Called with the reply for each batch when it ends.
        keep_results: Whether replies have what the workflow returned.
    """

    def __init__(
        self,
        execute: Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]],
        batches: Sequence[Mapping[str, Any]],
        limit: int,
        timeout: float | None,
        on_batch: Callable[[dict[str, Any]], object] | None,
        keep_results: bool,
    ) -> None:
        from nexus_core.cached_runs.outcomes import noted_outcome

        self._noted_outcome = noted_outcome
        self._execute = execute
        self._batches = batches
        self._timeout = timeout
        self._on_batch = on_batch
        self._keep = keep_results
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._ids = [batch.get("batch_id", number) for number, batch in enumerate(batches)]
        self._waiting = iter(enumerate(batches))
        self._workers: list[asyncio.Task[None]] = []
        self._running: dict[int, int] = {}  # the batch's number, and how many ran together at most
        self._replies: dict[int, dict[str, Any]] = {}
        self.samples: list[Sample] = []
        self.latency = LatencyHistogram()
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.answered_by_cache = 0
        self.is_cancelled = False

    async def run(self) -> None:
        """Executes all batches; returns when the last has ended, or the run was cancelled."""
        began, cpu = time.perf_counter(), time.process_time()
        self._workers = [asyncio.ensure_future(self._work()) for _ in range(min(self._limit, len(self._batches)))]
        try:
            if self.is_cancelled:
                self._cancel()
            # Not the error of whoever was cancelled: the caller's own cancellation comes by itself.
            await asyncio.gather(*self._workers, return_exceptions=True)
            for worker in self._workers:
                if not worker.cancelled() and worker.exception() is not None:
                    worker.result()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            self.seconds, self.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu

    def cancel(self) -> None:
        """Ends it, from any thread: what runs is cancelled, what waits never begins."""
        # A loop that is closed runs nothing any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self.is_cancelled = True
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        task = asyncio.current_task()
        for number, batch in self._waiting:
            await self._run_one(number, batch)
            # A node may have kept the cancellation for itself.
            if task is not None and task.cancelling():
                return

    async def _run_one(self, number: int, batch: Mapping[str, Any]) -> None:
        running = self._running
        running[number] = 0
        for each in running:
            running[each] = max(running[each], len(running))
        noted = self._noted_outcome()
        began = time.perf_counter()
        result: dict[str, Any] | None = None
        failure: BaseException | None = None
        try:
            async with asyncio.timeout(self._timeout) as limit:
                result = await self._execute(batch)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._ended(number, self._reply(number, "cancelled", time.perf_counter() - began))
                raise
            failure = cancelled  # the run's own
        except Exception as error:
            failure = error
            if limit.expired():
                failure = TimeoutError(f"no result within {self._timeout:g} s")
        finally:
            together = running.pop(number)
            seconds = time.perf_counter() - began
        if failure is None:
            outcome = self._noted_outcome()
            # The caller's task may have an outcome of its own from before.
            if outcome is not None and outcome is not noted and outcome[0] in ("hit", "waited"):
                self.answered_by_cache += 1
            else:
                self.samples.append(Sample(seconds, together))
            self.latency.record(seconds)
            reply = self._reply(number, "completed", seconds, result=result if self._keep else None)
        else:
            kind = f"{type(failure).__module__}.{type(failure).__qualname__}".removeprefix("builtins.")
            reply = self._reply(number, "failed", seconds, kind, str(failure) or repr(failure))
        self._ended(number, reply)
        # Even a workflow that never waits lets the others have their turn.
        await asyncio.sleep(0)

    def _ended(self, number: int, reply: dict[str, Any]) -> None:
        self._replies[number] = reply
        if self._on_batch is not None:
            try:
                self._on_batch(reply)
            except Exception:
                _log.exception("on_batch failed, and is not called again")
                self._on_batch = None

    def _reply(
        self,
        number: int,
        status: str,
        seconds: float,
        error_type: str | None = None,
        error: str | None = None,
        result: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        return {
            "batch_id": self._ids[number],
            "status": status,
            "seconds": seconds,
            "error_type": error_type,
            "error": error,
            "result": result,
        }

    def replies(self) -> list[dict[str, Any]]:
        """For each batch, in the order in which they were given, what became of it."""
        return [
            self._replies.get(number) or self._reply(number, "cancelled", 0.0) for number in range(len(self._batches))
        ]
