"""SQLAlchemy's events: which, in which order, and with what."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.pool import Pool, PoolResetState, QueuePool

from nexus_core.sqlalchemy import NativePool

from .support import Driver, in_threads

_EVENTS = (
    "first_connect",
    "connect",
    "checkout",
    "reset",
    "checkin",
    "invalidate",
    "soft_invalidate",
    "close",
    "detach",
    "close_detached",
)


@pytest.fixture
def pool(driver: Driver) -> NativePool:
    """A pool of SQLAlchemy's default size."""
    return NativePool(driver.connect)


def _told(pool: Pool) -> list[str]:
    """The names of what the pool tells from now on."""
    told: list[str] = []
    for name in _EVENTS:
        event.listen(pool, name, lambda *_, name=name: told.append(name))
    return told


def _life(pool: Pool) -> list[str]:
    """What a pool tells when everything is done with it that can be done."""
    told = _told(pool)
    first, second = pool.connect(), pool.connect()
    first.close()
    second.invalidate(soft=True)
    second.close()
    third = pool.connect()
    third.invalidate(ValueError("why"))
    third.close()
    fourth = pool.connect()
    fourth.detach()
    fourth.close()
    pool.connect()  # and dropped
    gc.collect()
    pool.dispose()
    return told


def test_it_tells_what_queue_pool_tells_in_the_same_order() -> None:
    ours, theirs = (_life(cls(Driver().connect)) for cls in (NativePool, QueuePool))
    assert ours == theirs
    assert set(ours) == set(_EVENTS)


def test_first_connect_is_told_once_for_each_pool(pool: NativePool) -> None:
    told = _told(pool)
    again = pool.recreate()
    held = [pool.connect(), pool.connect(), again.connect()]
    assert told.count("first_connect") == 2
    assert told.count("connect") == told.count("checkout") == 3
    for connection in held:
        connection.close()
    assert told.count("checkin") == 3


def test_first_connect_ends_before_any_connection_is_handed_out(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=3, max_overflow=0)
    told: list[str] = []

    @event.listens_for(pool, "first_connect")
    def first(*_: object) -> None:
        # Others come meanwhile, and wait.
        gc.collect()
        told.append("first_connect")

    event.listen(pool, "connect", lambda *_: told.append("connect"))
    in_threads(*[lambda: pool.connect().close()] * 8)
    assert told[0] == "first_connect"
    assert told.count("first_connect") == 1


def test_listeners_are_called_in_their_order(pool: NativePool) -> None:
    told: list[int] = []
    event.listen(pool, "connect", lambda *_: told.append(1))
    event.listen(pool, "connect", lambda *_: told.append(2), insert=True)
    event.listen(pool, "connect", lambda *_: told.append(3))
    pool.connect().close()
    assert told == [2, 1, 3]


@pytest.mark.parametrize("error", [None, ValueError("why")])
@pytest.mark.parametrize("soft", [False, True])
def test_invalidate_is_told_with_the_connection_and_the_reason(
    driver: Driver, pool: NativePool, error: Exception | None, soft: bool
) -> None:
    told: list[tuple[object, ...]] = []
    event.listen(pool, "soft_invalidate" if soft else "invalidate", lambda *got: told.append(got))
    connection = pool.connect()
    record = connection._connection_record
    connection.invalidate(error, soft=soft)
    assert told == [(driver.made[0], record, error)]
    connection.close()


def test_a_dropped_connection_is_reset_and_comes_back(driver: Driver, pool: NativePool) -> None:
    told = _told(pool)
    connection = pool.connect()
    told.clear()
    del connection
    gc.collect()
    assert told == ["reset", "checkin"]
    assert driver.made[0].calls == ["rollback"]
    assert (pool.checkedin(), pool.checkedout()) == (1, 0)


