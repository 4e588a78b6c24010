"""Bad input: a clear error that names the pool and the numbers, and nothing changes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nexus_core import ConnectionPool

NAN = math.nan


async def _coroutine(_subject: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"min_size": 5, "max_size": 4}, ValueError, "min_size 5 is greater than max_size 4"),
        ({"min_size": 11}, ValueError, "min_size 11 is greater than max_size 10"),
        ({"min_size": -1}, ValueError, "min_size must be at least 0, got -1"),
        ({"max_size": 0}, ValueError, "max_size must be at least 1, got 0"),
        ({"max_size": 10**9}, ValueError, "max_size must be at most 1000000, got 1000000000"),
        ({"max_size": True}, TypeError, "max_size must be a whole number, got True"),
        ({"max_size": 2.5}, TypeError, "max_size must be a whole number, got 2.5"),
        ({"max_size": "4"}, TypeError, "max_size must be a whole number, got '4'"),
        ({"max_size": None}, TypeError, "max_size must be a whole number, got None"),
        ({"max_waiting": -2}, ValueError, "max_waiting must be at least 0, got -2"),
        ({"max_uses": 0}, ValueError, "max_uses must be at least 1, got 0"),
        ({"threads": 0}, ValueError, "threads must be at least 1, got 0"),
        ({"timeout": NAN}, ValueError, "timeout must be at least 0 seconds, got nan"),
        ({"timeout": -1}, ValueError, "timeout must be at least 0 seconds, got -1"),
        ({"timeout": "1"}, TypeError, "timeout must be a number of seconds, got '1'"),
        ({"timeout": True}, TypeError, "timeout must be a number of seconds, got True"),
        ({"max_idle": NAN}, ValueError, "max_idle must be more than 0 seconds, got nan"),
        ({"max_idle": 0}, ValueError, "max_idle must be more than 0 seconds, got 0"),
        ({"max_lifetime": -5}, ValueError, "max_lifetime must be more than 0 seconds, got -5"),
        ({"max_lifetime_jitter": 1}, ValueError, "max_lifetime_jitter must be at least 0 and less than 1, got 1"),
        ({"max_lifetime_jitter": NAN}, ValueError, "max_lifetime_jitter must be at least 0 and less than 1, got nan"),
        ({"leak_limit": 0}, ValueError, "leak_limit must be more than 0 seconds, got 0"),
        ({"reconnect_delay": 0}, ValueError, "reconnect_delay must be more than 0 seconds, got 0"),
        ({"reconnect_max_delay": None}, TypeError, "reconnect_max_delay must be a number of seconds, got None"),
        ({"order": "random"}, ValueError, "order must be 'lifo' or 'fifo', got 'random'"),
        ({"check_in": "nowhere"}, ValueError, "check_in must be 'pool' or 'caller', got 'nowhere'"),
        ({"check": 3}, TypeError, "check must be callable, got 3"),
        ({"reset": "x"}, TypeError, "reset must be callable, got 'x'"),
        ({"close": []}, TypeError, r"close must be callable, got \[\]"),
        ({"is_broken": {}}, TypeError, "is_broken must be callable, got {}"),
        ({"reconnect_failed": 1}, TypeError, "reconnect_failed must be callable, got 1"),
        ({"factory": None}, TypeError, "factory must be callable, got None"),
        ({"is_broken": _coroutine}, TypeError, "is_broken is never awaited, and so cannot be a coroutine function"),
        ({"reconnect_failed": _coroutine}, TypeError, "reconnect_failed is never awaited"),
        ({"asynchronous": 1}, TypeError, "asynchronous must be True, False or None, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"pool 'wrong': {words}"):
        ConnectionPool(**{"factory": object, "name": "wrong", **options})


@pytest.mark.parametrize("name", ["", 3, b"bytes"])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(TypeError, match="a pool's name must be a string that is not empty"):
        ConnectionPool(object, name=name)


@pytest.mark.parametrize(
    ("name", "words"), [("nul\0", "must have no null character"), ("half \ud800", "must be valid Unicode")]
)
def test_a_name_can_be_that_of_a_thread(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"a pool's name {words}"):
        ConnectionPool(object, name=name)


def test_limits_may_be_none_or_infinite() -> None:
    for limit in (None, math.inf):
        with (
            ConnectionPool(
                object, max_idle=limit, max_lifetime=limit, leak_limit=limit, reconnect_timeout=limit, timeout=math.inf
            ) as pool,
            pool.connection(),
        ):
            assert pool.timeout == math.inf


def test_pools_without_a_name_have_different_ones() -> None:
    with ConnectionPool(object) as one, ConnectionPool(object) as other:
        assert one.name != other.name


def test_bad_values_later_change_nothing() -> None:
    with ConnectionPool(object, name="fine") as pool:
        for use in (pool.wait, pool.close):
            for wrong, kind in [(NAN, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)]:
                with pytest.raises(kind, match="pool 'fine': timeout must be"):
                    use(wrong)
        assert not pool.closed
        with pool.connection():
            pass
