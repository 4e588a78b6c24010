"""Exhausted memory, loops that are closed too early, slow clean-ups, runs that would keep the loop for themselves."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node
from tests.runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow, run_python

from nexus_core.runtime import AsyncLocalRuntime

OnLoop = Callable[..., Any]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit needs Linux's /proc")
def test_a_node_that_fills_the_memory_bit_by_bit_fails_in_kailashs_words_and_the_runtime_goes_on(
    tmp_path: Path,
) -> None:
    done = run_python(
        """
        import asyncio
        from nexus_core.runtime import AsyncLocalRuntime

        filling = code_workflow({"n": "kept = []\\nwhile True:\\n    kept.append([len(kept)])"})
        ordinary = code_workflow({"n": "result = 1"})

        async def main():
            async with AsyncLocalRuntime(strict=True) as runtime:
                for _ in range(2):
                    try:
                        await runtime.execute_workflow_async(filling, {})
                    except Exception as error:
                        assert "Memory limit exceeded: code execution requested more than 536870912" in str(error)
                    else:
                        raise SystemExit("it was not refused")
                    assert (await runtime.execute_workflow_async(ordinary, {}))[0] == {"n": {"result": 1}}
                print("ended")

        asyncio.run(main())
        """,
        tmp_path,
    )
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["ended"], 0), done.stdout + done.stderr


def test_short_runs_in_a_row_let_others_have_the_loop(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"n": "result = 1"})
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        for _ in range(100):
            await runtime.execute_workflow_async(workflow, {})
        other = asyncio.ensure_future(count())
        await asyncio.sleep(0)
        before = turns
        for _ in range(3000):
            await runtime.execute_workflow_async(workflow, {})
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert turns - before >= 3

    on_loop(body)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_with_a_run_under_way_takes_no_place_with_it() -> None:
    async def awaited(node: Node, **_: Any) -> None:
        await asyncio.sleep(60)

    def leave_a_run(runtime: AsyncLocalRuntime) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        left = loop.create_task(runtime.execute_workflow_async(node_workflow({"a": AwaitingNode(awaited)}), {}))
        loop.run_until_complete(asyncio.sleep(0.02))
        loop.close()
        del left

    with AsyncLocalRuntime(strict=True, max_concurrent_nodes=2) as runtime:
        for _ in range(3):
            leave_a_run(runtime)
            for _ in range(3):
                gc.collect()
        assert runtime._places.occupancy() == (0, 0)
        results, _ = asyncio.run(runtime.execute_workflow_async(code_workflow({"n": "result = 1"}), {}))
        assert results == {"n": {"result": 1}}


def test_a_node_that_cleans_up_for_long_holds_a_cancelled_run_for_no_longer_than_the_grace(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        began, let_go = asyncio.Event(), asyncio.Event()

        async def awaited(node: Node, **_: Any) -> None:
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                await let_go.wait()

        run = asyncio.ensure_future(runtime.execute_workflow_async(node_workflow({"a": AwaitingNode(awaited)}), {}))
        await began.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not let_go.is_set()
        let_go.set()
        while runtime._places.occupancy() != (0, 0):
            await asyncio.sleep(0.001)
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0.001)

    on_loop(body)


def test_a_run_that_blocks_and_fails_is_known_to_block(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        code = "import time\nif x:\n    time.sleep(0.05)\n    raise ValueError('late')\nresult = 1"
        workflow = code_workflow({"n": code})
        for _ in range(20):
            await runtime.execute_workflow_async(workflow, {"x": 0})
        with pytest.raises(Exception, match="late"):
            await runtime.execute_workflow_async(workflow, {"x": 1})
        assert "will be taken for short" in str(runtime.explain(workflow))

    on_loop(body)


def test_inputs_are_taken_as_they_are_when_the_run_begins(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"n": "result = x"})
        for _ in range(100):
            await runtime.execute_workflow_async(workflow, {"x": 0})

        def hold(node: Node, **_: Any) -> None:
            time.sleep(0.05)

        holding = asyncio.ensure_future(runtime.execute_workflow_async(node_workflow({"h": CallingNode(hold)}), {}))
        await asyncio.sleep(0.01)
        inputs = {"x": 1}
        waiting = asyncio.ensure_future(runtime.execute_workflow_async(workflow, inputs))
        await asyncio.sleep(0)
        inputs["x"] = 2
        assert (await waiting)[0] == {"n": {"result": 1}}
        await holding

    on_loop(body, max_concurrent_nodes=1, thread_pool_size=1)


def test_a_short_run_that_lets_others_go_first_has_taken_its_inputs(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"n": "result = x"})
        for _ in range(20):
            await runtime.execute_workflow_async(workflow, {"x": 0})
        assert "it has proved to be short" in str(runtime.explain(workflow))
        # As if short runs had kept the loop for long.
        runtime._short_way.on_loop = 1.0
        inputs = {"x": 1}
        waiting = asyncio.ensure_future(runtime.execute_workflow_async(workflow, inputs))
        await asyncio.sleep(0)
        inputs["x"] = 2
        assert (await waiting)[0] == {"n": {"result": 1}}

    on_loop(body)


def test_a_run_whose_workflow_is_read_on_a_thread_has_taken_its_inputs(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({f"n{i}": "result = x" for i in range(150)})
        inputs = {"x": 1}
        waiting = asyncio.ensure_future(runtime.execute_workflow_async(workflow, inputs))
        await asyncio.sleep(0)
        inputs["x"] = 2
        results, _ = await waiting
        assert set(map(str, results.values())) == {"{'result': 1}"}

    on_loop(body)
