"""Results that several processes share, or that outlive one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack")


import nexus_core
from nexus_core import CachePolicy, ResultCache, TieredCache
from nexus_core.cache_tiers import RedisTier, SQLiteTier, Tier
from nexus_core.cache_tiers.encoding import decode, encode
from nexus_core.cached_runs.kept import Kept
from nexus_core.cached_runs.snapshots import Snapshot
from nexus_core.errors import NotSerializable
from servers.redis import RedisServer

from .workflows import answer, code, counted, local, on_loop

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["redis", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL or the file of a tier."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url()
    return str(tmp_path / "results.sqlite")


def tier_at(where: str) -> Tier:
    return RedisTier(where, timeout=5) if where.startswith("redis:") else SQLiteTier(where, timeout=5, poll=0.02)


@pytest.fixture
def make(where: str) -> Iterator[Callable[..., ResultCache]]:
    """Makes caches that share their results, as processes do."""
    made: list[ResultCache] = []

    def one(**options: Any) -> ResultCache:
        made.append(ResultCache(tier=tier_at(where), **options))
        return made[-1]

    yield one
    for cache in made:
        cache.close()


def test_one_process_has_what_another_computed(make: Callable[..., ResultCache]) -> None:
    workflow, calls = counted(lambda data: {"result": {"list": [1, 2.5], "nested": {"text": "x"}}})
    for cache, status in ((make(), "miss"), (make(), "hit"), (make(), "hit")):
        runtime = local(cache)
        for expected in (status, "hit"):
            results, _ = runtime.execute(workflow)
            assert (results, answer()[0]) == (
                {"node": {"result": {"list": [1, 2.5], "nested": {"text": "x"}}}}, expected,
            )  # fmt: skip
            results["node"]["result"]["list"].append("spoilt")
    assert calls.count == 1


def test_tasks_have_it_too_and_never_wait_on_their_loop(make: Callable[..., ResultCache]) -> None:
    workflow, calls = counted(lambda data: {"result": [1]})

    async def main(cache: ResultCache) -> list[str]:
        runtime = on_loop(cache)
        found = []
        for _ in range(2):
            results, _ = await runtime.execute_workflow_async(workflow, {})
            assert results == {"node": {"result": [1]}}
            found.append(answer()[0])
        await runtime.execute_workflow_async(workflow, {}, refresh=True)
        await runtime.execute_workflow_async(workflow, {}, time_limit=30)
        found.append(answer()[0])
        return found

    assert asyncio.run(main(make())) == ["miss", "hit", "hit"]
    assert asyncio.run(main(make())) == ["hit", "hit", "hit"]
    assert calls.count == 3


def test_two_processes_compute_once(where: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    program = f"""
import asyncio, logging, sys, time
logging.disable(50)
sys.path[:0] = {[p for p in sys.path if p]!r}
from pathlib import Path
from kailash.workflow.builder import WorkflowBuilder
from cached_runs.test_tiers import tier_at
from nexus_core import ResultCache, last_cache_outcome
from nexus_core.runtime import AsyncLocalRuntime
builder = WorkflowBuilder()
builder.add_node("PythonCodeNode", "node", {{"code": "import time\\ntime.sleep(1)\\nresult = time.time()"}})
workflow = builder.build(cacheable=True)
cache = ResultCache(tier=tier_at({where!r}))
runtime = AsyncLocalRuntime(cache=cache)
with open({str(notes)!r}, "a") as file:
    file.write("ready\\n")
while Path({str(notes)!r}).read_text().count("ready") < 2:
    time.sleep(0.005)
async def main():
    return await asyncio.gather(*(runtime.execute_workflow_async(workflow, {{"x": 1}}) for _ in range(50)))
found = {{results["node"]["result"] for results, _ in asyncio.run(main())}}
assert len(found) == 1
print(found.pop(), runtime.engine_statistics()["cache"]["runs"]["misses"])
runtime.close()
cache.close()
"""
    path = os.pathsep.join([str(Path(nexus_core.__file__).parent.parent), str(Path(__file__).parent.parent)])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        for _ in range(2)
    ]  # fmt: skip
    said = []
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        said.append(out.split())
    assert said[0][0] == said[1][0], "both have the same result"
    assert sorted(misses for _, misses in said) == ["0", "1"]


def test_what_is_forgotten_is_forgotten_everywhere(make: Callable[..., ResultCache]) -> None:
    one, other = make(), make()
    workflow = code("result = 1", cacheable=CachePolicy(tags=("prices",)))
    for cache, expected in ((one, "miss"), (other, "hit")):
        local(cache).execute(workflow)
        assert answer()[0] == expected
    one.invalidate_tag("prices")
    fresh = make()
    local(fresh).execute(workflow)
    assert answer()[0] == "miss"


def test_a_result_that_refers_to_one_thing_twice_stays_local(make: Callable[..., ResultCache]) -> None:
    def act(data: Any) -> Any:
        shared = [1]
        return {"result": {"a": shared, "b": shared}}

    workflow, calls = counted(act)
    one = local(make())
    for expected in ("miss", "hit"):
        results, _ = one.execute(workflow)
        assert answer()[0] == expected
        assert results["node"]["result"]["a"] is results["node"]["result"]["b"]
    local(make()).execute(workflow)
    assert (answer()[0], calls.count) == ("miss", 2)
    assert sum(one.engine_statistics()["cache"]["tier"]["rejected"].values()) == 1


def test_what_is_in_the_tier_is_authenticated(make: Callable[..., ResultCache]) -> None:
    workflow, _calls = counted(lambda data: {"result": 1})
    for secret, expected in ((b"a" * 16, "miss"), (b"a" * 16, "hit"), (b"b" * 16, "miss")):
        local(make(secret=secret)).execute(workflow)
        assert answer()[0] == expected
    with pytest.raises(ValueError, match="no tier is given"):
        ResultCache(secret=b"a" * 16)


def test_a_tiered_cache_that_is_given_keeps_results(where: str) -> None:
    workflow, calls = counted(lambda data: {"result": [1]})
    for expected in ("miss", "hit"):
        with TieredCache(tier_at(where), name="given") as store:
            runtime = local(store)
            runtime.execute(workflow)
            assert answer()[0] == expected
            assert runtime.engine_statistics()["cache"]["name"] == "given"
    assert calls.count == 1


def test_a_kept_result_is_decoded_as_it_was() -> None:
    numpy = pytest.importorskip("numpy")
    value = {"node": {"result": [1, 2.5, "x", (1, 2), {3}], "array": numpy.arange(3)}}
    kept: Kept = decode(encode(Kept(Snapshot(value), 1.5, 100.0)))
    assert (kept.seconds, kept.made_at) == (1.5, 100.0)
    copied = kept.snapshot.hand_out()
    assert copied["node"]["result"] == value["node"]["result"]
    copied["node"]["array"][0] = 99
    assert kept.snapshot.hand_out()["node"]["array"].tolist() == [0, 1, 2]
    with pytest.raises(NotSerializable):
        encode(Kept(Snapshot({"deep": [object()]}), 1.5, 100.0))
