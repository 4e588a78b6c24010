"""The guide's third block: a result is computed once, and the statistics are those of what was asked."""

from __future__ import annotations

import time
from typing import Any

from apps import code_workflow
from nexus_core import IntelligentCache
from nexus_core._app_workflows import attached_runtime

from .flows import run


def asked(cache: IntelligentCache, app: Any, inputs: dict[str, Any]) -> tuple[bool, Any]:
    """The guide's way to a result: from the cache, or else by a run, which is kept if it is worth it."""
    key = cache.generate_cache_key("data-processor", inputs)
    kept = cache.get_cached_result(key)
    if kept is not None:
        return True, kept
    seconds = run(app, "data-processor")
    result = {"processed_data": "result", "timestamp": time.time()}
    decision = cache.should_cache_result("data-processor", seconds, len(str(result)))
    assert decision == {"should_cache": True, "reason": "Reasonable result size", "cache_priority": "medium"}
    cache.cache_workflow_result(
        key, result, {"execution_time": seconds, "result_size": 10, "priority": decision["cache_priority"]}
    )
    return False, result


def test_what_is_kept_is_not_run_again_and_the_figures_say_so(app: Any) -> None:
    app.register("data-processor", code_workflow("import time\ntime.sleep(0.02)\nresult = 1"))
    cache = IntelligentCache(app)
    first = asked(cache, app, {"data": "test_dataset_1"})
    again = [asked(cache, app, {"data": "test_dataset_1"}) for _ in range(3)]
    other = asked(cache, app, {"data": "test_dataset_2"})
    assert (first[0], other[0], [hit for hit, _ in again]) == (False, False, [True] * 3)
    assert all(result == first[1] for _, result in again)
    assert attached_runtime(app).metrics().runs == 2
    stats = cache.get_cache_performance_stats()
    assert stats == {
        "cache_entries": 2,
        "total_requests": 5,
        "hit_rate_percent": 60.0,
        "cache_stats": {"hits": 3, "misses": 2, "evictions": 0},
        "memory_efficiency": "needs_optimization",
    }
    advice = cache.optimize_cache_configuration()
    assert list(advice) == ["current_performance", "recommendations", "suggested_cache_size"]
    assert advice["current_performance"] == stats["memory_efficiency"]
    # What each saved is what the run took, by this test's clock.
    entry = next(iter(cache.performance_cache.values()))
    assert entry["execution_time"] >= 0.02
    assert entry["time_saved"] == 3 * entry["execution_time"]


def test_a_result_that_is_slow_or_large_is_judged_by_the_guides_rules(app: Any) -> None:
    cache = IntelligentCache(app)
    assert cache.should_cache_result("any", 2.5, 10**9)["reason"] == "Expensive computation"
    large = cache.should_cache_result("any", 0.1, 10 * 1024 * 1024)
    assert (large["should_cache"], large["cache_priority"]) == (False, "low")


def test_a_cache_that_nobody_asks_is_idle(app: Any) -> None:
    cache = IntelligentCache(app)
    stats = cache.get_cache_performance_stats()
    assert (stats["cache_entries"], stats["total_requests"], stats["hit_rate_percent"]) == (0, 0, 0)
    assert stats["cache_stats"] == {"hits": 0, "misses": 0, "evictions": 0}
