"""Sends the requests of a load test at the times that its shape asks for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nexus_core.load_testing.load_shapes import ClosedLoop, LoadShape, OpenLoop
from nexus_core.load_testing.recorder import Recorder
from nexus_core.load_testing.result import StoppedBy
from nexus_core.load_testing.targets import Answer, Target

__all__ = ["Limits", "LoadGenerator"]

# How long after the end a generator that fell behind may send what was to begin before it.
_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a test goes on; one of both bounds at least.

    Attributes:
        warmup: Seconds before the measurement.
        duration: Seconds of the measurement, or ``None``.
        requests: Requests of the measurement, or ``None``.
        timeout: Seconds that a request may take.
    """

    warmup: float
    duration: float | None
    requests: int | None
    timeout: float


class LoadGenerator:
    """One test, on the event loop that runs it and by that loop's clock.

    Args:
        target: What is executed, open.
        shape: When requests begin.
        inputs: What the target has prepared of the inputs of the request of that number.
        limits: When it ends.
        stop: Ends it early.
    """

    def __init__(
        self,
        target: Target,
        shape: LoadShape,
        inputs: Callable[[int], Any],
        limits: Limits,
        stop: asyncio.Event,
    ) -> None:
        self._target = target
        self._shape = shape
        self._inputs = inputs
        self._limits = limits
        self._stop = stop
        self._time = asyncio.get_running_loop().time
        self._begin = self._time()
        self._number = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._answered = asyncio.Event()
        self.recorder = Recorder(self._begin + limits.warmup)
        self.end = self.recorder.measure_from + (math.inf if limits.duration is None else limits.duration)

    async def run(self) -> StoppedBy:
        """Sends all requests and waits for their replies.

        Returns:
            What ended it.
        """
        shape = self._shape
        if isinstance(shape, ClosedLoop):
            work = [asyncio.ensure_future(self._user(shape, number)) for number in range(shape.users)]
        else:
            work = [asyncio.ensure_future(self._dispatch(shape))]
        stopped = asyncio.ensure_future(self._stop.wait())
        all_work = asyncio.gather(*work)
        try:
            both: list[asyncio.Future[Any]] = [all_work, stopped]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not all_work.done():
                return "interrupt"
            all_work.result()
        finally:
            leftover = [*work, *self._in_flight, stopped]
            for task in leftover:
                task.cancel()
            await asyncio.gather(all_work, *leftover, return_exceptions=True)
        return "requests" if self._has_begun_all() else "duration"

    def _has_begun_all(self) -> bool:
        return self._limits.requests is not None and self.recorder.started >= self._limits.requests

    def _next_inputs(self) -> Any:
        number = self._number
        self._number += 1
        return self._inputs(number)

    async def _user(self, shape: ClosedLoop, number: int) -> None:
        for think_time in shape.think_times(number):
            now = self._time()
            if now >= self.end or self._has_begun_all():
                return
            inputs = self._next_inputs()
            self.recorder.schedule(now)
            await self._request(now, inputs)
            # Even a workflow that never waits lets the others have their turn.
            await asyncio.sleep(think_time)

    async def _dispatch(self, shape: OpenLoop) -> None:
        for offset in shape.offsets():
            intended = self._begin + offset
            if intended >= self.end or self._has_begun_all():
                break
            await asyncio.sleep(max(0.0, intended - self._time()))
            if len(self._in_flight) >= shape.max_in_flight:
                self.recorder.held_back += intended >= self.recorder.measure_from
                self._answered.clear()
                await self._answered.wait()
            if self._time() > self.end + _GRACE:
                left = round((self.end - intended) * shape.rate)
                if self._limits.requests is not None:
                    left = min(left, self._limits.requests - self.recorder.started)
                self.recorder.not_sent = left
                break
            inputs = self._next_inputs()
            # Counted here: the task has not begun when the next one is looked at.
            self.recorder.schedule(intended)
            task = asyncio.ensure_future(self._request(intended, inputs))
            self._in_flight.add(task)
            task.add_done_callback(self._ended)
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._answered.set()

    async def _request(self, intended: float, inputs: Any) -> None:
        recorder = self.recorder
        recorder.begin(intended, self._time())
        failure: BaseException | None = None
        answer: Answer | None = None
        given_up = False
        try:
            async with asyncio.timeout(self._limits.timeout) as limit:
                answer = await self._target.execute(inputs)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            failure = cancelled  # the run's own
        except Exception as error:
            failure = error
            given_up = limit.expired()
            if given_up:
                failure = TimeoutError(f"no reply within {self._limits.timeout:g} s")
        when = self._time() if answer is None or answer.when is None else answer.when
        recorder.end(intended, when, failure, given_up=given_up, from_cache=answer is not None and answer.from_cache)
