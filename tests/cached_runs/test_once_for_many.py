"""What is asked for by many at once runs once, whoever fails, leaves or is limited."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kailash.runtime.cancellation import CancellationToken
from kailash.sdk_exceptions import SoftTimeLimitExceeded, WorkflowExecutionError
from kailash.workflow.builder import WorkflowBuilder

from nexus_core import CachePolicy, ResultCache, last_cache_outcome
from nexus_core.cached_runs.result_cache import Handed
from nexus_core.runtime import LocalRuntime

from .workflows import answer, close_runtimes, counted, local, on_loop

pytestmark = pytest.mark.timeout(300)


def in_threads(number: int, do: Any) -> list[Any]:
    """Calls it from so many threads at the same time."""
    gate = threading.Barrier(number)
    found: list[Any] = []

    def one(index: int) -> None:
        gate.wait(60)
        found.append(do(index))

    threads = [threading.Thread(target=one, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == number
    return found


def test_a_thousand_threads_run_it_once() -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.3)

    def do(_: int) -> Any:
        results, _run = runtime.execute(workflow)
        own = results["node"]["result"]
        own.append(2)
        return tuple(own), answer()[0]

    found = in_threads(1000, do)
    assert calls.count == 1
    assert {own for own, _ in found} == {(1, 2)}
    statuses = Counter(status for _, status in found)
    assert statuses["miss"] == 1
    assert statuses["waited"] > 0
    assert statuses["waited"] + statuses["hit"] == 999
    counts = runtime.engine_statistics()["cache"]["runs"]
    assert (counts["misses"], counts["hits"], counts["waited"]) == (1, statuses["hit"], statuses["waited"])


def test_a_thousand_tasks_run_it_once() -> None:
    runtime = on_loop(True)
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.3)

    async def do() -> Any:
        results, _run = await runtime.execute_workflow_async(workflow, {})
        own = results["node"]["result"]
        own.append(2)
        return tuple(own), answer()[0]

    async def main() -> list[Any]:
        return await asyncio.gather(*(do() for _ in range(1000)))

    found = asyncio.run(main())
    assert calls.count == 1
    assert Counter(found) == {((1, 2), "waited"): 999, ((1, 2), "miss"): 1}


def test_loops_of_several_threads_run_it_once() -> None:
    cache = ResultCache()
    runtimes = [on_loop(cache) for _ in range(8)]
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.3)

    def do(index: int) -> Any:
        async def main() -> list[Any]:
            runs = (runtimes[index].execute_workflow_async(workflow, {}) for _ in range(5))
            return [results for results, _ in await asyncio.gather(*runs)]

        return asyncio.run(main())

    found = in_threads(8, do)
    assert calls.count == 1
    assert [one for each in found for one in each] == [{"node": {"result": [1]}}] * 40
    lists = {id(one["node"]["result"]) for each in found for one in each}
    assert len(lists) == 40


def test_a_failure_reaches_all_and_is_not_kept() -> None:
    runtime = on_loop(True)

    def act(data: Any) -> Any:
        raise ValueError("this time")

    workflow, calls = counted(act, seconds=0.2)

    async def main() -> list[Any]:
        runs = (runtime.execute_workflow_async(workflow, {}) for _ in range(20))
        return await asyncio.gather(*runs, return_exceptions=True)

    found = asyncio.run(main())
    assert calls.count == 1
    assert all(isinstance(error, WorkflowExecutionError) and "this time" in str(error) for error in found)
    asyncio.run(main())
    assert calls.count == 2


def test_a_failed_leaf_is_not_kept_and_runs_again_for_each() -> None:
    runtime = local(True)

    def act(data: Any) -> Any:
        raise ValueError("a leaf")

    workflow, calls = counted(act)
    for number in (1, 2):
        results, _ = runtime.execute(workflow)
        assert results["node"]["failed"] is True
        assert calls.count == number
        assert answer() == ("miss", "a node failed")


def test_a_leader_that_is_cancelled_leaves_it_to_the_next() -> None:
    runtime = on_loop(True)
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.3)

    async def main() -> tuple[Any, list[Any]]:
        leader = asyncio.create_task(runtime.execute_workflow_async(workflow, {}))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(runtime.execute_workflow_async(workflow, {})) for _ in range(5)]
        await asyncio.sleep(0.05)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        return leader, [results for results, _ in await asyncio.gather(*others)]

    _, found = asyncio.run(main())
    assert found == [{"node": {"result": [1]}}] * 5
    assert calls.count == 2


def test_one_who_waits_and_is_cancelled_stops_nobody() -> None:
    runtime = on_loop(True)
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.3)

    async def main() -> Any:
        leader = asyncio.create_task(runtime.execute_workflow_async(workflow, {}))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(runtime.execute_workflow_async(workflow, {})) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiting[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await runtime.execute_workflow_async(workflow, {})
        return [results for results, _ in await asyncio.gather(leader, waiting[0], waiting[2])]

    assert asyncio.run(main()) == [{"node": {"result": [1]}}] * 3
    assert calls.count == 1


def test_limits_of_one_caller_are_nobody_elses() -> None:
    cache = ResultCache()
    runtime = on_loop(cache)
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.6)

    async def main() -> Any:
        limited = asyncio.create_task(runtime.execute_workflow_async(workflow, {}, soft_time_limit=0.1))
        await asyncio.sleep(0.05)
        free = asyncio.create_task(runtime.execute_workflow_async(workflow, {}))
        with pytest.raises(SoftTimeLimitExceeded):
            await limited
        return (await free)[0]

    assert asyncio.run(main()) == {"node": {"result": [1]}}
    assert calls.count == 2
    # What is there is within any limit.
    assert asyncio.run(runtime.execute_workflow_async(workflow, {}, time_limit=0.1))[0] == {"node": {"result": [1]}}
    assert calls.count == 2


def test_a_token_that_is_cancelled_already_is_heard() -> None:
    from kailash.sdk_exceptions import WorkflowCancelledError

    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})
    runtime.execute(workflow)
    token = CancellationToken()
    runtime.execute(workflow, cancellation_token=token)
    assert answer()[0] == "hit"
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        runtime.execute(workflow, cancellation_token=token)
    assert calls.count == 1


def test_what_is_not_kept_is_shared_by_those_who_wait() -> None:
    runtime = local(ResultCache(workflows={"counted": CachePolicy(min_seconds=60)}))
    workflow, calls = counted(lambda data: {"result": [1]}, seconds=0.3)
    found = in_threads(20, lambda _: runtime.execute(workflow)[0]["node"]["result"])
    assert found == [[1]] * 20
    assert calls.count < 20
    assert len({id(own) for own in found}) == 20
    before = calls.count
    runtime.execute(workflow)
    assert (answer(), calls.count) == (("miss", "it took less than min_seconds"), before + 1)


def test_what_cannot_be_copied_is_computed_by_everybody() -> None:
    cache = ResultCache()
    made: list[object] = []

    def compute() -> Any:
        made.append(value := {"generator": (each for each in (1, 2))})
        time.sleep(0.1)
        return value

    found = in_threads(5, lambda _: cache.get_or_compute(b"k" * 32, CachePolicy(), compute))
    assert len({id(handed.value["generator"]) for handed in found}) == 5
    assert {handed.status for handed in found} == {"miss"}
    assert all("generator" in handed.not_kept for handed in found)
    assert len(made) == 5


def test_a_workflow_that_runs_itself_inside_is_no_error() -> None:
    runtime = local(True)
    depth: list[int] = []

    def act(data: Any) -> Any:
        depth.append(1)
        if len(depth) < 3:
            return {"result": runtime.execute(workflow)[0]["node"]["result"] + 1}
        return {"result": 0}

    workflow, calls = counted(act)
    assert runtime.execute(workflow)[0]["node"]["result"] == 2
    assert calls.count == 3


def test_nodes_that_run_one_anothers_workflows_do_not_wait_for_one_another() -> None:
    program = """
        import sys, threading
        sys.path[:0] = {path!r}
        import logging; logging.disable(50)
        from cached_runs.workflows import counted
        from nexus_core import ResultCache
        from nexus_core.runtime import AsyncLocalRuntime
        import asyncio, time
        cache = ResultCache()
        # One place: a node that waited for another run would keep it from that.
        runtime = AsyncLocalRuntime(cache=cache, max_concurrent_nodes=1)
        inner, calls = counted(lambda data: {{"result": 1}}, seconds=0.2)
        def act(data):
            return {{"result": runtime.execute(inner)[0]["node"]["result"]}}
        outer, _ = counted(act)
        async def main():
            both = [runtime.execute_workflow_async(outer, {{}}), runtime.execute_workflow_async(inner, {{}})]
            return await asyncio.gather(*both)
        found = asyncio.run(main())
        assert [results["node"]["result"] for results, _ in found] == [1, 1], found
        runtime.close()
        print("ended")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program).format(path=[p for p in sys.path if p])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stdout.strip() == "ended", ended.stderr


