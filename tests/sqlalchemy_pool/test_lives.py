"""How connections end: invalidated, recycled, detached, disposed of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import create_engine, event, exc
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool

from nexus_core.sqlalchemy import NativePool

from .support import Driver, DriverError, figures


class Clock:
    """The wall clock of SQLAlchemy's pools, which goes when it is told to."""

    def __init__(self) -> None:
        self.now = 10_000.0

    def time(self) -> float:
        """The time, later than when it was last asked for."""
        self.now += 0.001
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock instead of the pools' own."""
    made = Clock()
    monkeypatch.setattr("sqlalchemy.pool.base.time", made)
    yield made


@pytest.fixture
def pool(driver: Driver) -> NativePool:
    """A pool of one connection."""
    return NativePool(driver.connect, pool_size=1, max_overflow=0, timeout=0)


def _number(connection: Any) -> int:
    number: int = connection.dbapi_connection.number
    return number


def test_an_old_connection_is_replaced_when_it_is_taken(driver: Driver, clock: Clock) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=0, recycle=30)
    pool.connect().close()
    clock.now += 1
    connection = pool.connect()
    assert _number(connection) == 0
    connection.close()
    clock.now += 35
    connection = pool.connect()
    assert _number(connection) == 1
    assert driver.made[0].closed
    connection.close()


def test_an_invalidated_connection_is_closed_at_once_and_replaced(driver: Driver, pool: NativePool) -> None:
    connection = pool.connect()
    connection.invalidate()
    assert driver.made[0].closed
    assert not connection.is_valid
    connection.close()
    assert figures(pool) == (1, 1, 0, 0)
    connection = pool.connect()
    assert _number(connection) == 1
    connection.close()
    assert driver.open == 1


def test_a_softly_invalidated_connection_is_replaced_when_it_is_next_taken(
    driver: Driver, pool: NativePool, clock: Clock
) -> None:
    connection = pool.connect()
    record = connection._connection_record
    connection.invalidate(soft=True)
    assert connection.is_valid and not driver.made[0].closed
    connection.close()
    assert not driver.made[0].closed
    connection = pool.connect()
    assert driver.made[0].closed
    assert connection._connection_record is record
    assert _number(connection) == 1
    connection.close()


def test_invalidating_the_pool_replaces_every_connection_made_before(driver: Driver, clock: Clock) -> None:
    pool = NativePool(driver.connect, pool_size=3, max_overflow=0)
    held = [pool.connect() for _ in range(3)]
    held[0].close()
    pool._invalidate(held[1])
    assert [made.closed for made in driver.made] == [False, True, False]
    for connection in held[1:]:
        connection.close()
    assert {_number(connection) for connection in [pool.connect() for _ in range(3)]} == {3, 4, 5}
    assert [made.closed for made in driver.made[:3]] == [True] * 3


def test_a_detached_connection_leaves_its_place(driver: Driver, pool: NativePool) -> None:
    connection = pool.connect()
    connection.info["mine"] = True
    connection.detach()
    assert connection.is_detached
    assert figures(pool) == (1, 1, 0, 0)
    other = pool.connect()
    assert _number(other) == 1
    assert "mine" in connection.info and not other.info
    connection.close()
    assert driver.made[0].closed and not driver.made[1].closed
    other.close()
    assert figures(pool) == (1, 1, 0, 0)


@pytest.mark.parametrize("how", ["invalidated", "too old"])
def test_where_the_replacement_cannot_be_made_the_place_is_free(driver: Driver, clock: Clock, how: str) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=2, timeout=0, recycle=10)
    connection = pool.connect()
    if how == "invalidated":
        connection.invalidate()
    connection.close()
    clock.now += 60
    driver.away = DriverError("away")
    for _ in range(5):
        with pytest.raises(DriverError):
            pool.connect()
        assert (pool.checkedout(), pool.overflow()) == (0, 0)
    driver.away = None
    held = [pool.connect() for _ in range(3)]
    with pytest.raises(exc.TimeoutError):
        pool.connect()
    for connection in held:
        connection.close()
    assert figures(pool) == (1, 1, 0, 0)
    assert driver.open == 1


@pytest.mark.parametrize("kind", [exc.DisconnectionError, KeyboardInterrupt])
def test_where_a_checkout_listener_raises_the_place_is_free(driver: Driver, kind: type[BaseException]) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=1, timeout=0)

    @event.listens_for(pool, "checkout")
    def refuse(*_: object) -> None:
        if driver.away is not None:
            raise kind

    pool.connect().close()
    driver.away = DriverError("away")
    for _ in range(3):
        with pytest.raises((kind, DriverError)):
            pool.connect()
    assert pool.checkedout() == 0
    driver.away = None
    held = [pool.connect(), pool.connect()]
    for connection in held:
        connection.close()
    assert figures(pool) == (1, 1, 0, 0)


