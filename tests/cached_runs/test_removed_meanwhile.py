"""What is removed or written while it is computed is not undone by the computation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import CachePolicy, ResultCache
from nexus_core.cached_runs.result_cache import Handed

KEY = b"k" * 32
POLICY = CachePolicy(tags=("prices",))

CHANGES: dict[str, Callable[[ResultCache], Any]] = {
    "cleared": lambda cache: cache.clear(),
    "tag removed": lambda cache: cache.invalidate_tag("prices"),
    "refreshed": lambda cache: cache.get_or_compute(KEY, POLICY, lambda: "new", refresh=True),
}


def compute_while(cache: ResultCache, change: Callable[[ResultCache], Any], awaited: bool, **how: bool) -> Handed:
    def compute() -> str:
        change(cache)
        return "old"

    async def acompute() -> str:
        return compute()

    if awaited:
        return asyncio.run(cache.aget_or_compute(KEY, POLICY, acompute, **how))
    return cache.get_or_compute(KEY, POLICY, compute, **how)


@pytest.mark.parametrize("awaited", [False, True], ids=["called", "awaited"])
@pytest.mark.parametrize("how", [{"refresh": True}, {"alone": True}], ids=["refresh", "alone"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_meanwhile_is_not_undone(change: str, how: dict[str, bool], awaited: bool) -> None:
    cache = ResultCache()
    handed = compute_while(cache, CHANGES[change], awaited, **how)
    assert handed.value == "old"
    assert handed.not_kept == "it was removed or written while it was computed"
    found = cache.look(KEY)
    assert (None if found is None else found.value) == ("new" if change == "refreshed" else None)


@pytest.mark.parametrize("awaited", [False, True], ids=["called", "awaited"])
@pytest.mark.parametrize("how", [{"refresh": True}, {"alone": True}], ids=["refresh", "alone"])
def test_what_concerns_others_changes_nothing(how: dict[str, bool], awaited: bool) -> None:
    cache = ResultCache()

    def change(_: ResultCache) -> None:
        cache.invalidate_tag("weather")
        cache.get_or_compute(b"o" * 32, POLICY, lambda: "other", refresh=True)

    assert compute_while(cache, change, awaited, **how).not_kept is None
    found = cache.look(KEY)
    assert found is not None
    assert found.value == "old"


def test_a_computation_that_fails_leaves_nothing_behind() -> None:
    cache = ResultCache()
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute(KEY, POLICY, lambda: 1 // 0, refresh=True)
    assert not cache._under_way._computations