def test_a_dropped_connection_that_was_invalidated_only_gives_its_place_back(driver: Driver, pool: NativePool) -> None:
    connection = pool.connect()
    connection._connection_record.invalidate()
    told = _told(pool)
    del connection
    gc.collect()
    assert told == ["checkin"]
    assert driver.made[0].calls == ["close"]
    assert pool.checkedout() == 0


@pytest.fixture
def class_listeners() -> Iterator[list[tuple[Any, Any]]]:
    """Listeners of whole classes, which go away again."""
    listening: list[tuple[Any, Any]] = []
    yield listening
    for target, function in listening:
        event.remove(target, "connect", function)


def test_listeners_of_classes_and_engines_hear_it_too(driver: Driver, class_listeners: list[tuple[Any, Any]]) -> None:
    told: list[str] = []
    engine = create_engine("sqlite://", creator=driver.connect, poolclass=NativePool, _initialize=False)
    for name, target in [("all", Pool), ("ours", NativePool), ("theirs", QueuePool)]:
        function = lambda *_, name=name: told.append(name)  # noqa: E731
        event.listen(target, "connect", function)
        class_listeners.append((target, function))
    event.listen(engine.pool, "connect", lambda *_: told.append("pool"))
    event.listen(engine, "connect", lambda *_: told.append("engine"))
    engine.raw_connection().close()
    assert sorted(told) == ["all", "engine", "ours", "pool"]


# --- reset on return -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "calls"),
    [("rollback", ["rollback"]), (True, ["rollback"]), ("commit", ["commit"]), (None, []), (False, [])],
)
def test_a_connection_that_comes_back_is_reset_as_asked(driver: Driver, style: Any, calls: list[str]) -> None:
    pool = NativePool(driver.connect, reset_on_return=style)
    pool.connect().close()
    assert driver.made[0].calls == calls


@pytest.mark.parametrize("before", ["detach", "invalidate", "nothing"])
def test_reset_can_be_done_by_a_listener(driver: Driver, before: str) -> None:
    pool = NativePool(driver.connect, reset_on_return=None)
    states: list[PoolResetState] = []
    event.listen(pool, "reset", lambda connection, record, state: states.append(state))
    connection = pool.connect()
    if before != "nothing":
        getattr(connection, before)()
    connection.close()
    expected = PoolResetState(transaction_was_reset=False, terminate_only=before == "detach", asyncio_safe=True)
    assert states == ([] if before == "invalidate" else [expected])
    assert driver.made[0].calls == ([] if before == "nothing" else ["close"])


@pytest.mark.parametrize("in_transaction", [False, True])
def test_what_the_engine_has_rolled_back_is_not_rolled_back_again(driver: Driver, in_transaction: bool) -> None:
    engine = create_engine("sqlite://", creator=driver.connect, poolclass=NativePool, _initialize=False)
    states: list[PoolResetState] = []
    event.listen(engine, "reset", lambda connection, record, state: states.append(state))
    with engine.connect() as connection:
        if in_transaction:
            connection.begin()
    assert [state.transaction_was_reset for state in states] == [in_transaction]
    assert driver.made[0].calls == ["rollback"]


@pytest.mark.filterwarnings("ignore")
def test_a_connection_that_cannot_be_reset_is_replaced(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=0, timeout=0)

    def fail() -> None:
        raise ValueError("cannot")

    connection = pool.connect()
    driver.made[0].rollback = fail  # type: ignore[method-assign]
    connection.close()
    assert driver.made[0].closed
    connection = pool.connect()
    assert connection.dbapi_connection is driver.made[1]
    connection.close()


def test_a_dialect_does_the_work(driver: Driver) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    class Dialect(DefaultDialect):
        def do_rollback(self, dbapi_connection: Any) -> None:
            done.append("rollback")

        def do_close(self, dbapi_connection: Any) -> None:
            done.append("close")

    done: list[str] = []
    pool = NativePool(driver.connect, dialect=Dialect())
    pool.connect().close()
    pool.dispose()
    pool.connect().close()
    assert done == ["rollback", "close", "rollback"]
    assert driver.made[0].calls == []
