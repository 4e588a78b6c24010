"""Workflows of real apps under load: every request is a run, and the figures are the runs'."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest

from apps import code_workflow, function_workflow
from nexus_core.load_testing import ClosedLoop, LoadProgress, LoadTest, OpenLoop, run_load_test, run_load_test_async

_SLEEP = "import time\ntime.sleep(0.02)\nresult = 1"


@pytest.fixture(params=["attached", "stock"])
def any_app(request: pytest.FixtureRequest, make_app: Callable[[], Any]) -> Any:
    made = make_app()
    if request.param == "attached":
        import nexus_core

        nexus_core.attach(made)
    return made


class Counter:
    """A workflow's function that counts its calls, from any thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.calls = 0
        self.seen: list[Any] = []

    def workflow(self) -> Any:
        def count(x: int = 0) -> int:
            self.calls = next(self._numbers)
            self.seen.append(x)
            return x

        return function_workflow(count)


@pytest.mark.parametrize("shape", [ClosedLoop(3), OpenLoop(200.0, "poisson")])
def test_every_request_is_a_run(any_app: Any, shape: ClosedLoop | OpenLoop) -> None:
    counter = Counter()
    any_app.register("counting", counter.workflow())
    result = run_load_test(any_app, "counting", shape, requests=25, duration=None, inputs={"x": 7})
    assert (result.requests, result.succeeded, result.failed, result.stopped_by) == (25, 25, 0, "requests")
    assert counter.calls == 25 + result.warmup_requests
    assert set(counter.seen) == {7}
    assert (result.workflow_name, result.target, result.error_rate) == ("counting", "in process", 0.0)


def test_a_duration_and_the_warm_up_are_kept_apart(app: Any) -> None:
    counter = Counter()
    app.register("counting", counter.workflow())
    result = run_load_test(app, "counting", ClosedLoop(2, think_time=0.01), duration=0.4, warmup=0.2)
    assert result.stopped_by == "duration"
    assert result.seconds >= 0.4
    assert result.warmup_requests > 0
    assert counter.calls == result.requests + result.warmup_requests
    assert result.throughput == pytest.approx(result.succeeded / result.seconds)
    assert sum(each.succeeded for each in result.timeline) == result.succeeded


def test_a_node_that_sleeps_shows_it(any_app: Any) -> None:
    any_app.register("sleeping", code_workflow(_SLEEP))
    result = run_load_test(any_app, "sleeping", ClosedLoop(2), requests=10)
    assert result.succeeded == 10
    assert 0.02 <= result.latency.min <= result.latency.p50 <= result.latency.p99 <= result.latency.max
    assert result.throughput <= 2 / 0.02


def test_a_workflow_that_always_fails(any_app: Any) -> None:
    any_app.register("failing", code_workflow("result = 1 / 0"))
    result = run_load_test(any_app, "failing", ClosedLoop(2), requests=8)
    assert (result.succeeded, result.failed, result.error_rate, result.throughput) == (0, 8, 100.0, 0.0)
    (group,) = result.errors
    assert group.type == "kailash.sdk_exceptions.WorkflowExecutionError"
    assert group.count == 8
    assert "division by zero" in group.example
    assert result.latency.count == 0
    assert result.error_latency.count == 8


def test_one_in_four_fails(app: Any) -> None:
    app.register("sometimes", code_workflow("result = 1 / (number % 4)"))
    result = run_load_test(app, "sometimes", ClosedLoop(1), requests=40, inputs=lambda number: {"number": number})
    assert (result.failed, result.error_rate) == (10, 25.0)


def test_a_sequence_of_inputs_goes_round(app: Any) -> None:
    counter = Counter()
    app.register("counting", counter.workflow())
    run_load_test(app, "counting", ClosedLoop(1), requests=7, inputs=[{"x": 1}, {"x": 2}, {"x": 3}])
    assert counter.seen == [1, 2, 3, 1, 2, 3, 1]


def test_a_run_that_takes_too_long_is_cancelled(app: Any) -> None:
    app.register(
        "endless", code_workflow("import asyncio\nawait asyncio.sleep(600)\nresult = 1", "AsyncPythonCodeNode")
    )
    result = run_load_test(app, "endless", ClosedLoop(2), requests=2, timeout=0.05)
    assert [(group.type, group.count) for group in result.errors] == [("TimeoutError", 2)]


def test_it_can_be_stopped_from_another_thread(app: Any) -> None:
    begun = threading.Event()
    app.register(
        "endless", code_workflow("import asyncio\nawait asyncio.sleep(600)\nresult = 1", "AsyncPythonCodeNode")
    )
    test = LoadTest(app, "endless", ClosedLoop(3), duration=600, progress=lambda _: begun.set(), progress_interval=0.01)
    stopper = threading.Thread(target=lambda: (begun.wait(60), test.stop()))
    stopper.start()
    result = test.run()
    stopper.join()
    assert (result.stopped_by, result.requests, result.unfinished) == ("interrupt", 3, 3)


def test_from_a_coroutine_its_loop_goes_on(app: Any) -> None:
    app.register("quick", code_workflow())
    ticks = 0

    async def main() -> Any:
        nonlocal ticks
        test = asyncio.ensure_future(run_load_test_async(app, "quick", ClosedLoop(1, 0.001), requests=50))
        while not test.done():
            ticks += 1
            await asyncio.sleep(0.001)
        return await test

    assert asyncio.run(main()).succeeded == 50
    assert ticks > 1


