"""A real PostgreSQL that fails in every way, and a pool of psycopg connections that goes on.

After each fault: every caller was answered within its time-out, no connection was lost or handed
out twice, the counts add up, and the pool is at its size again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from nexus_core import ConnectionPool
from nexus_core.connection_factories import psycopg_factory
from nexus_core.errors import PoolTimeout
from servers.postgres import PostgresServer
from servers.proxy import Proxy

from .ledger import APPLICATION, GRACE, Ledger, make_pool, until


@pytest.fixture(autouse=True)
def _no_logs(caplog: pytest.LogCaptureFixture) -> None:
    """What a pool says about its connections is not what is tested here."""
    caplog.set_level("CRITICAL", logger="nexus_core.connection_pool")


# --- the server ----------------------------------------------------------------------


def test_a_server_that_stops_and_starts_under_load(postgres: PostgresServer) -> None:
    with make_pool(postgres) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        going = threading.Event()
        going.set()
        threads = ledger.load(8, going.is_set)
        until(lambda: ledger.answers["served"] > 50)
        with postgres.away():
            until(lambda: pool.statistics().failures > 1)
            until(lambda: pool.statistics().waiting > 0)
        served = ledger.answers["served"]
        until(lambda: ledger.answers["served"] > served + 50)
        going.clear()
        ledger.ended(threads)
        assert ledger.answers["timeout"] == 0
        # A connection fails once; whoever comes next gets another.
        assert ledger.answers["broken"] <= pool.max_size
        ledger.is_whole(postgres)


def test_while_the_server_is_away_callers_are_answered_with_what_is_wrong(postgres: PostgresServer) -> None:
    with make_pool(postgres, timeout=0.5) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        with postgres.away():
            # The idle ones are found to be dead, and cannot be replaced.
            threads = ledger.load(8, lambda: ledger.answers["timeout"] < 8)
            ledger.ended(threads)
            with pytest.raises(
                PoolTimeout, match=r"pool 'faults'.*of at most 4.*last attempt to connect failed"
            ) as caught:
                pool.getconn()
            ledger.answers["timeout"] += 1
            assert isinstance(caught.value.__cause__, psycopg.OperationalError)
            assert (caught.value.in_use, caught.value.idle, caught.value.max_size) == (0, 0, 4)
        ledger.is_whole(postgres)


def test_a_pool_that_is_made_while_the_server_is_away(postgres: PostgresServer) -> None:
    with postgres.away():
        pool = make_pool(postgres)
        with pytest.raises(PoolTimeout):
            pool.wait(0.3)
        ledger = Ledger(pool)
        threads = [threading.Thread(target=ledger.request, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: pool.statistics().waiting == 6)
    with pool:
        ledger.ended(threads)
        assert ledger.answers == {"served": 6}
        ledger.is_whole(postgres)


# --- its connections -----------------------------------------------------------------


def test_idle_connections_that_the_server_ends_are_not_handed_out(postgres: PostgresServer) -> None:
    with make_pool(postgres, min_size=4) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        for _ in range(5):
            pids = postgres.backends(APPLICATION)
            postgres.terminate(*pids)
            for _ in range(8):
                assert ledger.request() == "served"
        ledger.is_whole(postgres)


def test_nor_are_they_to_tasks(postgres: PostgresServer) -> None:
    async def run(pool: ConnectionPool[Any]) -> None:
        for _ in range(5):
            postgres.terminate(*postgres.backends(APPLICATION))
            for _ in range(8):
                async with pool.aconnection() as connection:
                    assert connection.execute("select 1").fetchone() == (1,)

    with make_pool(postgres, min_size=4) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        asyncio.run(run(pool))
        ledger.answers["served"] += 40
        ledger.is_whole(postgres)


def test_connections_that_the_server_ends_while_they_are_out_are_replaced(postgres: PostgresServer) -> None:
    with make_pool(postgres) as pool:
        ledger = Ledger(pool)
        for _ in range(5):
            held = [pool.getconn() for _ in range(4)]
            postgres.terminate(*(connection.info.backend_pid for connection in held))
            for connection in held[:2]:
                # Two find out themselves, two have not looked.
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("select 1")
            for connection in held:
                pool.putconn(connection)
            ledger.answers["served"] += 4
            for _ in range(8):
                assert ledger.request() == "served"
        ledger.is_whole(postgres)


def test_connections_that_end_at_random_under_load(postgres: PostgresServer) -> None:
    with make_pool(postgres) as pool:
        ledger = Ledger(pool)
        going = threading.Event()
        going.set()
        threads = ledger.load(8, going.is_set, "select pg_sleep(0.001)")
        ended = 0
        while ended < 40:
            for pid in postgres.backends(APPLICATION)[:2]:
                postgres.terminate(pid)
                ended += 1
        served = ledger.answers["served"]
        until(lambda: ledger.answers["served"] > served + 20)
        going.clear()
        ledger.ended(threads)
        assert ledger.answers["timeout"] == 0
        assert ledger.answers["broken"] <= ended
        ledger.is_whole(postgres)


def test_a_server_without_room_for_more_connections() -> None:
    server = PostgresServer(max_connections=10)
    try:
        # Three are kept for superusers.
        others = [server.connect("app") for _ in range(5)]
        with make_pool(server, min_size=0, max_size=4, timeout=60.0) as pool:
            ledger = Ledger(pool)
            going = threading.Event()
            going.set()
            threads = ledger.load(8, going.is_set, "select pg_sleep(0.001)")
            # There is room for two, and they serve everybody.
            until(lambda: "connection slots are reserved" in (pool.statistics().last_error or ""))
            until(lambda: ledger.answers["served"] > 100)
            assert len(server.backends(APPLICATION)) <= 2
            for other in others:
                other.close()
            until(lambda: len(server.backends(APPLICATION)) == 4)
            going.clear()
            ledger.ended(threads)
            assert set(ledger.answers) == {"served"}
            ledger.is_whole(server)
    finally:
        server.remove()


# --- the network ---------------------------------------------------------------------


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    """The network to the server."""
    with Proxy(postgres.port) as made:
        yield made


def test_a_network_that_hangs_while_connections_are_made(postgres: PostgresServer, proxy: Proxy) -> None:
    with proxy.hanging():
        pool = make_pool(postgres, proxy.port, timeout=0.5)
        ledger = Ledger(pool)
        threads = [threading.Thread(target=ledger.request, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        ledger.ended(threads)
        assert ledger.answers == {"timeout": 8}
    with pool:
        until(lambda: pool.statistics().idle >= 2)
        ledger.is_whole(postgres)


def test_a_network_that_hangs_under_load_and_breaks(postgres: PostgresServer, proxy: Proxy) -> None:
    with make_pool(postgres, proxy.port, timeout=0.5) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        going = threading.Event()
        going.set()
        threads = ledger.load(8, going.is_set)
        until(lambda: ledger.answers["served"] > 50)
        proxy.hang()
        # All connections are with somebody who waits for the server; the others are told.
        until(lambda: ledger.answers["timeout"] >= 8)
        proxy.cut()
        proxy.forward()
        served = ledger.answers["served"]
        until(lambda: ledger.answers["served"] > served + 50)
        going.clear()
        ledger.ended(threads)
        ledger.is_whole(postgres)


def test_a_network_that_hangs_for_a_while(postgres: PostgresServer, proxy: Proxy) -> None:
    with make_pool(postgres, proxy.port, timeout=60.0) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        going = threading.Event()
        going.set()
        threads = ledger.load(8, going.is_set)
        until(lambda: ledger.answers["served"] > 50)
        with proxy.hanging():
            until(lambda: pool.statistics().waiting >= 4)
        served = ledger.answers["served"]
        until(lambda: ledger.answers["served"] > served + 50)
        going.clear()
        ledger.ended(threads)
        assert set(ledger.answers) == {"served"}
        ledger.is_whole(postgres)


def test_a_network_that_refuses(postgres: PostgresServer, proxy: Proxy) -> None:
    with make_pool(postgres, proxy.port, timeout=0.3) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        proxy.refuse()
        proxy.cut()
        threads = ledger.load(8, lambda: ledger.answers["timeout"] < 8)
        ledger.ended(threads)
        proxy.forward()
        ledger.is_whole(postgres)


def test_closing_a_pool_whose_network_hangs(postgres: PostgresServer, proxy: Proxy) -> None:
    pool = make_pool(postgres, proxy.port)
    pool.wait(60)
    held = pool.getconn()
    with proxy.hanging():
        asked = time.monotonic()
        pool.close(timeout=1.0)
        assert time.monotonic() - asked < 1.0 + GRACE
        pool.putconn(held)
    proxy.cut()
    until(lambda: postgres.backends(APPLICATION) == [])


# --- tasks that are cancelled ---------------------------------------------------------


async def _cancelled_after(turns: int, work: Any) -> bool:
    """Runs a coroutine for so many turns of the loop, then cancels it; whether it had ended before."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            await task
            return True
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    # It was cancelled, and came to an end all the same.
    return True