def test_refreshing_computes_anew_and_keeps_that() -> None:
    runtime = local(True)
    numbers: list[int] = []

    def act(data: Any) -> Any:
        numbers.append(1)
        return {"result": len(numbers)}

    workflow, _calls = counted(act)

    def run(**options: Any) -> Any:
        return runtime.execute(workflow, **options)[0]["node"]["result"], answer()[0]

    assert [run(), run(), run(refresh=True), run(), run(cache=False), run()] == [
        (1, "miss"), (1, "hit"), (2, "refresh"), (2, "hit"), (3, "bypass"), (2, "hit"),
    ]  # fmt: skip


def test_a_refresh_that_fails_leaves_what_was_there() -> None:
    runtime = on_loop(True)
    fails: list[int] = []

    def act(data: Any) -> Any:
        if fails:
            raise ValueError("now")
        return {"result": 1}

    workflow, _calls = counted(act)
    asyncio.run(runtime.execute_workflow_async(workflow, {}))
    fails.append(1)
    with pytest.raises(WorkflowExecutionError):
        asyncio.run(runtime.execute_workflow_async(workflow, {}, refresh=True))
    assert asyncio.run(runtime.execute_workflow_async(workflow, {}))[0] == {"node": {"result": 1}}


def test_a_forked_child_has_its_parents_results() -> None:
    program = """
        import os, sys
        sys.path[:0] = {path!r}
        import logging; logging.disable(50)
        from cached_runs.workflows import counted
        from nexus_core import last_cache_outcome
        from nexus_core.runtime import LocalRuntime
        runtime = LocalRuntime(enable_monitoring=False, cache=True).mark_externally_managed()
        workflow, calls = counted(lambda data: {{"result": [1]}})
        runtime.execute(workflow)
        child = os.fork()
        if child == 0:
            results, _ = runtime.execute(workflow)
            good = results == {{"node": {{"result": [1]}}}} and last_cache_outcome().status == "hit"
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        runtime.close()
        print("ended")
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program).format(path=[p for p in sys.path if p])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stdout.strip() == "ended", ended.stderr


def test_several_runtimes_share_one_cache() -> None:
    cache = ResultCache()
    workflow, calls = counted(lambda data: {"result": 1})
    for expected in ("miss", "hit"):
        local(cache).execute(workflow)
        assert answer()[0] == expected
    close_runtimes()
    local(cache).execute(workflow)
    assert (answer()[0], calls.count) == ("hit", 1)


def test_the_outcome_is_the_callers_own() -> None:
    runtime = local(True)
    workflow, _calls = counted(lambda data: {"result": 1})
    runtime.execute(workflow)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(last_cache_outcome).result() is None
        assert pool.submit(lambda: (runtime.execute(workflow), answer())[1]).result() == ("hit", None)
    assert answer() == ("miss", None)


def test_a_synchronous_call_of_the_asynchronous_runtime_tells_its_outcome() -> None:
    runtime = on_loop(True)
    workflow, _calls = counted(lambda data: {"result": 1})
    for options, expected in (({}, "miss"), ({}, "hit"), ({"refresh": True}, "refresh"), ({"cache": False}, "bypass")):
        runtime.execute(workflow, **options)
        assert answer()[0] == expected


def test_all_entrances_share_results() -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": "result = x"})
    workflow = builder.build(cacheable=True)
    runtime: LocalRuntime = local(True)

    async def main() -> None:
        await runtime.execute_async(workflow, parameters={"x": 1})
        assert answer()[0] == "hit"
        await runtime.execute_async(workflow, parameters={"x": 1}, refresh=True)
        assert answer()[0] == "refresh"

    runtime.execute(workflow, parameters={"x": 1})
    asyncio.run(main())


def test_what_was_handed_out_can_be_told() -> None:
    assert Handed(1, "hit", None, 2.0).age == 2.0
