"""How late an event loop was, and that watching it changes nothing about it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import weakref
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from nexus_core.metrics.loops import INTERVAL
from nexus_core.runtime import AsyncLocalRuntime
from runtime.support import code_workflow, run_python

BLOCKED = 0.5


def test_a_loop_that_is_kept_is_late() -> None:
    async def main() -> Any:
        async with AsyncLocalRuntime() as runtime:
            runtime.watch_loop_lag()
            await asyncio.sleep(0)
            time.sleep(INTERVAL + BLOCKED)
            await asyncio.sleep(0.01)
            return runtime.metrics().loop_lag

    lag = asyncio.run(main())
    assert lag.count == 1
    assert lag.max >= BLOCKED * 0.9


def test_off_unless_asked_for() -> None:
    async def main() -> Any:
        async with AsyncLocalRuntime() as runtime:
            await runtime.execute_workflow_async(code_workflow({"a": "result = 1"}), {})
            await asyncio.sleep(2 * INTERVAL)
            return runtime.metrics().loop_lag

    assert asyncio.run(main()).count == 0


def test_loops_are_watched_from_their_first_run_on() -> None:
    runtime = AsyncLocalRuntime()
    runtime.watch_loop_lag()
    workflow = code_workflow({"a": "result = 1"})

    async def main() -> None:
        await runtime.execute_workflow_async(workflow, {})
        deadline = time.monotonic() + 20
        before = runtime.metrics().loop_lag.count
        while runtime.metrics().loop_lag.count == before and time.monotonic() < deadline:
            await asyncio.sleep(INTERVAL)
        assert runtime.metrics().loop_lag.count > before

    asyncio.run(main())
    runtime.close()


def test_it_can_be_stopped() -> None:
    async def main() -> tuple[int, int]:
        async with AsyncLocalRuntime() as runtime:
            runtime.watch_loop_lag()
            runtime.watch_loop_lag()
            await asyncio.sleep(1.5 * INTERVAL)
            runtime.watch_loop_lag(False)
            before = runtime.metrics().loop_lag.count
            await asyncio.sleep(2 * INTERVAL)
            return before, runtime.metrics().loop_lag.count

    before, after = asyncio.run(main())
    assert before == after == 1


def test_a_loop_is_neither_kept_alive_nor_running() -> None:
    runtime = AsyncLocalRuntime()
    runtime.watch_loop_lag()

    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        await runtime.execute_workflow_async(code_workflow({"a": "result = 1"}), {})
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(main())
    gc.collect()
    assert loop() is None
    runtime.close()


def test_a_runtime_that_is_no_more_is_not_kept() -> None:
    async def main() -> None:
        runtime = AsyncLocalRuntime()
        runtime.watch_loop_lag()
        await runtime.execute_workflow_async(code_workflow({"a": "result = 1"}), {})
        await runtime.cleanup()
        runtime.close()
        lag = weakref.ref(runtime._loop_lag)
        del runtime
        gc.collect()
        assert lag() is None
        await asyncio.sleep(1.5 * INTERVAL)

    asyncio.run(main())


def test_an_idle_process_hardly_wakes_up(tmp_path: Path) -> None:
    done = run_python(
        """
        import asyncio, json, resource
        from nexus_core.runtime import AsyncLocalRuntime

        async def main():
            async with AsyncLocalRuntime() as runtime:
                runtime.watch_loop_lag()
                await asyncio.sleep(1.0)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
                await asyncio.sleep(4.0)
                after = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
                print(json.dumps([after - before, runtime.metrics().loop_lag.count]))
        asyncio.run(main())
        """,
        tmp_path,
        prelude="",
    )
    assert done.returncode == 0, done.stderr
    switches, samples = json.loads(done.stdout)
    assert samples <= 25
    # Five times a second, and once for the end of the sleep.
    assert switches <= 4 * 10 + 1


def test_what_a_run_knows_is_not_kept_by_watching() -> None:
    class Session:
        """Something that a request has of its own."""

    session: ContextVar[Session] = ContextVar("session")

    async def handle(runtime: AsyncLocalRuntime) -> weakref.ref[Session]:
        own = Session()
        session.set(own)
        runtime.watch_loop_lag()
        return weakref.ref(own)

    async def main() -> None:
        async with AsyncLocalRuntime() as runtime:
            own = await asyncio.create_task(handle(runtime))
            await asyncio.sleep(0)
            gc.collect()
            assert own() is None

    asyncio.run(main())
