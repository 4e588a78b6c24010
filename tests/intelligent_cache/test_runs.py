"""The app's runs, cached by themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import nexus_core
from nexus_core import IntelligentCache
from nexus_core.runtime import LocalRuntime


def _workflow(code: str) -> Any:
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "one", {"code": code})
    return builder.build()


def test_runs_of_a_runtime_are_kept_and_counted(cache: IntelligentCache) -> None:
    workflow = _workflow("result = {'sum': sum(numbers)}")
    with LocalRuntime(cache=cache, enable_monitoring=False) as runtime:
        for numbers in ([1, 2], [1, 2], [1, 3], [1, 2]):
            results, _ = runtime.execute(workflow, parameters={"one": {"numbers": numbers}})
            assert results["one"]["result"]["sum"] == sum(numbers)
    stats = cache.get_cache_performance_stats()
    assert (stats["cache_entries"], stats["total_requests"], stats["hit_rate_percent"]) == (2, 4, 50.0)
    assert stats["cache_stats"] == {"hits": 2, "misses": 2, "evictions": 0}
    # Of what was kept by hand there is nothing, and what other sizes would do is known of both.
    assert (len(cache.result_cache), cache.what_if().requests) == (0, 0)
    assert cache.results is cache.results
    store = cache.results.store
    found = store.what_if()
    assert (found.requests, found.hit_ratio, found.twice.hit_ratio) == (4, 0.5, 0.5)
    cache.clear()
    assert cache.get_cache_performance_stats()["cache_entries"] == 0


def test_advice_is_given_for_runs_too(app: Any) -> None:
    cache = IntelligentCache(app, maxsize=4)
    workflow = _workflow("result = number")
    with LocalRuntime(cache=cache, enable_monitoring=False) as runtime:
        for step in range(300):
            runtime.execute(workflow, parameters={"one": {"number": step % 7}})
    advice = cache.optimize_cache_configuration()
    assert advice["suggested_cache_size"] == 8
    assert any(text.startswith("Runs: Raise the size from 4 to 8") for text in advice["recommendations"])


def test_an_attached_app_fills_it(app: Any, cache: IntelligentCache) -> None:
    import httpx

    async def ask() -> list[Any]:
        transport = httpx.ASGITransport(app.fastapi_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            replies = [await client.post("/workflows/sums/execute", json={"inputs": {"a": 1}}) for _ in range(3)]
        return [reply.json()["outputs"]["one"]["result"] for reply in replies]

    app.register("sums", _workflow("result = {'sum': 2}"))
    nexus_core.attach(app, cache=cache)
    try:
        assert asyncio.run(ask()) == [{"sum": 2}] * 3
    finally:
        nexus_core.detach(app)
    assert cache.cache_stats == {"hits": 2, "misses": 1, "evictions": 0}
