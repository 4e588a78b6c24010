"""Many threads on few connections: served in their order, none lost, none shared."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import exc

from nexus_core.sqlalchemy import NativePool

from .support import Driver, DriverError, figures, in_threads, until


def _queue_up(pool: NativePool, count: int, served: list[int], give_back: threading.Event) -> list[threading.Thread]:
    """Threads that wait for a connection, in the order of their numbers."""

    def wait(number: int) -> None:
        connection = pool.connect()
        served.append(number)
        assert give_back.wait(60)
        connection.close()

    threads = []
    for number in range(count):
        threads.append(threading.Thread(target=wait, args=(number,), daemon=True))
        threads[-1].start()
        until(lambda number=number: pool.waiting() == number + 1)  # type: ignore[misc]
    return threads


def test_threads_are_served_in_the_order_in_which_they_came(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=0)
    held = pool.connect()
    served: list[int] = []
    go_on = threading.Event()
    go_on.set()
    threads = _queue_up(pool, 8, served, go_on)
    held.close()
    for thread in threads:
        thread.join(60)
    assert served == list(range(8))
    assert len(driver.made) == 1
    assert figures(pool) == (1, 1, 0, 0)


def test_nobody_overtakes_those_who_wait(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=0)
    held = pool.connect()
    served: list[int] = []
    go_on = threading.Event()
    threads = _queue_up(pool, 3, served, go_on)
    held.close()
    # The one that was just given back is the first waiter's, though nobody has run yet.
    assert pool.checkedin() == 0
    go_on.set()
    pool.connect().close()
    assert served == [0, 1, 2]
    for thread in threads:
        thread.join(60)


def test_a_place_that_becomes_free_goes_to_the_first_who_waits(driver: Driver) -> None:
    made = driver.connect
    may_fail = threading.Event()

    def creator() -> Any:
        if len(driver.made) == 1 and not may_fail.is_set():
            assert may_fail.wait(60)
            raise DriverError("away")
        return made()

    pool = NativePool(creator, pool_size=2, max_overflow=0)
    held = pool.connect()
    failures: list[BaseException] = []

    def fail() -> None:
        try:
            pool.connect()
        except DriverError as error:
            failures.append(error)

    failing = threading.Thread(target=fail, daemon=True)
    failing.start()
    until(lambda: pool.checkedout() == 2)
    served: list[int] = []
    go_on = threading.Event()
    threads = _queue_up(pool, 2, served, go_on)
    may_fail.set()
    until(lambda: served == [0])
    assert len(failures) == 1
    held.close()
    until(lambda: served == [0, 1])
    go_on.set()
    for thread in [failing, *threads]:
        thread.join(60)
    assert figures(pool) == (2, 2, 0, 0)


def test_an_invalidated_connection_serves_the_one_who_waits(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=1, max_overflow=0)
    held = pool.connect()
    served: list[int] = []
    go_on = threading.Event()
    go_on.set()
    threads = _queue_up(pool, 5, served, go_on)
    held.invalidate()
    held.close()
    for thread in threads:
        thread.join(60)
    assert served == list(range(5))
    assert len(driver.made) == 2
    assert driver.open == 1


def test_one_that_connects_slowly_holds_nobody_up(driver: Driver) -> None:
    slow = threading.local()
    go_on = threading.Event()

    def creator() -> Any:
        if getattr(slow, "yes", False):
            assert go_on.wait(60)
        return driver.connect()

    pool = NativePool(creator, pool_size=2, max_overflow=1)

    def connect_slowly() -> None:
        slow.yes = True
        pool.connect().close()

    thread = threading.Thread(target=connect_slowly, daemon=True)
    thread.start()
    until(lambda: pool.checkedout() == 1)
    in_threads(*[lambda: pool.connect().close()] * 4)
    assert thread.is_alive()
    go_on.set()
    thread.join(60)
    assert pool.checkedout() == 0


def test_those_who_wait_in_vain_lose_nothing(driver: Driver) -> None:
    pool = NativePool(driver.connect, pool_size=2, max_overflow=0, timeout=0.02)
    held = [pool.connect(), pool.connect()]

    def wait_in_vain() -> None:
        with pytest.raises(exc.TimeoutError):
            pool.connect()

    in_threads(*[wait_in_vain] * 16)
    assert pool.waiting() == 0
    for connection in held:
        connection.close()
    assert figures(pool) == (2, 2, 0, 0)
    in_threads(*[lambda: pool.connect().close()] * 16)
    assert len(driver.made) == 2


@pytest.mark.parametrize(("pool_size", "max_overflow"), [(3, 0), (3, 5), (1, 1)])
def test_no_connection_is_used_twice_at_once_and_none_is_lost(
    driver: Driver, pool_size: int, max_overflow: int
) -> None:
    pool = NativePool(driver.connect, pool_size=pool_size, max_overflow=max_overflow, timeout=0.05)
    in_use: set[int] = set()
    most = [0]
    most_open = [0]
    made = driver.connect

    def connect() -> Any:
        connection = made()
        most_open[0] = max(most_open[0], driver.open)
        return connection

    pool._creator = connect
    lock = threading.Lock()
    answered: list[bool] = []

    def work(seed: int) -> None:
        for step in range(60):
            try:
                connection = pool.connect()
            except exc.TimeoutError:
                answered.append(False)
                continue
            number = connection.dbapi_connection.number
            with lock:
                assert number not in in_use
                in_use.add(number)
                most[0] = max(most[0], len(in_use))
            what = (seed * 31 + step) % 7
            with lock:
                in_use.discard(number)
            if what == 0:
                connection.invalidate()
            elif what == 1:
                connection.detach()
            answered.append(True)
            if what != 2:
                connection.close()
            del connection  # dropped, in one of seven cases

    in_threads(*[lambda seed=seed: work(seed) for seed in range(12)])
    assert len(answered) == 12 * 60
    assert most[0] <= pool_size + max_overflow
    # Detached ones are closed by whoever has them, at a time of their own.
    assert most_open[0] <= pool_size + max_overflow + 12
    assert pool.waiting() == 0
    assert pool.checkedout() == 0
    assert pool.checkedin() <= pool_size
    pool.dispose()
    assert driver.open == 0


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("max_overflow", [0, -1, 3])
def test_those_who_wait_are_served_when_connections_end(
    driver: Driver, timeout: float | None, max_overflow: int
) -> None:
    pool = NativePool(driver.connect, pool_size=2, max_overflow=max_overflow, timeout=timeout)
    held = [pool.connect() for _ in range(2 + max(max_overflow, 0))]
    served: list[int] = []

    def wait() -> None:
        connection = pool.connect()
        served.append(1)
        connection.close()

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: pool.waiting() == 2 or len(served) == 2)
    pool._invalidate(held[0])
    for connection in held:
        connection.close()
    for thread in threads:
        thread.join(60)
    assert served == [1, 1]
    assert pool.checkedout() == 0


def test_never_more_connections_are_open_than_size_and_overflow(driver: Driver) -> None:
    limit = 3
    lock = threading.Lock()
    most = [0]

    def connect() -> Any:
        # As a server counts them that refuses the next one.
        with lock:
            connection = driver.connect()
            most[0] = max(most[0], driver.open)
        closed = connection.close

        def close() -> None:
            threading.Event().wait(0.0005)
            closed()

        connection.close = close  # type: ignore[method-assign]
        return connection

    pool = NativePool(connect, pool_size=1, max_overflow=limit - 1)

    def work() -> None:
        for _ in range(50):
            connection = pool.connect()
            threading.Event().wait(0.0005)
            connection.close()

    in_threads(*[work] * 6)
    assert most[0] == limit
    assert figures(pool) == (1, 1, 0, 0)
