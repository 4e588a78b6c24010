"""Short runs on the loop's own thread are one native call, for as long as nobody needs more."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from kailash.runtime import AsyncLocalRuntime as Stock
from kailash.workflow.credentials import get_credential_store
from tests.runtime.support import CallingNode, code_workflow, node_workflow

from nexus_core._core import new_run_id
from nexus_core.runtime import AsyncLocalRuntime

OnLoop = Callable[..., Any]

# Since then an interpreter does not tell that an object's attributes have changed.
short_ways_exist = pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no short way on this Python")


async def proved_short(runtime: AsyncLocalRuntime, workflow: Any, inputs: dict[str, Any]) -> int:
    """Runs a workflow until it takes the short way; returns how many runs have taken it."""
    # On a busy machine short runs are not seen to be short at once.
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        before = runtime._short_way.runs
        await runtime.execute_workflow_async(workflow, inputs)
        if runtime._short_way.runs > before:
            return runtime._short_way.runs
    raise AssertionError("it never took the short way")


def nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """Until the end of a test: a Nexus app of an earlier one has made the root logger listen."""
    for logger in ("", "kailash"):
        caplog.set_level(logging.WARNING, logger)


@short_ways_exist
def test_a_run_that_took_it_is_as_any_other(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = x + 1", "b": "result = a['result'] * 2"}, [("a", "b")])
        taken = await proved_short(runtime, workflow, {"x": 1})
        results, run_id = await runtime.execute_workflow_async(workflow, {"x": 20})
        assert runtime._short_way.runs == taken + 1
        assert results == {"a": {"result": 21}, "b": {"result": 42}}
        assert list(results) == ["a", "b"]
        assert re.fullmatch(r"run_\d+_[0-9a-f]+", run_id)

    on_loop(body)


@short_ways_exist
def test_a_logger_that_begins_to_listen_is_told(on_loop: OnLoop, quiet: None, caplog: pytest.LogCaptureFixture) -> None:
    nobody_listens(caplog)

    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = 1"})
        taken = await proved_short(runtime, workflow, {})
        with caplog.at_level(logging.INFO, "kailash.nodes"), caplog.at_level(logging.INFO, "kailash.runtime"):
            await runtime.execute_workflow_async(workflow, {})
        assert runtime._short_way.runs == taken
        assert any("Executing node" in record.message for record in caplog.records)
        await runtime.execute_workflow_async(workflow, {})
        assert runtime._short_way.runs == taken + 1

    on_loop(body)


@short_ways_exist
def test_a_logger_that_begins_to_listen_while_another_is_asked_is_told(
    on_loop: OnLoop, quiet: None, caplog: pytest.LogCaptureFixture
) -> None:
    nobody_listens(caplog)
    first, second = logging.getLogger("kailash.runtime.async_local"), logging.getLogger("kailash.nodes")

    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = 1"})
        taken = await proved_short(runtime, workflow, {})
        questions: list[int] = []

        def asked(level: int) -> bool:
            # As another thread may do it meanwhile.
            if not questions:
                first.setLevel(logging.INFO)
            questions.append(level)
            return False

        before = first.level
        vars(second)["isEnabledFor"] = asked
        try:
            await runtime.execute_workflow_async(workflow, {})
            await runtime.execute_workflow_async(workflow, {})
        finally:
            del vars(second)["isEnabledFor"]
            first.setLevel(before)
        assert questions
        assert runtime._short_way.runs == taken

    on_loop(body)


@short_ways_exist
def test_credentials_that_are_kept_are_cleared_at_its_end(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = 1"})
        taken = await proved_short(runtime, workflow, {})
        store = get_credential_store()
        store._store["cred"] = {"token": "secret"}
        await runtime.execute_workflow_async(workflow, {})
        assert runtime._short_way.runs == taken + 1
        assert store._store == {}

    on_loop(body)


@short_ways_exist
def test_whoever_asks_to_be_told_of_nodes_is_told(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = 1"})
        taken = await proved_short(runtime, workflow, {})
        told: list[str] = []
        runtime.on_node_complete(lambda event: told.append(event.node_id))
        await runtime.execute_workflow_async(workflow, {})
        assert (told, runtime._short_way.runs) == (["a"], taken)

    on_loop(body)


@short_ways_exist
def test_an_attribute_that_is_set_closes_it_until_it_is_looked_at(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = 1"})
        taken = await proved_short(runtime, workflow, {})
        runtime.run_short_on_loop = False
        for _ in range(3):
            await runtime.execute_workflow_async(workflow, {})
        assert runtime._short_way.runs == taken
        runtime.run_short_on_loop = True
        await runtime.execute_workflow_async(workflow, {})
        await runtime.execute_workflow_async(workflow, {})
        assert runtime._short_way.runs == taken + 1

    on_loop(body)


@short_ways_exist
def test_a_workflow_that_is_changed_is_read_again(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "result = 1"})
        await proved_short(runtime, workflow, {})
        workflow._node_instances["a"].code = "result = 2"
        results, _ = await runtime.execute_workflow_async(workflow, {})
        assert results == {"a": {"result": 2}}

    on_loop(body)


@short_ways_exist
def test_what_a_node_raises_is_raised_as_by_stock(on_loop: OnLoop, quiet: None) -> None:
    workflow = code_workflow({"a": "if x:\n    raise ValueError('no')\nresult = 1"})

    async def stock_error() -> BaseException:
        async with Stock() as runtime:
            with pytest.raises(Exception, match="no") as caught:
                await runtime.execute_workflow_async(workflow, {"x": 1})
            return caught.value

    expected = asyncio.run(stock_error())

    async def body(runtime: AsyncLocalRuntime) -> None:
        taken = await proved_short(runtime, workflow, {"x": 0})
        with pytest.raises(type(expected)) as caught:
            await runtime.execute_workflow_async(workflow, {"x": 1})
        assert runtime._short_way.runs == taken + 1
        assert str(caught.value) == str(expected)
        assert type(caught.value.__cause__) is type(expected.__cause__)

    on_loop(body)


@short_ways_exist
def test_nothing_outlives_a_run_whose_host_was_needed(on_loop: OnLoop, quiet: None) -> None:
    class Kept:
        pass

    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "if x is not None:\n    raise ValueError('no')\nresult = 1"})
        await proved_short(runtime, workflow, {"x": None})
        kept = Kept()
        died = weakref.ref(kept)
        with pytest.raises(Exception, match="no"):
            await runtime.execute_workflow_async(workflow, {"x": kept})
        del kept
        gc.collect()
        assert died() is None

    on_loop(body)


@short_ways_exist
def test_what_turns_out_long_is_left_to_workers(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        first = "import time\nif x:\n    time.sleep(0.05)\nresult = 1"
        workflow = code_workflow({"a": first, "b": "result = a['result'] + 1"}, [("a", "b")])
        taken = await proved_short(runtime, workflow, {"x": 0})
        results, run_id = await runtime.execute_workflow_async(workflow, {"x": 1})
        assert runtime._short_way.runs == taken + 1
        assert results == {"a": {"result": 1}, "b": {"result": 2}}
        assert run_id.startswith("run_")
        assert runtime.engine_statistics()["delegated_runs"] == {}
        await runtime.execute_workflow_async(workflow, {"x": 0})
        assert runtime._short_way.runs == taken + 1

    on_loop(body)


@short_ways_exist
def test_a_run_inside_a_node_takes_no_second_place(on_loop: OnLoop, quiet: None) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        inner = code_workflow({"a": "result = 1"})
        await proved_short(runtime, inner, {})

        def nested(node: Any, **_: Any) -> Any:
            return asyncio.run(runtime.execute_workflow_async(inner, {}))[0]

        outer = node_workflow({"o": CallingNode(nested)})
        results, _ = await runtime.execute_workflow_async(outer, {})
        assert results["o"]["result"]["a"] == {"result": 1}

    on_loop(body, max_concurrent_nodes=1, thread_pool_size=1)


def test_ids_of_runs_are_unique_in_forked_children_too() -> None:
    ids = {new_run_id() for _ in range(1000)}
    assert len(ids) == 1000
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_run_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    own, others = new_run_id(), os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert own.split("_")[2][:6] != others.split("_")[2][:6]
