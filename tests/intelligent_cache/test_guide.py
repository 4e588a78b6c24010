"""The guide's methods, attributes and reply keys, on a real app."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from typing import Any

import pytest

from nexus_core import IntelligentCache

_STATS = ["cache_entries", "total_requests", "hit_rate_percent", "cache_stats", "memory_efficiency"]
_ADVICE = ["current_performance", "recommendations", "suggested_cache_size"]


def _guide_digits(workflow: str, inputs: Any, parameters: Any = None) -> str:
    data = {"workflow": workflow, "inputs": inputs, "parameters": parameters or {}}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _as_the_guide_uses_it(cache_system: IntelligentCache, test_inputs: dict[str, Any]) -> dict[str, Any]:
    workflow_name = "data-processor"
    cache_key = cache_system.generate_cache_key(workflow_name, test_inputs)
    cached_result = cache_system.get_cached_result(cache_key)
    was_cached = bool(cached_result)
    if was_cached:
        result = cached_result
    else:
        start_time = time.time()
        result = {"processed_data": "result", "timestamp": time.time()}
        execution_time = time.time() - start_time
        result_size = len(str(result))
        cache_decision = cache_system.should_cache_result(workflow_name, execution_time, result_size)
        if cache_decision["should_cache"]:
            metadata = {
                "execution_time": execution_time,
                "result_size": result_size,
                "priority": cache_decision["cache_priority"],
            }
            cache_system.cache_workflow_result(cache_key, result, metadata)
    return {
        "was_cached": was_cached,
        "result": result,
        "cache_stats": cache_system.get_cache_performance_stats(),
        "optimization": cache_system.optimize_cache_configuration(),
    }


def test_the_guides_example(app: Any) -> None:
    cache_system = IntelligentCache(app)
    assert cache_system.app is app
    inputs = {"data": "test_dataset_1"}
    first = _as_the_guide_uses_it(cache_system, inputs)
    assert not first["was_cached"]
    assert list(first["cache_stats"]) == _STATS
    assert first["cache_stats"] == {
        "cache_entries": 1,
        "total_requests": 1,
        "hit_rate_percent": 0.0,
        "cache_stats": {"hits": 0, "misses": 1, "evictions": 0},
        "memory_efficiency": "needs_optimization",
    }
    assert list(first["optimization"]) == _ADVICE
    assert first["optimization"]["suggested_cache_size"] == 1.5
    second = _as_the_guide_uses_it(cache_system, inputs)
    assert second["was_cached"] and second["result"] == first["result"]
    assert second["cache_stats"]["hit_rate_percent"] == 50.0
    for _ in range(3):
        last = _as_the_guide_uses_it(cache_system, inputs)
    assert last["cache_stats"]["memory_efficiency"] == last["optimization"]["current_performance"] == "good"
    assert json.loads(json.dumps(last)) == last


def test_what_the_guide_keeps_reads_as_there(cache: IntelligentCache) -> None:
    assert (len(cache.result_cache), dict(cache.metadata_cache), dict(cache.performance_cache)) == (0, {}, {})
    assert cache.cache_stats == {"hits": 0, "misses": 0, "evictions": 0}
    key = cache.generate_cache_key("prices", {"day": 1})
    before = time.time()
    cache.cache_workflow_result(key, {"rows": [1]}, {"execution_time": 2.5, "priority": "high"})
    assert cache.get_cached_result(key) == {"rows": [1]}
    entry = cache.result_cache[key]
    assert sorted(entry) == ["access_count", "cached_at", "last_accessed", "metadata", "result"]
    assert entry["result"] == {"rows": [1]} and entry["access_count"] == 1
    assert before <= entry["cached_at"] <= entry["last_accessed"] <= time.time()
    assert key in cache.result_cache and "other" not in cache.result_cache and list(cache.result_cache) == [key]
    assert cache.metadata_cache[key] == {"execution_time": 2.5, "priority": "high"}
    measured = cache.performance_cache[key]
    assert (measured["execution_time"], measured["access_count"], measured["time_saved"]) == (2.5, 1, 2.5)
    assert measured["result_size"] > 100
    # Looking is no use of it.
    assert cache.cache_stats == {"hits": 1, "misses": 0, "evictions": 0}
    with pytest.raises(KeyError):
        cache.result_cache["other"]


@pytest.mark.parametrize(
    ("seconds", "size", "expected"),
    [
        (2.1, 10**9, (True, "Expensive computation", "high")),
        (2.0, 10 * 1024 * 1024 - 1, (True, "Reasonable result size", "medium")),
        (0, 0, (True, "Reasonable result size", "medium")),
        (2.0, 10 * 1024 * 1024, (False, "Result too large or computation too fast", "low")),
        (math.inf, math.inf, (True, "Expensive computation", "high")),
    ],
)
def test_what_is_worth_keeping(cache: IntelligentCache, seconds: float, size: float, expected: tuple[Any, ...]) -> None:
    decision = cache.should_cache_result("prices", seconds, size)
    assert list(decision) == ["should_cache", "reason", "cache_priority"]
    assert tuple(decision.values()) == expected


@pytest.mark.parametrize(
    ("inputs", "parameters"),
    [
        ({"data": "test_dataset_1"}, None),
        ({"b": 1, "a": [1, 2.5, None, True, "é"]}, {"limit": 10}),
        ({1: 0}, {}),
        ([1, (2, 3)], None),
        (None, None),
        ("text", {"a": {"b": {"c": []}}}),
    ],
)
def test_keys_are_the_guides(cache: IntelligentCache, inputs: Any, parameters: Any) -> None:
    key = cache.generate_cache_key("data-processor", inputs, parameters)
    assert key == _guide_digits("data-processor", inputs, parameters)
    assert isinstance(key, str) and len(key) == 16 and len(key.digest) == 32


def test_it_holds_a_thousand_results_for_a_day(app: Any) -> None:
    cache = IntelligentCache(app)
    for number in range(1_300):
        cache.cache_workflow_result(f"key-{number}", number, None)
    stats = cache.get_cache_performance_stats()
    assert (stats["cache_entries"], stats["cache_stats"]["evictions"]) == (1_000, 300)
    assert (cache.statistics().maxsize, cache._kept.ttl) == (1_000, 86_400)
    # What is over is a miss.
    cache = IntelligentCache(app, ttl=0)
    cache.cache_workflow_result("key", 1, None)
    assert cache.get_cached_result("key") is None
    assert cache.cache_stats == {"hits": 0, "misses": 1, "evictions": 0}


def test_what_makes_no_sense_is_refused_and_changes_nothing(app: Any, cache: IntelligentCache) -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: IntelligentCache(None), TypeError, "needs the Nexus app"),
        (lambda: IntelligentCache(app, maxsize=0), ValueError, "maxsize must be at least 1, got 0"),
        (lambda: IntelligentCache(app, maxsize="many"), TypeError, "maxsize must be .*'many'"),  # type: ignore[arg-type]
        (lambda: IntelligentCache(app, ttl=-1), ValueError, "ttl must be .* got -1"),
        (lambda: cache.generate_cache_key(7, {}), TypeError, "workflow_name must be a string, got 7"),  # type: ignore[arg-type]
        (lambda: cache.should_cache_result("w", "1", 1), TypeError, "execution_time must be a number, got '1'"),  # type: ignore[arg-type]
        (lambda: cache.should_cache_result("w", -1, 1), ValueError, "execution_time must be at least 0, got -1"),
        (lambda: cache.should_cache_result("w", 1, math.nan), ValueError, "result_size must be at least 0, got nan"),
        (lambda: cache.cache_workflow_result(7, 1, {}), TypeError, "cache_key must be a string.*got 7"),  # type: ignore[arg-type]
        (lambda: cache.cache_workflow_result("k", 1, [1]), TypeError, r"metadata must be a mapping or None, got \[1\]"),  # type: ignore[arg-type]
        (lambda: cache.cache_workflow_result("k", 1, {"execution_time": -2}), ValueError, "at least 0, got -2"),
        (lambda: cache.cache_workflow_result("k", 1, {"execution_time": "x"}), TypeError, "number, got 'x'"),
        (lambda: cache.cache_workflow_result("k", 1, {"a": threading.Lock()}), TypeError, "metadata must be .* copied"),
        (lambda: cache.get_cached_result(None), TypeError, "cache_key must be a string.*got None"),  # type: ignore[arg-type]
    ]
    for attempt, error, says in wrong:
        with pytest.raises(error, match=says):
            attempt()
    assert (len(cache.result_cache), cache.get_cache_performance_stats()["total_requests"]) == (0, 0)