def test_a_checkout_listener_may_have_the_connection_replaced(driver: Driver, pool: NativePool) -> None:
    @event.listens_for(pool, "checkout")
    def refuse_the_first(connection: Any, *_: object) -> None:
        if connection.number == 0:
            raise exc.DisconnectionError

    connection = pool.connect()
    assert _number(connection) == 1
    assert driver.made[0].closed
    connection.close()
    assert figures(pool) == (1, 1, 0, 0)


@pytest.mark.parametrize("kind", [DriverError, KeyboardInterrupt])
def test_where_a_connect_listener_raises_the_place_is_free(
    driver: Driver, pool: NativePool, kind: type[BaseException]
) -> None:
    failing = [kind("no")]

    @event.listens_for(pool, "connect")
    def fail(connection: object, record: Any) -> None:
        if failing:
            raise failing[0]
        record.info["prepared"] = True

    for _ in range(3):
        with pytest.raises(kind):
            pool.connect()
    failing.clear()
    connection = pool.connect()
    assert connection.info["prepared"]
    connection.close()
    assert figures(pool) == (1, 1, 0, 0)


def test_info_is_the_connections_and_record_info_the_places(pool: NativePool) -> None:
    connection = pool.connect()
    connection.info["connection"] = connection.record_info["place"] = 1
    connection.close()
    connection = pool.connect()
    assert "connection" in connection.info
    connection.invalidate()
    connection.close()
    connection = pool.connect()
    assert not connection.info
    assert connection.record_info == {"place": 1}
    connection.detach()
    assert connection.record_info is None
    connection.close()


def test_giving_a_record_back_twice_changes_nothing(pool: NativePool) -> None:
    connection = pool.connect()
    record = connection._connection_record
    connection.close()
    with pytest.warns(exc.SAWarning, match="Double checkin attempted"):
        record.checkin()
    with pytest.raises(ValueError, match="not out"):
        pool._do_return_conn(record)
    assert figures(pool) == (1, 1, 0, 0)


def test_disposing_closes_what_nobody_uses(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=2, max_overflow=0, timeout=0)
    first, second = pool.connect(), pool.connect()
    first.close()
    pool.dispose()
    assert [made.closed for made in driver.made] == [True, False]
    assert figures(pool) == (2, 0, -1, 1)
    # What was out comes back as usual.
    second.close()
    assert not driver.made[1].closed
    connection = pool.connect()
    assert _number(connection) == 1
    connection.close()
    pool.dispose()
    assert driver.open == 0
    assert figures(pool) == (2, 0, -2, 0)


def test_disposing_closes_the_others_where_one_does_not_close(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=3, max_overflow=0)
    for connection in [pool.connect() for _ in range(3)]:
        connection.close()

    def fail() -> None:
        raise KeyboardInterrupt

    driver.made[1].close = fail  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        pool.dispose()
    assert driver.made[0].closed and driver.made[2].closed


def test_disposing_and_making_anew_connect_nothing() -> None:
    def refuse() -> None:
        raise AssertionError("connected")

    pool = NativePool(refuse)
    pool.dispose()
    assert type(pool.recreate()) is NativePool


def test_a_pool_made_anew_has_the_same_arguments(driver: Driver) -> None:
    dialect = DefaultDialect()
    pool = NativePool(
        driver.connect,
        pool_size=8,
        max_overflow=10,
        timeout=25,
        use_lifo=True,
        pre_ping=True,
        reset_on_return="commit",
        recycle=35,
        logging_name="some pool",
        dialect=dialect,
        echo=None,
    )
    again = pool.recreate()
    ours = set(vars(pool)) - {"_invoke_creator", "_rotation", "logger", "dispatch"}
    assert {name: vars(again)[name] for name in ours} == {name: vars(pool)[name] for name in ours}
    assert "_pool_size" in ours and "_recycle" in ours
    assert again._rotation is not pool._rotation
    assert again._dialect is dialect


def test_it_is_none_of_the_asynchronous_pools(driver: Driver) -> None:
    assert NativePool._is_asyncio is False
    assert issubclass(NativePool, Pool)
    pool = NativePool(driver.connect)
    assert not pool._is_asyncio


def test_a_raw_connection_of_an_engine_is_given_back_by_its_block(pool: NativePool) -> None:
    engine = create_engine("sqlite://", pool=pool, _initialize=False)
    with closing(engine.raw_connection()) as connection:
        assert pool.checkedout() == 1
        assert connection.is_valid
    assert pool.checkedout() == 0
    with pytest.raises(ValueError, match="inside"), closing(engine.raw_connection()):
        raise ValueError("inside")
    assert figures(pool) == (1, 1, 0, 0)


def test_time_passes_between_records(clock: Clock) -> None:
    # The tests above need it, and the real one stands still for milliseconds on some systems.
    assert clock.time() < clock.time() < time.time()
