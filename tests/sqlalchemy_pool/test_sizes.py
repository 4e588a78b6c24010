"""How many connections there are, and what the pool says about it."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool

from nexus_core.sqlalchemy import NativePool

from .support import Driver, DriverError, figures


@pytest.mark.parametrize("how", ["closed", "collected"])
def test_figures_follow_what_is_taken_and_given_back(driver: Driver, how: str) -> None:
    pool = NativePool(driver.connect, pool_size=3, max_overflow=-1)
    taken: list[Any] = []
    for number in range(1, 7):
        taken.append(pool.connect())
        assert figures(pool) == (3, 0, number - 3, number)

    def give_back(count: int) -> None:
        for _ in range(count):
            connection = taken.pop()
            if how == "closed":
                connection.close()
            del connection
            gc.collect()

    give_back(3)
    assert figures(pool) == (3, 3, 3, 3)
    give_back(3)
    assert figures(pool) == (3, 3, 0, 0)
    assert driver.open == 3
    taken += [pool.connect(), pool.connect()]
    assert figures(pool) == (3, 1, 0, 2)
    give_back(1)
    assert figures(pool) == (3, 2, 0, 1)
    taken.pop().close()


def test_status_reads_like_that_of_queue_pool(driver: Driver) -> None:
    ours, theirs = (cls(driver.connect, pool_size=2, max_overflow=1) for cls in (NativePool, QueuePool))
    assert ours.status() == theirs.status()
    held = [(ours.connect(), theirs.connect()) for _ in range(3)]
    assert ours.status() == theirs.status()
    for pair in held:
        for connection in pair:
            connection.close()
    assert ours.status() == theirs.status()


def test_connections_beyond_the_size_are_closed_when_they_come_back(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=2, max_overflow=2)
    for _ in range(5):
        for connection in [pool.connect() for _ in range(4)]:
            connection.close()
    assert [connection.closed for connection in driver.made].count(True) == 10
    assert len(driver.made) == 12
    assert figures(pool) == (2, 2, 0, 0)


def test_no_more_than_size_and_overflow_are_made(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=2, timeout=0)
    held = [pool.connect() for _ in range(3)]
    with pytest.raises(exc.TimeoutError):
        pool.connect()
    assert len(driver.made) == 3
    for connection in held:
        connection.close()


@pytest.mark.parametrize("max_overflow", [42, 0, -5, 1])
def test_size_zero_is_no_limit(driver: Driver, max_overflow: int) -> None:
    pool = NativePool(driver.connect, pool_size=0, max_overflow=max_overflow, timeout=0)
    held = [pool.connect() for _ in range(50)]
    assert pool.overflow() == 0
    for connection in held:
        connection.close()
    # All are kept, too.
    assert driver.open == 50
    assert pool.checkedin() == 50


def test_time_out_names_size_overflow_and_time(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=1, timeout=0.01)
    held = [pool.connect(), pool.connect()]
    with pytest.raises(exc.TimeoutError) as caught:
        pool.connect()
    assert str(caught.value).startswith(
        "NativePool limit of size 1 overflow 1 reached, connection timed out, timeout 0.01"
    )
    assert caught.value.code == "3o7r"
    assert pool.waiting() == 0
    for connection in held:
        connection.close()


def test_timeout_can_be_asked_for(driver: Driver) -> None:
    assert NativePool(driver.connect, timeout=123).timeout() == 123
    assert NativePool(driver.connect, timeout=None).timeout() is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pool_size": -1}, "pool_size must be at least 0, 0 meaning no limit, got -1"),
        ({"timeout": -0.5}, "timeout must be at least 0 seconds, or None for no limit, got -0.5"),
        ({"timeout": float("nan")}, "got nan"),
        ({"reset_on_return": "sometimes"}, "sometimes"),
    ],
)
def test_senseless_arguments_are_refused(driver: Driver, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(exc.ArgumentError, match=said):
        NativePool(driver.connect, **arguments)


@pytest.mark.parametrize("error", [DriverError("away"), KeyboardInterrupt()])
def test_a_connection_that_cannot_be_made_leaves_its_place(driver: Driver, error: BaseException) -> None:
    pool = NativePool(driver.connect, pool_size=2, max_overflow=3, timeout=0)
    held = [pool.connect() for _ in range(3)]
    driver.away = error
    for _ in range(10):
        with pytest.raises(type(error)):
            pool.connect()
    assert pool.overflow() == 1
    driver.away = None
    held += [pool.connect(), pool.connect()]
    assert pool.overflow() == 3
    for connection in held:
        connection.close()
    assert figures(pool) == (2, 2, 0, 0)


def test_the_connection_that_came_back_first_is_used_first(driver: Driver) -> None:
    pool = NativePool(driver.connect)
    for connection in [pool.connect() for _ in range(3)]:
        connection.close()
    order = []
    for _ in range(4):
        connection = pool.connect()
        order.append(connection.dbapi_connection.number)
        connection.close()
    assert order == [0, 1, 2, 0]


def test_with_use_lifo_the_connection_that_came_back_last_is_used_first(driver: Driver) -> None:
    pool = NativePool(driver.connect, use_lifo=True)
    for connection in [pool.connect() for _ in range(3)]:
        connection.close()
    for _ in range(3):
        first = pool.connect()
        second = pool.connect()
        assert (first.dbapi_connection.number, second.dbapi_connection.number) == (2, 1)
        second.close()
        first.close()


def test_a_creator_may_take_the_record(driver: Driver) -> None:
    records = []

    def creator(record: Any) -> Any:
        records.append(record)
        return driver.connect()

    connection = NativePool(creator).connect()
    assert records == [connection._connection_record]
    connection.close()
