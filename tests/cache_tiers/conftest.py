"""Caches on each kind of tier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nexus_core import TieredCache
from nexus_core.cache_tiers import RedisTier, SQLiteTier, Tier
from servers.redis import RedisServer

from .support import end_all

Make = Callable[..., TieredCache[Any, Any]]


@pytest.fixture(autouse=True)
def _processes() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(params=["redis", "sqlite"])
def make_tier(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Tier]:
    """Makes tiers that share their entries."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        # Generous: what is tested with it is not time.
        return lambda: RedisTier(server.url(), timeout=5)
    return lambda: SQLiteTier(tmp_path / "cache.sqlite", poll=0.02, timeout=5)


@pytest.fixture
def make(make_tier: Callable[[], Tier]) -> Iterator[Make]:
    """Makes caches that share their entries, as processes do."""
    caches = []

    def made(**options: Any) -> TieredCache[Any, Any]:
        caches.append(TieredCache(make_tier(), **options))
        return caches[-1]

    yield made
    for cache in caches:
        cache.close()
