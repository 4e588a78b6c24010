"""What a pool counts, under psycopg_pool's names and its own."""

from __future__ import annotations

import json
import time

import pytest

from nexus_core import ConnectionPool
from nexus_core.connection_statistics import ConnectionPoolStatistics
from nexus_core.errors import PoolTimeout

from .support import Runner, Server, eventually, pool_of

# As its documentation lists them.
PSYCOPG_POOL = {
    "pool_min",
    "pool_max",
    "pool_size",
    "pool_available",
    "requests_waiting",
    "usage_ms",
    "requests_num",
    "requests_queued",
    "requests_wait_ms",
    "requests_errors",
    "returns_bad",
    "connections_num",
    "connections_ms",
    "connections_errors",
    "connections_lost",
}


def test_the_names_are_those_of_psycopg_pool() -> None:
    with ConnectionPool(object, min_size=1, max_size=4) as pool:
        pool.wait()
        stats = pool.get_stats()
        assert set(stats) >= PSYCOPG_POOL
        assert all(isinstance(value, int) for value in stats.values())
        assert (stats["pool_min"], stats["pool_max"], stats["pool_size"], stats["pool_available"]) == (1, 4, 1, 1)


def test_requests_and_uses_are_counted_and_timed() -> None:
    with pool_of(Server(), max_size=1) as pool:
        with pool.connection():
            time.sleep(0.02)
        with pool.connection():
            waiter = Runner(pool.getconn)
            eventually(lambda: pool.get_stats()["requests_waiting"] == 1)
            with pytest.raises(PoolTimeout):
                pool.getconn(0.01)
            time.sleep(0.02)
        pool.putconn(waiter.result())
        stats = pool.get_stats()
        assert (stats["requests_num"], stats["requests_queued"], stats["requests_errors"]) == (4, 3, 1)
        assert stats["usage_ms"] >= 40
        assert stats["requests_wait_ms"] >= 30
        assert (stats["connections_num"], stats["connections_errors"]) == (1, 0)
        seen = pool.statistics()
        assert (seen.usage.count, seen.wait.count, seen.connect.count) == (3, 3, 1)
        assert seen.usage.p50 >= 0.02
        assert seen.usage.max >= seen.usage.p99 >= seen.usage.p90 >= seen.usage.p50
        assert seen.usage.total >= seen.usage.max


def test_popped_figures_begin_anew() -> None:
    with ConnectionPool(object) as pool:
        for _ in range(3):
            with pool.connection():
                pass
        assert pool.pop_stats()["requests_num"] == 3
        with pool.connection():
            pass
        stats = pool.get_stats()
        assert (stats["requests_num"], stats["connections_num"], stats["pool_size"]) == (1, 0, 1)
        assert pool.statistics().requests == 4


def test_statistics_are_plain_data() -> None:
    with ConnectionPool(object, name="plain") as pool, pool.connection():
        seen = pool.statistics()
        assert isinstance(seen, ConnectionPoolStatistics)
        assert json.loads(json.dumps(seen.as_dict()))["usage"]["count"] == 0
        assert (seen.name, seen.in_use, seen.size) == ("plain", 1, 1)
        assert repr(pool) == "<ConnectionPool 'plain': 1 in use, 0 idle, at most 10; 0 waiting>"
        with pytest.raises(AttributeError):
            seen.size = 3  # type: ignore[misc]
