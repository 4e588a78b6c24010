"""Many runs at once on few threads: whatever waits for whatever, all of them end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import asyncio
import random
import sys

from cached_nodes.support import AsyncTraced, Traced, count, node_workflow
from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import AsyncLocalRuntime
from pathlib import Path

trace, kind, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
cache = ResultCache(nodes={f"n{number}": True for number in range(40)})
choose = random.Random(7)


def workflow(number):
    """Nodes in layers, of which any two runs have many in common."""
    from kailash.workflow.graph import Workflow

    made = Workflow("many", "many")
    for place in range(8):
        make = {"sync": Traced, "async": AsyncTraced, "mixed": choose.choice([Traced, AsyncTraced])}[kind]
        made.add_node(f"n{place}", make(trace=str(trace), seconds=0.02, answer=choose.randrange(3)))
    for source, target in ((0, 4), (1, 4), (2, 5), (3, 6), (4, 7), (5, 7)):
        made.connect(f"n{source}", f"n{target}", {"answer": "x"})
    return made


async def main():
    async with AsyncLocalRuntime(thread_pool_size=threads, max_concurrent_nodes=max(threads, 2), cache=cache) as runtime:
        runs = [runtime.execute_workflow_async(workflow(number), {}) for number in range(32)]
        results = await asyncio.gather(*runs)
    assert all(len(result) == 8 for result, _ in results)
    told = cache.node_runs.as_dict()
    assert count(trace) == told["misses"], (count(trace), told)
    assert told["hits"] + told["waited"] + told["misses"] == 32 * 8, told
    assert not told["bypassed"], told
    assert told["misses"] < 100, told

asyncio.run(main())
print("all of them have ended")
'''

REENTRANT = '''
import asyncio
import sys
from pathlib import Path
from typing import Any

from cached_nodes.support import Traced, count, leave_trace, node_workflow
from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import AsyncLocalRuntime

trace = sys.argv[1]
cache = ResultCache(nodes={"a": True})


class CallsBack(Traced):
    """Has another workflow run on the same runtime, as a request to the same service would."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        import importlib

        leave_trace(inputs["trace"])
        return {"answer": importlib.import_module("__main__").inner().result(30)}


def inner():
    return asyncio.run_coroutine_threadsafe(runtime.execute_workflow_async(other, {"a": {"trace": trace}}), loop)


async def main():
    global runtime, other, loop
    loop = asyncio.get_running_loop()
    other = node_workflow(Traced(answer=1))
    other._node_instances["a"].cacheable = False
    workflow = node_workflow(CallsBack())
    async with AsyncLocalRuntime(thread_pool_size=3, max_concurrent_nodes=3, cache=cache) as runtime:
        runs = [runtime.execute_workflow_async(workflow, {"a": {"trace": trace}}) for _ in range(32)]
        results = await asyncio.gather(*runs)
    assert count(Path(trace)) == 2, count(Path(trace))
    assert len(results) == 32

asyncio.run(main())
print("all of them have ended")
'''


def run(program: str, *arguments: str) -> None:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all of them have ended" in done.stdout


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("kind", ["sync", "async", "mixed"])
def test_thirty_two_runs_end_on_a_small_pool(kind: str, threads: int, tmp_path: Path) -> None:
    run(PROGRAM, str(tmp_path / "trace"), kind, str(threads))


def test_a_leader_that_needs_a_thread_finds_one_however_many_wait_for_it(tmp_path: Path) -> None:
    run(REENTRANT, str(tmp_path / "trace"))
