"""Which workflows are cached, what is kept of them, and what is bad input."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from nexus_core import Cache, CachePolicy, ResultCache
from nexus_core.cached_runs.cached_workflows import call_workflow
from nexus_core.cached_runs.tallies import Tally
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

from .workflows import answer, code, counted, local, on_loop

MIB = 1024 * 1024


def statuses(runtime: LocalRuntime, workflow: Any, times: int = 2) -> list[str]:
    found = []
    for _ in range(times):
        runtime.execute(workflow)
        found.append(answer()[0])
    return found


def test_off_by_default() -> None:
    runtime = local(None)
    workflow, calls = counted(lambda data: {"result": 1})
    runtime.execute(workflow)
    runtime.execute(workflow, refresh=True)
    assert calls.count == 2
    assert "cache" not in runtime.engine_statistics()
    assert "cached" not in str(runtime.explain(workflow))


def test_only_what_says_so_is_cached() -> None:
    runtime = local(True)
    assert statuses(runtime, code("result = 1")) == ["miss", "hit"]
    silent = code("result = 1", cacheable=None)
    assert statuses(runtime, silent) == ["bypass", "bypass"]
    silent.metadata["cacheable"] = True
    assert statuses(runtime, silent)[-1] == "hit"
    silent.metadata["cacheable"] = False
    assert statuses(runtime, silent) == ["bypass", "bypass"]


def test_a_policy_by_name_or_id_comes_before_what_the_workflow_says() -> None:
    workflow, _calls = counted(lambda data: {"result": 1}, cacheable=None)
    by_name = local(ResultCache(workflows={"counted": True}))
    assert statuses(by_name, workflow) == ["miss", "hit"]
    forbidden = local(ResultCache(workflows={"counted": False}))
    workflow.metadata["cacheable"] = True
    assert statuses(forbidden, workflow) == ["bypass", "bypass"]
    by_registered_name = local(ResultCache(workflows={"registered": False}))
    assert statuses(by_registered_name, workflow) == ["miss", "hit"]
    call_workflow(workflow, "registered")
    assert statuses(by_registered_name, workflow) == ["bypass", "bypass"]


def test_heuristics_cache_everything_that_is_not_forbidden() -> None:
    runtime = local(ResultCache(heuristics=True, workflows={"never": False}))
    assert statuses(runtime, code("result = 1", cacheable=None)) == ["miss", "hit"]
    assert statuses(runtime, code("result = 2", cacheable=False)) == ["bypass", "bypass"]
    assert statuses(runtime, code("result = 3", cacheable=None, name="never")) == ["bypass", "bypass"]


def test_the_guides_heuristics() -> None:
    policy = CachePolicy.heuristic()
    assert policy.why_not_kept(2.1, 100 * MIB) is None
    assert policy.why_not_kept(0.0, 10 * MIB - 1) is None
    assert policy.why_not_kept(2.0, 10 * MIB) == "it takes max_bytes or more"


def test_what_is_too_large_or_too_quick_is_not_kept() -> None:
    runtime = local(True)
    large = code("result = 'x' * 2000", cacheable=CachePolicy(max_bytes=2000))
    assert statuses(runtime, large) == ["miss", "miss"]
    assert answer() == ("miss", "it takes max_bytes or more")
    fits = code("result = 'x' * 2000", cacheable=CachePolicy(max_bytes=3000))
    assert statuses(runtime, fits) == ["miss", "hit"]
    quick = code("result = 2", cacheable=CachePolicy(min_seconds=5))
    assert statuses(runtime, quick) == ["miss", "miss"]
    always = code("result = 'y' * 2000", cacheable=CachePolicy(max_bytes=10, always_seconds=0.0))
    assert statuses(runtime, always) == ["miss", "hit"]
    assert runtime.engine_statistics()["cache"]["runs"]["not_kept"] == {
        "it takes max_bytes or more": 2, "it took less than min_seconds": 2,
    }  # fmt: skip


def test_results_expire_and_are_forgotten_by_tag() -> None:
    cache = ResultCache()
    runtime = local(cache)
    brief = code("result = 1", cacheable=CachePolicy(ttl=0.05))
    assert statuses(runtime, brief) == ["miss", "hit"]
    time.sleep(0.1)
    assert statuses(runtime, brief)[0] == "miss"
    tagged = code("result = 2", cacheable=CachePolicy(tags=("prices",)))
    assert statuses(runtime, tagged) == ["miss", "hit"]
    assert cache.invalidate_tag("prices") == 1
    assert statuses(runtime, tagged) == ["miss", "hit"]
    cache.clear()
    assert len(cache) == 0
    assert statuses(runtime, tagged) == ["miss", "hit"]


def test_limits_by_number_and_by_bytes_hold() -> None:
    def kept(cache: ResultCache, number: int, size: int) -> int:
        runtime = local(cache)
        for index in range(number):
            runtime.execute(
                code("result = 'x' * size + str(x)", name=str(index)), parameters={"x": index, "size": size}
            )
        return len(cache)

    assert kept(ResultCache(maxsize=3), 10, 10) == 3
    by_bytes = ResultCache(maxsize=None, max_bytes=100_000)
    assert 1 <= kept(by_bytes, 30, 10_000) <= 10
    assert by_bytes.statistics()["bytes"] <= 100_000
    both = ResultCache(maxsize=5, max_bytes=100_000)
    assert kept(both, 10, 10) == 5
    assert kept(ResultCache(maxsize=0), 3, 10) == 0


def test_results_go_to_the_cache_that_is_given() -> None:
    store: Cache[Any, Any] = Cache(10, name="mine")
    runtime = local(store)
    assert statuses(runtime, code("result = 1")) == ["miss", "hit"]
    assert len(store) == 1
    assert runtime.engine_statistics()["cache"]["name"] == "mine"

    class Intelligent:
        results = ResultCache(name="inner")

    assert statuses(on_loop(Intelligent()), code("result = 1")) == ["miss", "hit"]
    assert len(Intelligent.results) == 1


def test_the_cache_that_is_given_counts_every_run_once() -> None:
    store: Cache[Any, Any] = Cache(100)
    runtime = local(store)
    workflow, calls = counted()
    for data in (1, 1, 1, 2, 2, 3, 1):
        runtime.execute(workflow, parameters={"node": {"data": data}})
    assert calls.count == 3
    runtime.execute(workflow, parameters={"node": {"data": 4}}, time_limit=60)
    runtime.execute(workflow, parameters={"node": {"data": 4}}, time_limit=60)
    figures = store.statistics()
    assert (figures.hits, figures.misses) == (5, 4)

    async def tasks() -> None:
        on = on_loop(store)
        for data in (1, 1, 1, 2):
            await on.execute_workflow_async(workflow, {"node": {"data": data}})

    asyncio.run(tasks())
    figures = store.statistics()
    assert (figures.hits, figures.misses) == (7, 6)


@pytest.mark.parametrize("given", ["redis://", 1, 0, {}, object()])
def test_what_is_no_cache_is_refused(given: Any) -> None:
    for runtime_class in (LocalRuntime, AsyncLocalRuntime):
        with pytest.raises(TypeError, match="cache must be True, a ResultCache"):
            runtime_class(cache=given)


def test_cache_for_a_single_call_is_a_truth_value() -> None:
    runtime = local(True)
    workflow = code("result = 1")
    with pytest.raises(TypeError, match="for a single run, got 'no'"):
        runtime.execute(workflow, cache="no")  # type: ignore[arg-type]
    assert statuses(runtime, workflow) == ["miss", "hit"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"ttl": -1}, ValueError, "ttl must be a number of seconds of at least 0, got -1"),
        ({"ttl": float("nan")}, ValueError, "got nan"),
        ({"ttl": "60"}, TypeError, "ttl must be a number of seconds or None, got '60'"),
        ({"min_seconds": None}, TypeError, "min_seconds must be a number of seconds, got None"),
        ({"max_bytes": -5}, ValueError, "max_bytes must be at least 0, got -5"),
        ({"max_bytes": 1.5}, TypeError, "max_bytes must be an integer or None, got 1.5"),
        ({"tags": (1,)}, TypeError, "tags must be strings, got 1"),
        ({"vary": 3}, TypeError, "vary must be callable, got 3"),
        ({"always_seconds": True}, TypeError, "always_seconds must be a number of seconds or None, got True"),
    ],
)
def test_policies_that_make_no_sense_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        CachePolicy(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"maxsize": -1}, ValueError, "maxsize"),
        ({"max_bytes": -1}, ValueError, "max_bytes must be at least 0, got -1"),
        ({"max_bytes": "1"}, TypeError, "max_bytes must be an integer or None, got '1'"),
        ({"maxsize": -1, "max_bytes": 5}, ValueError, "maxsize"),
        ({"ttl": -1}, ValueError, "ttl"),
        ({"workflows": {"a": 1}}, TypeError, r"workflows\['a'\] must be True, False or a CachePolicy, got 1"),
        ({"workflows": {1: True}}, TypeError, "workflows must have strings for keys, got 1"),
        ({"workflows": ["a"]}, TypeError, "workflows must be a mapping"),
        ({"nodes": {"a": "yes"}}, TypeError, r"nodes\['a'\] must be True"),
        ({"name": 5}, TypeError, "name must be a string, got 5"),
    ],
)
def test_caches_that_make_no_sense_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ResultCache(**arguments)


def test_a_workflow_that_says_nonsense_is_an_error() -> None:
    runtime = local(True)
    workflow = code("result = 1", cacheable="often")
    with pytest.raises(TypeError, match="a workflow's 'cacheable' must be True, False or a CachePolicy, got 'often'"):
        runtime.execute(workflow)
    workflow.metadata["cacheable"] = True
    assert statuses(runtime, workflow) == ["miss", "hit"]


def test_a_single_tag_may_be_a_string() -> None:
    assert CachePolicy(tags="prices").tags == ("prices",)  # type: ignore[arg-type]


def test_reasons_that_differ_without_end_are_counted_together() -> None:
    tally = Tally()
    for number in range(250):
        tally.add("bypass", f"reason {number}")
    bypassed = tally.as_dict()["bypassed"]
    assert len(bypassed) == 101
    assert bypassed["other reasons"] == 150
