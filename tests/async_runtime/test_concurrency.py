"""Independent nodes overlap whatever their kind; runs of one runtime share its places in turns."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from kailash.nodes.base import Node
from tests.runtime.support import AwaitingNode, CallingNode, Meeting, code_workflow, function_workflow, node_workflow

from nexus_core.runtime import AsyncLocalRuntime

OnLoop = Callable[..., Any]


def test_independent_synchronous_nodes_meet_on_worker_threads(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        for _ in range(3):
            meeting = Meeting(3)
            workflow = function_workflow({name: meeting.of(name) for name in "abc"})
            results, _ = await runtime.execute_workflow_async(workflow, {})
            assert results == {name: {"result": name} for name in "abc"}
            assert all(thread.startswith("nexus-core-worker-") for thread in meeting.threads.values())

    on_loop(body)


def test_awaited_and_synchronous_nodes_meet(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        for _ in range(3):
            here, there = threading.Event(), threading.Event()

            async def awaited(
                node: Node, here: threading.Event = here, there: threading.Event = there, **_: Any
            ) -> str:
                here.set()
                for _ in range(2000):
                    if there.is_set():
                        return threading.current_thread().name
                    await asyncio.sleep(0.005)
                raise TimeoutError("the synchronous node never came")

            def blocking(node: Node, here: threading.Event = here, there: threading.Event = there, **_: Any) -> str:
                there.set()
                assert here.wait(20)
                return threading.current_thread().name

            workflow = node_workflow({"a": AwaitingNode(awaited), "s": CallingNode(blocking)})
            results, _ = await runtime.execute_workflow_async(workflow, {})
            assert results["a"]["result"] == threading.main_thread().name
            assert results["s"]["result"].startswith("nexus-core-worker-")

    on_loop(body)


def test_no_more_nodes_run_at_once_than_the_runtime_has_places_for(on_loop: OnLoop) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def enter() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)

    def leave() -> None:
        nonlocal running
        with lock:
            running -= 1

    async def awaited(node: Node, **_: Any) -> None:
        enter()
        await asyncio.sleep(0.01)
        leave()

    def blocking(node: Node, **_: Any) -> None:
        enter()
        time.sleep(0.01)
        leave()

    async def body(runtime: AsyncLocalRuntime) -> None:
        nodes: dict[str, Node] = {f"a{i}": AwaitingNode(awaited) for i in range(6)}
        nodes.update({f"s{i}": CallingNode(blocking) for i in range(6)})
        workflow = node_workflow(nodes)
        await asyncio.gather(*(runtime.execute_workflow_async(workflow, {}) for _ in range(5)))
        assert most == 3

    on_loop(body, max_concurrent_nodes=3, thread_pool_size=2)


def test_no_more_synchronous_nodes_run_at_once_than_the_runtime_has_threads(on_loop: OnLoop) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def blocking(node: Node, **_: Any) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = node_workflow({f"s{i}": CallingNode(blocking) for i in range(8)})
        await asyncio.gather(*(runtime.execute_workflow_async(workflow, {}) for _ in range(4)))
        assert most == 2

    on_loop(body, thread_pool_size=2)


def test_a_wide_run_delays_a_small_one_by_no_more_than_its_turn(on_loop: OnLoop) -> None:
    order: list[str] = []

    def note(name: str, begun: threading.Event | None = None) -> Callable[..., None]:
        def run(node: Node, **_: Any) -> None:
            if begun is not None:
                begun.set()
            time.sleep(0.005)
            order.append(name)

        return run

    async def body(runtime: AsyncLocalRuntime) -> None:
        begun = threading.Event()
        wide = node_workflow({f"w{i}": CallingNode(note("wide", begun)) for i in range(100)})
        small = node_workflow({"s": CallingNode(note("small"))})
        running = asyncio.ensure_future(runtime.execute_workflow_async(wide, {}))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        await runtime.execute_workflow_async(small, {})
        # What ran already, and one turn of whoever held the two places then.
        assert order.index("small") < 40, order.index("small")
        assert not running.done()
        await running

    on_loop(body, thread_pool_size=2)


def test_one_runtime_serves_loops_on_several_threads() -> None:
    async def several(runtime: AsyncLocalRuntime, workflow: Any) -> list[Any]:
        outcomes = await asyncio.gather(*(runtime.execute_workflow_async(workflow, {"x": i}) for i in range(20)))
        return [results["n"]["result"] for results, _ in outcomes]

    workflow = code_workflow({"n": "import time\ntime.sleep(0.001)\nresult = x"})
    found: list[list[Any]] = []
    with AsyncLocalRuntime(strict=True) as runtime:
        threads = [
            threading.Thread(target=lambda: found.append(asyncio.run(several(runtime, workflow)))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert found == [list(range(20))] * 4


def test_a_node_may_run_a_workflow_on_the_runtime_that_runs_it(on_loop: OnLoop) -> None:
    inner = code_workflow({"n": "result = 7"})

    async def body(runtime: AsyncLocalRuntime) -> None:
        async def awaited(node: Node, **_: Any) -> Any:
            return (await runtime.execute_workflow_async(inner, {}))[0]["n"]["result"]

        def blocking(node: Node, **_: Any) -> Any:
            return asyncio.run(runtime.execute_workflow_async(inner, {}))[0]["n"]["result"]

        for node in (AwaitingNode(awaited), CallingNode(blocking)):
            outer = node_workflow({"outer": node})
            outcomes = await asyncio.gather(*(runtime.execute_workflow_async(outer, {}) for _ in range(4)))
            assert [results["outer"]["result"] for results, _ in outcomes] == [7] * 4

    on_loop(body, max_concurrent_nodes=1, thread_pool_size=1)


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_the_callers_context_variables_reach_every_node_and_stay_the_callers(on_loop: OnLoop) -> None:
    async def awaited(node: Node, **_: Any) -> str:
        seen = variable.get()
        variable.set("changed by an awaited node")
        return seen

    def blocking(node: Node, **_: Any) -> str:
        seen = variable.get()
        variable.set("changed by a synchronous node")
        return seen

    async def body(runtime: AsyncLocalRuntime) -> None:
        variable.set("the caller's")
        mixed = node_workflow({"a": AwaitingNode(awaited), "s": CallingNode(blocking)})
        results, _ = await runtime.execute_workflow_async(mixed, {})
        assert {node["result"] for node in results.values()} == {"the caller's"}
        chain = node_workflow({"s": CallingNode(blocking), "t": CallingNode(blocking)}, [("s", "t")])
        for _ in range(6):  # on a worker first, then on the loop
            results, _ = await runtime.execute_workflow_async(chain, {})
            # As in Kailash: synchronous nodes alone share a context.
            assert [node["result"] for node in results.values()] == ["the caller's", "changed by a synchronous node"]
        assert variable.get() == "the caller's"

    on_loop(body)


def test_run_ids_are_unique_under_concurrency(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"n": "result = 1"})
        outcomes = await asyncio.gather(*(runtime.execute_workflow_async(workflow, {}) for _ in range(500)))
        run_ids = {run_id for _, run_id in outcomes}
        assert len(run_ids) == 500
        assert all(run_id.startswith("run_") for run_id in run_ids)

    on_loop(body)


def test_a_workflow_that_proves_short_comes_to_the_loop_and_one_that_blocks_never_does(on_loop: OnLoop) -> None:
    async def threads(runtime: AsyncLocalRuntime, workflow: Any, runs: int) -> list[str]:
        found = []
        for _ in range(runs):
            await runtime.execute_workflow_async(workflow, {})
            found += [thread for _, thread, _, _ in runtime.last_trace()]
        return found

    async def body(runtime: AsyncLocalRuntime) -> None:
        runtime.enable_trace()
        here = threading.main_thread().name
        short = code_workflow({"n": "result = 1"})
        found = await threads(runtime, short, 200)
        assert found[0] != here
        assert here in found
        blocking = code_workflow({"n": "import time\ntime.sleep(0.03)\nresult = 1"})
        assert here not in await threads(runtime, blocking, 12)
        assert "will be taken for short" in str(runtime.explain(blocking))
        runtime.run_short_on_loop = False
        assert here not in await threads(runtime, short, 1)

    on_loop(body)


def test_nodes_of_the_users_own_classes_never_find_themselves_on_the_loop(on_loop: OnLoop) -> None:
    def note(node: Node, **_: Any) -> str:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return "no loop"
        return "a loop"

    async def body(runtime: AsyncLocalRuntime) -> None:
        own = node_workflow({"n": CallingNode(note)})
        for _ in range(50):
            assert (await runtime.execute_workflow_async(own, {}))[0] == {"n": {"result": "no loop"}}

    on_loop(body)