def test_a_coroutine_that_is_cancelled_ends_the_test(app: Any) -> None:
    counter = Counter()
    app.register("counting", counter.workflow())

    async def main() -> None:
        test = asyncio.ensure_future(run_load_test_async(app, "counting", ClosedLoop(1, 0.001), duration=600))
        while not counter.calls:
            await asyncio.sleep(0.001)
        test.cancel()
        with pytest.raises(asyncio.CancelledError):
            await test

    asyncio.run(main())
    calls = counter.calls
    assert calls
    assert not [thread for thread in threading.enumerate() if thread.name == "nexus-core load test"]


def test_progress_is_told(app: Any) -> None:
    app.register("quick", code_workflow())
    told: list[LoadProgress] = []
    result = run_load_test(
        app, "quick", ClosedLoop(1, 0.01), duration=1.0, warmup=1.0, progress=told.append, progress_interval=0.01
    )
    assert told[0].seconds < 0 < told[-1].seconds
    assert 0 < told[-1].succeeded <= result.succeeded
    assert "done" in str(told[-1])
    assert str(told[0]).startswith("warm-up")


def test_a_progress_callback_that_raises_is_logged_once(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    app.register("quick", code_workflow())
    calls: list[object] = []
    later: list[int] = []

    def fail(progress: LoadProgress) -> None:
        calls.append(progress)
        raise ValueError("of the caller")

    def inputs(number: int) -> dict[str, Any]:
        if calls:
            later.append(number)
        if len(later) > 20:  # it would have been called again
            test.stop()
        return {}

    test = LoadTest(
        app, "quick", ClosedLoop(1, 0.01), duration=600, inputs=inputs, progress=fail, progress_interval=0.01
    )
    with caplog.at_level(logging.ERROR, "nexus_core.load_testing"):
        test.run()
    assert len(calls) == 1
    assert [record.message for record in caplog.records if record.name == "nexus_core.load_testing"] == [
        "the progress callback failed, and is not called again"
    ]


def test_a_terminal_line_goes_to_stderr(app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    app.register("quick", code_workflow())
    run_load_test(app, "quick", ClosedLoop(1, 0.01), duration=1.0, progress=True, progress_interval=0.01)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("quick: ")


def test_the_result_is_json_and_text(app: Any) -> None:
    import json

    app.register("failing", code_workflow("result = 1 / x"))
    result = run_load_test(app, "failing", ClosedLoop(1), requests=4, inputs=lambda number: {"x": number % 2})
    found = json.loads(json.dumps(result.as_dict()))
    assert found["errors"][0]["count"] == 2
    assert found["latency"]["count"] == 2
    assert "4 requests" in str(result)
    assert "division by zero" in str(result)


_INTERRUPTED = """
    import logging, os, signal, sys, threading
    logging.disable(logging.CRITICAL)
    import nexus, nexus_core
    from kailash.workflow.builder import WorkflowBuilder
    from nexus_core.load_testing import ClosedLoop, run_load_test

    app = nexus.Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": "result = 1"})
    app.register("quick", builder)
    nexus_core.attach(app)

    def interrupt(progress):
        if progress.succeeded:
            os.kill(os.getpid(), signal.SIGINT)

    result = run_load_test(app, "quick", ClosedLoop(2, 0.01), duration=600, progress=interrupt, progress_interval=0.05)
    assert result.stopped_by == "interrupt", result
    assert result.succeeded > 0
    assert result.seconds < 600
    app.close()
    print("results so far")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_gives_the_results_so_far() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_INTERRUPTED)],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "results so far\n"), done.stderr


def test_what_a_cache_answers_is_no_run_and_said(make_app: Callable[[], Any]) -> None:
    import nexus_core
    from nexus_core._app_workflows import attached_runtime

    app = make_app()
    cached = code_workflow("result = x")
    cached.metadata["cacheable"] = True
    app.register("cached", cached)
    app.register("plain", code_workflow("result = x"))
    nexus_core.attach(app, cache=True)
    result = run_load_test(app, "cached", ClosedLoop(1), requests=20, inputs=lambda number: {"x": number % 4})
    assert (result.succeeded, result.from_cache) == (20, 16)
    assert attached_runtime(app).engine_statistics()["cache"]["runs"]["hits"] == 16
    assert "a cache answered 16 of 20: those are no runs" in str(result)
    assert result.as_dict()["from_cache"] == 16
    assert run_load_test(app, "plain", ClosedLoop(2), requests=20, inputs={"x": 1}).from_cache == 0


_SHARED = """
    import logging, os, subprocess, sys
    logging.disable(logging.CRITICAL)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import nexus, nexus_core
    from kailash.workflow.builder import WorkflowBuilder
    from nexus_core.load_testing import ClosedLoop, run_load_test

    app = nexus.Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": "result = sum(i * i for i in range(3000))"})
    app.register("computing", builder)
    nexus_core.attach(app)
    # Has the same processor, and no other, for its own.
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        result = run_load_test(app, "computing", ClosedLoop(1), duration=2.0)
    finally:
        other.kill()
        other.wait()
    app.close()
    print(result.generator.cpu_wait_share)
"""


@pytest.mark.skipif(not os.path.exists("/proc/thread-self/schedstat"), reason="needs Linux with scheduler statistics")
def test_time_without_a_processor_is_told() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_SHARED)],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 0.05 < float(done.stdout) < 1.2