async def _use(pool: ConnectionPool[Any], ledger: Ledger) -> None:
    async with pool.aconnection() as connection:
        with ledger.using(connection):
            await asyncio.sleep(0)
            await asyncio.sleep(0)


def _check_after_cancellations(pool: ConnectionPool[Any]) -> None:
    found = pool.statistics()
    assert (found.in_use, found.waiting) == (0, 0)
    assert found.size <= pool.max_size
    assert found.requests == found.usage.count + found.cancelled + found.errors


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_task_may_be_cancelled_at_every_turn(postgres: PostgresServer, busy: bool) -> None:
    async def run(pool: ConnectionPool[Any], ledger: Ledger) -> int:
        turns = 0
        while True:
            if not busy:
                ended = await _cancelled_after(turns, _use(pool, ledger))
            else:
                # It stands in line; the connection comes back at the very turn, before it and after it.
                held = await pool.agetconn()
                task = asyncio.ensure_future(_cancelled_after(turns, _use(pool, ledger)))
                for _ in range(turns // 2):
                    await asyncio.sleep(0)
                await pool.aputconn(held)
                ended = await task
            # Whoever comes next gets the connection.
            async with asyncio.timeout(60):
                await _use(pool, ledger)
            if ended:
                return turns
            turns += 1

    with make_pool(postgres, min_size=1, max_size=1) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        turns = asyncio.run(run(pool, ledger))
        assert turns >= 2
        until(lambda: pool.statistics().idle == 1)
        _check_after_cancellations(pool)
        assert len(postgres.backends(APPLICATION)) == 1


def test_tasks_are_cancelled_while_threads_use_themake_pool(postgres: PostgresServer) -> None:
    async def run(pool: ConnectionPool[Any], ledger: Ledger) -> Counter[bool]:
        counted: Counter[bool] = Counter()
        for turns in range(120):
            ended = await asyncio.gather(*(_cancelled_after(turns % 24 + n, _use(pool, ledger)) for n in range(4)))
            counted.update(ended)
        return counted

    with make_pool(postgres, min_size=2, max_size=2) as pool:
        ledger = Ledger(pool)
        going = threading.Event()
        going.set()
        threads = ledger.load(3, going.is_set)
        until(lambda: ledger.answers["served"] > 20)
        counted = asyncio.run(run(pool, ledger))
        going.clear()
        ledger.ended(threads)
        assert counted[False] > 0
        assert set(ledger.answers) == {"served"}
        until(lambda: pool.statistics().idle == 2)
        _check_after_cancellations(pool)
        assert len(postgres.backends(APPLICATION)) == 2


async def _works(pool: ConnectionPool[Any]) -> bool:
    try:
        async with pool.aconnection() as connection:
            cursor = await connection.execute("select 1")
            assert await cursor.fetchone() == (1,)
    except psycopg.OperationalError:
        return False
    return True


def test_asynchronous_connections_and_cancellation_at_every_turn(postgres: PostgresServer) -> None:
    async def run() -> None:
        conninfo = postgres.conninfo("app", application_name=APPLICATION)

        async def connect() -> psycopg.AsyncConnection[Any]:
            return await psycopg.AsyncConnection.connect(conninfo, autocommit=True)

        async def check(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute("")

        async def reset(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.rollback()

        async def close(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.close()

        async with ConnectionPool(
            connect, name="faults", max_size=1, timeout=60, check=check, reset=reset, close=close
        ) as pool:
            ledger = Ledger(pool)
            for turns in range(60):
                # With nothing there: while it is connected, checked, reset.
                await _cancelled_after(turns, _use(pool, ledger))
                if turns % 3 == 0:
                    for pid in postgres.backends(APPLICATION):
                        postgres.terminate(pid)
                async with asyncio.timeout(60):
                    # The first may have ended after it was checked, on its way here.
                    while not await _works(pool):
                        pass
            for _ in range(600):
                if pool.statistics().idle == 1:
                    break
                await asyncio.sleep(0.01)
            assert pool.statistics().idle == 1
            _check_after_cancellations(pool)
            assert len(postgres.backends(APPLICATION)) == 1

    asyncio.run(run())
    until(lambda: postgres.backends(APPLICATION) == [])


# --- hooks that raise ----------------------------------------------------------------


class Sabotage:
    """Hooks of psycopg connections; the one that is named raises for a while."""

    def __init__(self, server: PostgresServer) -> None:
        self._real = psycopg_factory(server.conninfo("app", application_name=APPLICATION), autocommit=True)
        self.failing: str | None = None
        self.raised: Counter[str] = Counter()

    def hooks(self) -> dict[str, Any]:
        """For ``ConnectionPool``."""
        real = self._real.arguments({})
        return {name: self._sabotaged(name, real[name]) for name in ("check", "reset", "close", "is_broken")}

    def factory(self) -> Any:
        """Makes a connection, or raises."""
        self._raise("factory")
        return self._real()

    def reconnect_failed(self, pool: Any) -> None:
        """Called when the server is away for long."""
        self.raised["reconnect_failed"] += 1
        raise ValueError("reconnect_failed")

    def _raise(self, name: str) -> None:
        if self.failing == name:
            self.raised[name] += 1
            raise ValueError(name)

    def _sabotaged(self, name: str, hook: Any) -> Any:
        def call(connection: Any) -> Any:
            if name == "close":
                # Or the server would keep what nobody has any more.
                hook(connection)
                self._raise(name)
                return None
            self._raise(name)
            return hook(connection)

        return call


@pytest.mark.parametrize("check_in", ["caller", "pool"])
@pytest.mark.parametrize("failing", ["factory", "check", "reset", "is_broken", "close"])
def test_hooks_that_raise(postgres: PostgresServer, failing: str, check_in: str) -> None:
    sabotage = Sabotage(postgres)
    options = {"min_size": 2, "max_size": 4, "timeout": 60.0, "max_uses": 5, "reconnect_max_delay": 0.05}
    with ConnectionPool(sabotage.factory, name="faults", check_in=check_in, **options, **sabotage.hooks()) as pool:
        pool.wait(60)
        ledger = Ledger(pool)
        going = threading.Event()
        going.set()
        threads = ledger.load(6, going.is_set)
        until(lambda: ledger.answers["served"] > 30)
        sabotage.failing = failing
        until(lambda: sabotage.raised[failing] > 5)
        sabotage.failing = None
        served = ledger.answers["served"]
        until(lambda: ledger.answers["served"] > served + 30)
        going.clear()
        ledger.ended(threads)
        # None of it is the callers' to see.
        assert set(ledger.answers) == {"served"}
        ledger.is_whole(postgres, used_up=True)
    until(lambda: postgres.backends(APPLICATION) == [])


def test_a_caller_with_a_short_time_out_is_answered_while_the_factory_raises(postgres: PostgresServer) -> None:
    sabotage = Sabotage(postgres)
    sabotage.failing = "factory"
    options = {"min_size": 1, "max_size": 3, "timeout": 0.2, "reconnect_max_delay": 0.05, "reconnect_timeout": 0.05}
    with ConnectionPool(
        sabotage.factory, name="faults", reconnect_failed=sabotage.reconnect_failed, **options, **sabotage.hooks()
    ) as pool:
        ledger = Ledger(pool)
        threads = ledger.load(6, lambda: ledger.answers["timeout"] < 12)
        ledger.ended(threads)
        # What tells of it raises as well.
        until(lambda: sabotage.raised["reconnect_failed"] > 0)
        sabotage.failing = None
        ledger.is_whole(postgres)
