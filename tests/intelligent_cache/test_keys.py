"""A result is handed out for its own inputs alone, and belongs to whoever gets it."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

from nexus_core import IntelligentCache
from nexus_core.errors import NotKeyable
from nexus_core.intelligent_cache import CacheKey


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({1: 0}, {"1": 0}),
        ([1, 2], (1, 2)),
        ({"a": (1,)}, {"a": [1]}),
        ({None: 1}, {"null": 1}),
        ({True: 1}, {"true": 1}),
    ],
)
def test_inputs_with_the_same_digits_do_not_share_results(cache: IntelligentCache, one: Any, other: Any) -> None:
    mine, theirs = cache.generate_cache_key("w", one), cache.generate_cache_key("w", other)
    assert mine == theirs and mine.digest != theirs.digest
    cache.cache_workflow_result(mine, "of the one", {})
    assert cache.get_cached_result(theirs) is None
    # Digits alone will do as long as one result has them.
    assert cache.get_cached_result(str(mine)) == "of the one"
    cache.cache_workflow_result(theirs, "of the other", {})
    assert (cache.get_cached_result(mine), cache.get_cached_result(theirs)) == ("of the one", "of the other")
    misses = cache.cache_stats["misses"]
    assert cache.get_cached_result(json.loads(json.dumps(mine))) is None
    assert (cache.ambiguous_lookups, cache.cache_stats["misses"]) == (1, misses + 1)
    assert any("generate_cache_key" in text for text in cache.optimize_cache_configuration()["recommendations"])
    assert cache.invalidate(mine) and not cache.invalidate(mine)
    assert cache.get_cached_result(str(theirs)) == "of the other"


def test_digits_that_collide_do_not_share_results(cache: IntelligentCache) -> None:
    mine, theirs = CacheKey("0123456789abcdef", b"a" * 32), CacheKey("0123456789abcdef", b"b" * 32)
    cache.cache_workflow_result(mine, 1, {})
    assert (cache.get_cached_result(mine), cache.get_cached_result(theirs)) == (1, None)


def test_what_was_kept_under_a_string_is_not_taken_for_the_result_of_inputs(cache: IntelligentCache) -> None:
    key = cache.generate_cache_key("w", {"a": 1})
    cache.cache_workflow_result(str(key), "of whom?", {})
    assert cache.get_cached_result(key) is None
    assert cache.get_cached_result(str(key)) == "of whom?"


def test_keys_stay_whole_when_copied(cache: IntelligentCache) -> None:
    key = cache.generate_cache_key("w", {"a": 1})
    for copied in (copy.copy(key), copy.deepcopy(key), pickle.loads(pickle.dumps(key))):
        assert type(copied) is CacheKey and copied == key and copied.digest == key.digest
    assert hash(key) == hash(str(key)) and {str(key): 1}[key] == 1 and f"{key}" == str(key)


def test_inputs_that_are_no_json_have_keys_of_the_same_form(cache: IntelligentCache) -> None:
    key = cache.generate_cache_key("w", {"day": datetime.date(2026, 1, 2), "raw": b"\x00", "ids": {3, 1}})
    again = cache.generate_cache_key("w", {"ids": {1, 3}, "raw": b"\x00", "day": datetime.date(2026, 1, 2)})
    other = cache.generate_cache_key("w", {"ids": {1, 4}, "raw": b"\x00", "day": datetime.date(2026, 1, 2)})
    assert key == again == key.digest.hex()[:16] and key.digest == again.digest != other.digest
    assert key != other


def test_what_has_no_key_says_what_to_do(cache: IntelligentCache) -> None:
    with pytest.raises(NotKeyable, match=r"inputs\['lock'\].*no key.*string of your own as the key"):
        cache.generate_cache_key("w", {"lock": threading.Lock()})
    with pytest.raises(NotKeyable, match=r"parameters"):
        cache.generate_cache_key("w", {}, {"lock": threading.Lock()})


def test_changed_code_is_another_key(app: Any, cache: IntelligentCache) -> None:
    from kailash.workflow.builder import WorkflowBuilder

    def register(code: str) -> CacheKey:
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "one", {"code": code})
        app._workflows.pop("w", None)
        app._workflows["w"] = builder.build()
        return cache.generate_cache_key("w", {"a": 1})

    unknown = cache.generate_cache_key("w", {"a": 1})
    one, other, again = register("result = 1"), register("result = 2"), register("result = 1")
    assert unknown == one == other
    assert one.digest == again.digest and len({unknown.digest, one.digest, other.digest}) == 3


def test_what_is_handed_out_belongs_to_the_caller(cache: IntelligentCache) -> None:
    result = {"rows": [1], "again": None}
    result["again"] = result["rows"]
    metadata = {"execution_time": 1.0, "notes": ["a"]}
    cache.cache_workflow_result("key", result, metadata)
    result["rows"].append(2)  # type: ignore[union-attr]
    metadata["notes"].append("b")  # type: ignore[union-attr]
    first, second = cache.get_cached_result("key"), cache.get_cached_result("key")
    assert first == second == {"rows": [1], "again": [1]} and first["again"] is first["rows"]
    first["rows"].append(3)
    cache.result_cache["key"]["result"]["rows"].append(4)
    cache.metadata_cache["key"]["notes"].append("c")
    assert cache.get_cached_result("key") == {"rows": [1], "again": [1]}
    assert cache.metadata_cache["key"]["notes"] == ["a"]


def test_what_cannot_be_copied_is_not_kept_and_counted(cache: IntelligentCache) -> None:
    cache.cache_workflow_result("key", {"lock": threading.Lock()}, {})
    assert cache.get_cached_result("key") is None
    assert sum(cache.not_kept.values()) == 1 and "copied" in next(iter(cache.not_kept))
    assert "1 result could not be kept: " in "".join(cache.optimize_cache_configuration()["recommendations"])


def test_kailash_is_not_imported_with_it() -> None:
    code = (
        "import sys\n"
        "from nexus_core import IntelligentCache\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] in ('kailash', 'nexus')]\n"
        "IntelligentCache(object()).generate_cache_key('w', {'a': 1})\n"
        "print('done')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "done\n"


def test_threads_count_exactly(cache: IntelligentCache) -> None:
    cache.cache_workflow_result("key", [1], {"execution_time": 0.5})

    def ask() -> None:
        for _ in range(200):
            assert cache.get_cached_result("key") == [1]

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.cache_stats["hits"] == cache.result_cache["key"]["access_count"] == 800
    assert cache.performance_cache["key"]["time_saved"] == 400.0
