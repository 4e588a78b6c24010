"""``run_load_test``: a load test from its arguments to its result."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nexus_core._app_workflows import checked_app, registered_workflow
from nexus_core._checks import checked_seconds, checked_whole
from nexus_core.errors import LoadTestError
from nexus_core.load_testing.generator import Limits, LoadGenerator
from nexus_core.load_testing.load_shapes import ClosedLoop, LoadShape, OpenLoop
from nexus_core.load_testing.precise_loop import precise_loop
from nexus_core.load_testing.progress_teller import ProgressTeller
from nexus_core.load_testing.result import LoadProgress, LoadTestResult, StoppedBy
from nexus_core.load_testing.targets import HttpTarget, InProcessTarget, Target
from nexus_core.load_testing.terminal_progress import TerminalProgress

__all__ = ["LoadTest", "run_load_test", "run_load_test_async"]

Inputs = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Callable[[int], Mapping[str, Any]] | None
Progress = Callable[[LoadProgress], object] | bool | None


def run_load_test(
    app: Any,
    workflow_name: str,
    load: LoadShape | None = None,
    *,
    inputs: Inputs = None,
    duration: float | None = 60.0,
    requests: int | None = None,
    warmup: float = 0.0,
    timeout: float = 60.0,
    url: str | None = None,
    allow_remote: bool = False,
    headers: Mapping[str, str] | None = None,
    progress: Progress = None,
    progress_interval: float = 1.0,
) -> LoadTestResult:
    """Executes a workflow under load and returns what was measured.

    In process it runs on the app's attached runtime, or as the app's own executions do where it is
    not attached. The generator has a thread and an event loop of its own. Ctrl-C ends the test with
    the results so far.

    Args:
        app: An open ``nexus.Nexus``; may be ``None`` with a URL.
        workflow_name: The name that the workflow is registered under.
        load: :class:`ClosedLoop` or :class:`OpenLoop`; 10 users by default.
        inputs: The workflow's inputs: the same for all requests, a sequence to go round in, or a
            function of the request's number. What the function raises ends the test.
        duration: Seconds to measure; ``None`` for as long as ``requests`` take.
        requests: Requests to measure, if they are done before the time is up.
        warmup: Seconds under the same load before, which are not in the figures.
        timeout: Seconds after which a request counts as failed.
        url: Where the app is served, ``http://127.0.0.1:8000``, for a test over HTTP.
        allow_remote: Whether the URL may be another machine's.
        headers: For every request over HTTP.
        progress: Called with a :class:`LoadProgress`, on a thread of its own; ``True`` for a line in the terminal.
        progress_interval: Seconds between two calls.

    Returns:
        The figures.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is out of range, or the URL another machine's.
        UnknownWorkflow: If there is no such workflow.
        LoadTestError: If the server cannot be reached, or the test is stopped before it began.
        NexusCoreError: If the app is closed, or what the test needs is not installed.

    Example:
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> from nexus import Nexus
        >>> import nexus_core
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "double", {"code": "result = 2 * x"})
        >>> with Nexus(enable_durability=False) as app:
        ...     app.register("double", builder)
        ...     report = nexus_core.attach(app)
        ...     result = run_load_test(app, "double", ClosedLoop(users=2), inputs={"x": 21}, requests=100)
        >>> result.succeeded, result.failed, result.stopped_by
        (100, 0, 'requests')
    """
    test = LoadTest(
        app, workflow_name, load, inputs=inputs, duration=duration, requests=requests, warmup=warmup, timeout=timeout,
        url=url, allow_remote=allow_remote, headers=headers, progress=progress, progress_interval=progress_interval,
    )  # fmt: skip
    return test.run()


async def run_load_test_async(
    app: Any, workflow_name: str, load: LoadShape | None = None, **options: Any
) -> LoadTestResult:
    """As :func:`run_load_test`, for a coroutine: its event loop goes on meanwhile.

    The generator has a thread of its own here, too. Where the coroutine is cancelled, the test ends.

    Args:
        app: As for :func:`run_load_test`.
        workflow_name: As for :func:`run_load_test`.
        load: As for :func:`run_load_test`.
        **options: As for :func:`run_load_test`.

    Returns:
        The figures.
    """
    test = LoadTest(app, workflow_name, load, **options)
    running = asyncio.ensure_future(asyncio.to_thread(test.run_here))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        test.stop()
        await asyncio.wait([running])
        raise


class LoadTest:
    """A load test that can be stopped from another thread; for its arguments see :func:`run_load_test`."""

    def __init__(
        self,
        app: Any,
        workflow_name: str,
        load: LoadShape | None = None,
        *,
        inputs: Inputs = None,
        duration: float | None = 60.0,
        requests: int | None = None,
        warmup: float = 0.0,
        timeout: float = 60.0,
        url: str | None = None,
        allow_remote: bool = False,
        headers: Mapping[str, str] | None = None,
        progress: Progress = None,
        progress_interval: float = 1.0,
    ) -> None:
        self._load = ClosedLoop() if load is None else load
        if not isinstance(self._load, (ClosedLoop, OpenLoop)):
            raise TypeError(f"load must be a ClosedLoop or an OpenLoop, got {load!r}")
        if duration is None and requests is None:
            raise ValueError("a test without an end: give a duration, requests, or both")
        self._limits = Limits(
            checked_seconds("warmup", warmup, zero=True),
            None if duration is None else checked_seconds("duration", duration),
            None if requests is None else checked_whole("requests", requests, 1),
            checked_seconds("timeout", timeout),
        )
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise TypeError(f"progress must be a function, True or None, got {progress!r}")
        self._progress: Callable[[LoadProgress], object] | None = None
        self._terminal: TerminalProgress | None = None
        self._interval = checked_seconds("progress_interval", progress_interval)
        self._name = workflow_name
        if app is not None or url is None:
            checked_app(app, "a load test")
            registered_workflow(app, workflow_name)
        elif not isinstance(workflow_name, str):
            raise TypeError(f"a workflow's name must be a string, got {workflow_name!r}")
        self._target: Target
        if url is None:
            self._target, self._where = InProcessTarget(app, workflow_name), "in process"
        else:
            self._target = HttpTarget(url, workflow_name, self._limits.timeout, allow_remote, headers)
            self._where = url
        self._inputs = _inputs_by_number(inputs, self._target.prepared)
        if progress is True:
            self._progress = self._terminal = TerminalProgress(workflow_name)
        elif callable(progress):
            self._progress = progress
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._is_stopped = False
        self._state = threading.Lock()

    def stop(self) -> None:
        """Ends the test with the results so far; from any thread."""
        with self._state:
            self._is_stopped = True
            loop, stop = self._loop, self._stop
            if loop is not None and stop is not None:
                loop.call_soon_threadsafe(stop.set)

    def run(self) -> LoadTestResult:
        """Runs the test on a thread of its own, and stops it at Ctrl-C.

        Returns:
            The figures.
        """
        outcome: list[LoadTestResult | BaseException] = []
        # Not thread.join(): interrupted, it takes a running thread for one that has ended.
        ended = threading.Event()

        def work() -> None:
            try:
                outcome.append(self.run_here())
            except BaseException as error:
                outcome.append(error)
            finally:
                ended.set()

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,), name="nexus-core load test", daemon=True)
        thread.start()
        try:
            _wait(ended)
        except KeyboardInterrupt:
            self.stop()
            _wait(ended)  # a second one gets out
        thread.join(1)
        (found,) = outcome
        if isinstance(found, BaseException):
            raise found
        return found

    def run_here(self) -> LoadTestResult:
        """Runs the test on the calling thread, which has no event loop running.

        Returns:
            The figures.
        """
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            return runner.run(self.on_running_loop())

    async def on_running_loop(self) -> LoadTestResult:
        """Runs the test on the running event loop, and by its clock.

        Returns:
            The figures.
        """
        stop = asyncio.Event()
        with self._state:
            self._loop, self._stop = asyncio.get_running_loop(), stop
            if self._is_stopped:
                stop.set()
        try:
            await self._open(stop)
            try:
                return await self._measure(stop)
            finally:
                await self._target.close()
        finally:
            with self._state:
                self._loop = self._stop = None
            if self._terminal is not None:
                self._terminal.close()

    async def _open(self, stop: asyncio.Event) -> None:
        """Opens the target, which a server that says nothing may make wait."""
        opening, stopped = asyncio.ensure_future(self._target.open()), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([opening, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_open = opening.done()
            for task in (opening, stopped):
                task.cancel()
            await asyncio.gather(opening, stopped, return_exceptions=True)
        if not is_open:
            raise LoadTestError("the load test was stopped before it began")
        opening.result()

    async def _measure(self, stop: asyncio.Event) -> LoadTestResult:
        started_at, cpu = time.time() + self._limits.warmup, time.process_time()
        waited = _waited_for_a_processor()
        time_now = asyncio.get_running_loop().time
        begin = time_now()
        generator = LoadGenerator(self._target, self._load, self._inputs, self._limits, stop)
        teller: ProgressTeller | None = None
        if self._progress is not None:
            recorder, duration = generator.recorder, self._limits.duration
            teller = ProgressTeller(self._progress, lambda: recorder.progress(time_now(), duration), self._interval)
        try:
            stopped_by = await generator.run()
        finally:
            now = time_now()
            if teller is not None:
                teller.stop()
        took = max(now - begin, 1e-9)
        shares = ((time.process_time() - cpu) / took, (_waited_for_a_processor() - waited) / took)
        return self._result(generator, started_at, now, shares, stopped_by)

    def _result(
        self,
        generator: LoadGenerator,
        started_at: float,
        now: float,
        cpu_shares: tuple[float, float],
        stopped_by: StoppedBy,
    ) -> LoadTestResult:
        recorder = generator.recorder
        seconds = recorder.seconds()
        if stopped_by == "interrupt":
            seconds = max(0.0, now - recorder.measure_from)
        elif self._limits.duration is not None and stopped_by == "duration":
            seconds = max(seconds, self._limits.duration)
        succeeded, failed = recorder.latency.count, recorder.failed
        return LoadTestResult(
            workflow_name=self._name,
            target=self._where,
            load=self._load.describe(),
            started_at=started_at,
            seconds=seconds,
            warmup_seconds=self._limits.warmup,
            warmup_requests=recorder.warmup_requests,
            requests=recorder.started,
            succeeded=succeeded,
            failed=failed,
            unfinished=recorder.unfinished,
            from_cache=recorder.from_cache,
            throughput=succeeded / seconds if seconds > 0 else 0.0,
            error_rate=100.0 * failed / (succeeded + failed) if failed else 0.0,
            latency=recorder.latency.summary(),
            error_latency=recorder.error_latency.summary(),
            errors=recorder.errors(),
            timeline=recorder.timeline(seconds),
            generator=recorder.generator_report(self._load, cpu_shares[0], self._target.apart, cpu_shares[1]),
            stopped_by=stopped_by,
        )


def _waited_for_a_processor() -> float:
    """Seconds that this thread was ready and did not run; 0 where the system does not tell."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as told:
            return int(told.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _wait(ended: threading.Event) -> None:
    # In short waits: one without an end would keep Ctrl-C waiting on some systems.
    while not ended.wait(0.1):
        pass


def _inputs_by_number(inputs: Any, prepared: Callable[[Mapping[str, Any]], Any]) -> Callable[[int], Any]:
    """What the request of a number is given; made once where it can be."""
    if callable(inputs) and not isinstance(inputs, Mapping):

        def made(number: int) -> Any:
            found = inputs(number)
            if not isinstance(found, Mapping):
                raise TypeError(f"inputs({number}) must return a mapping, got {found!r}")
            return prepared(found)

        return made
    if inputs is None:
        inputs = [{}]
    elif isinstance(inputs, Mapping):
        inputs = [dict(inputs)]
    if not isinstance(inputs, Sequence) or isinstance(inputs, (str, bytes)):
        raise TypeError(f"inputs must be a mapping, a sequence of mappings or a function, got {inputs!r}")
    if not inputs:
        raise ValueError("inputs are an empty sequence; give at least one mapping")
    for number, each in enumerate(inputs):
        if not isinstance(each, Mapping):
            raise TypeError(f"inputs[{number}] must be a mapping, got {each!r}")
    given = [prepared(each) for each in inputs]
    return lambda number: given[number % len(given)]
