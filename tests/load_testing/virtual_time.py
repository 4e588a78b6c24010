"""An event loop whose clock moves only while everybody sleeps, and servers of known service times."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from nexus_core.load_testing import ClosedLoop, OpenLoop
from nexus_core.load_testing.generator import Limits, LoadGenerator
from nexus_core.load_testing.targets import Answer

_T = TypeVar("_T")


class _Jumping(selectors.DefaultSelector):
    """Never waits: says how long it was to wait."""

    waited: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for something that nobody does"
        if timeout > 0:
            self.waited(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An hour passes in no time, and every time is exact."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Jumping()
        selector.waited = self.advance
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Time passes while the loop can do nothing else."""
        self.now += seconds


def run_virtually(make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(make())


class Server:
    """A target that serves one request after the other, or all at once.

    Args:
        service_time: Seconds of the next request's service.
        queue: Whether one waits for the other.
    """

    apart = True

    def __init__(self, service_time: Callable[[int], float], queue: bool = True) -> None:
        self._service_time = service_time
        self._queue = queue
        self._free_at = 0.0
        self.executed: list[Mapping[str, Any]] = []
        self.arrivals: list[float] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def execute(self, inputs: Mapping[str, Any]) -> Answer:
        loop = asyncio.get_running_loop()
        number = len(self.executed)
        self.executed.append(inputs)
        self.arrivals.append(loop.time())
        begin = max(loop.time(), self._free_at) if self._queue else loop.time()
        self._free_at = begin + self._service_time(number)
        await asyncio.sleep(self._free_at - loop.time())
        return Answer()


def exponential(mean: float, seed: int = 7) -> Callable[[int], float]:
    source = random.Random(seed)
    return lambda number: source.expovariate(1 / mean)


def constant(seconds: float) -> Callable[[int], float]:
    return lambda number: seconds


def generate(
    target: Any,
    shape: ClosedLoop | OpenLoop,
    *,
    duration: float | None = None,
    requests: int | None = None,
    warmup: float = 0.0,
    timeout: float = 1e6,
    inputs: Callable[[int], Mapping[str, Any]] = lambda number: {},
    stop_after: float | None = None,
) -> tuple[LoadGenerator, str]:
    """Runs a load test in virtual time."""

    async def test() -> tuple[LoadGenerator, str]:
        stop = asyncio.Event()
        if stop_after is not None:
            asyncio.get_running_loop().call_later(stop_after, stop.set)
        generator = LoadGenerator(target, shape, inputs, Limits(warmup, duration, requests, timeout), stop)
        return generator, await generator.run()

    return run_virtually(test)
