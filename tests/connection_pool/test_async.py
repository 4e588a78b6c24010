"""Connections for tasks of event loops."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nexus_core import ConnectionPool
from nexus_core.errors import ForeignConnection, PoolClosed, PoolMisuse, PoolTimeout, TooManyWaiting

from .support import PATIENCE, Connection, Down, Runner, Server, at_rest, check, eventually, pool_of


async def soon(holds: Callable[[], object]) -> None:
    """Waits until something holds, and lets the loop go on."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.001)


class AsyncServer(Server):
    """Makes connections as an asynchronous driver does."""

    async def aconnect(self) -> Connection:
        """A new connection, after a while."""
        await asyncio.sleep(0)
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        return self.connect()


async def aclose(connection: Connection) -> None:
    await asyncio.sleep(0)
    connection.close()


async def acheck(connection: Connection) -> bool:
    await asyncio.sleep(0)
    return not connection.is_broken


def async_pool_of(server: AsyncServer, **options: Any) -> ConnectionPool[Connection]:
    """A pool of an asynchronous driver that recovers fast."""
    options.setdefault("reconnect_delay", 0.005)
    options.setdefault("reconnect_max_delay", 0.02)
    options.setdefault("timeout", PATIENCE)
    options.setdefault("close", aclose)
    return ConnectionPool(server.aconnect, **options)


MakePool = Callable[..., ConnectionPool[Connection]]
KINDS = [
    pytest.param(lambda **options: pool_of(Server(), **options), id="threads"),
    pytest.param(lambda **options: async_pool_of(AsyncServer(), **options), id="loop"),
]


@pytest.mark.parametrize("make", KINDS)
def test_a_connection_is_used_again(make: MakePool) -> None:
    async def main() -> None:
        async with make() as pool:
            seen = set()
            for _ in range(3):
                async with pool.aconnection() as connection:
                    seen.add(connection)
            connection = await pool.agetconn()
            await pool.aputconn(connection)
            assert seen == {connection}
        assert connection.is_closed

    asyncio.run(main())


@pytest.mark.parametrize("make", KINDS)
def test_tasks_are_served_in_the_order_in_which_they_came(make: MakePool) -> None:
    served: list[int] = []

    async def work(pool: ConnectionPool[Connection], number: int) -> None:
        async with pool.aconnection() as connection:
            connection.use()
            served.append(number)
            await asyncio.sleep(0)
            connection.unuse()

    async def main() -> None:
        async with make(max_size=2) as pool:
            await asyncio.gather(*(work(pool, number) for number in range(20)))
            assert served == list(range(20))

    asyncio.run(main())


def test_threads_and_tasks_stand_in_one_line() -> None:
    served: list[str] = []
    with pool_of(Server(), max_size=1) as pool:

        def on_thread(name: str) -> None:
            with pool.connection() as connection:
                connection.use()
                served.append(name)
                connection.unuse()

        async def on_loop(name: str) -> None:
            async with pool.aconnection() as connection:
                connection.use()
                served.append(name)
                connection.unuse()

        async def main() -> None:
            first = await pool.agetconn()
            jobs: list[Awaitable[None]] = []
            for number in range(6):
                if number % 2:
                    jobs.append(asyncio.to_thread(on_thread, f"{number}"))
                    jobs[-1] = asyncio.ensure_future(jobs[-1])
                else:
                    jobs.append(asyncio.create_task(on_loop(f"{number}")))
                await soon(lambda expected=number + 1: pool.get_stats()["requests_waiting"] == expected)
            await pool.aputconn(first)
            await asyncio.gather(*jobs)

        asyncio.run(main())
    assert served == [f"{number}" for number in range(6)]


@pytest.mark.parametrize("make", KINDS)
def test_one_who_waits_in_vain_is_told_so(make: MakePool) -> None:
    async def main() -> None:
        async with make(name="small", max_size=1, max_waiting=1) as pool, pool.aconnection() as held:
            for timeout in (0, 0.02):
                with pytest.raises(PoolTimeout, match="no connection from pool 'small' within") as caught:
                    async with pool.aconnection(timeout=timeout):
                        pass
                assert (caught.value.in_use, caught.value.waiting) == (1, 0)
            waiter = asyncio.create_task(pool.agetconn())
            await asyncio.sleep(0)
            with pytest.raises(TooManyWaiting):
                await pool.agetconn()
            with pytest.raises(ForeignConnection):
                await pool.aputconn(Connection(held.server, 0))
            closing = asyncio.create_task(pool.aclose())
            with pytest.raises(PoolClosed):
                await waiter
            await closing
        with pytest.raises(PoolClosed):
            await pool.agetconn()

    asyncio.run(main())


def test_a_server_that_is_away_and_comes_back() -> None:
    server = AsyncServer()
    server.is_down = True

    async def main() -> None:
        async with async_pool_of(server, min_size=2) as pool:
            with pytest.raises(PoolTimeout, match="connection refused") as caught:
                await pool.agetconn(0.05)
            assert isinstance(caught.value.__cause__, Down)
            with pytest.raises(PoolTimeout):
                await pool.await_ready(0.01)
            server.is_down = False
            await pool.await_ready()
            assert pool.get_stats()["pool_size"] == 2

    asyncio.run(main())


def test_broken_connections_are_found_by_the_check_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    server = AsyncServer()

    async def main() -> None:
        async with async_pool_of(server, check=acheck, min_size=2, max_size=2) as pool:
            await pool.await_ready()
            server.stop()
            server.start()
            async with pool.aconnection() as connection:
                assert not connection.is_broken
            await soon(lambda: len(server.alive) == 2 and not any(each.is_broken for each in server.alive))

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "its check says so" in caplog.text
    assert server.alive == []


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_reset_is_done_after_the_block(make: MakePool, fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    reset: list[Connection] = []

    def plain(connection: Connection) -> None:
        reset.append(connection)
        if fails:
            raise OSError("no reset")

    async def awaited(connection: Connection) -> None:
        await asyncio.sleep(0)
        plain(connection)

    async def main() -> None:
        hook = awaited if make is KINDS[1].values[0] else plain
        async with make(reset=hook, max_size=1) as pool:
            async with pool.aconnection() as first:
                assert reset == []
            async with pool.aconnection() as second:
                assert (second is not first) == fails
                assert reset == [first]

    asyncio.run(main())
    assert ("no reset" in caplog.text) == fails


async def cancelled_after(steps: int, work: Awaitable[None]) -> bool:
    """Cancels a task after so many turns of the loop; whether it had not ended by then."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        await asyncio.sleep(0)
    is_cancelled = task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return is_cancelled


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("hooks", [{}, {"check": check}])
def test_cancelled_at_any_step_nothing_is_lost(make: MakePool, hooks: dict[str, Any]) -> None:
    async def use(pool: ConnectionPool[Connection]) -> None:
        async with pool.aconnection() as connection:
            connection.use()
            try:
                await asyncio.sleep(0)
            finally:
                connection.unuse()

    async def main() -> None:
        interrupted = 0
        for steps in range(25):
            async with make(max_size=1, **hooks) as pool:
                # The first connection is made meanwhile; then it is waited for in line.
                interrupted += await cancelled_after(steps, use(pool))
                held = await pool.agetconn()
                waiting = asyncio.create_task(cancelled_after(steps, use(pool)))
                behind = asyncio.create_task(use(pool))
                await asyncio.sleep(0)
                await pool.aputconn(held)
                interrupted += await waiting
                await behind
                await soon(lambda pool=pool: pool.statistics().idle == 1)
                seen = pool.statistics()
                assert (seen.size, seen.in_use, seen.waiting) == (1, 0, 0)
        assert interrupted >= 2

    asyncio.run(main())


@pytest.mark.parametrize("make", KINDS)
def test_cancelled_between_the_hand_off_and_the_wake_up_it_passes_the_connection_on(make: MakePool) -> None:
    async def main() -> None:
        async with make(max_size=1) as pool:
            held = await pool.agetconn()
            waiting = asyncio.create_task(pool.agetconn())
            behind = asyncio.create_task(pool.agetconn())
            await soon(lambda: pool.get_stats()["requests_waiting"] == 2)
            await pool.aputconn(held)
            # It has been served, and has not run since.
            assert pool.get_stats()["requests_waiting"] == 1
            waiting.cancel()
            assert await behind is held
            assert waiting.cancelled()
            assert pool.get_stats()["requests_cancelled"] == 1
            await pool.aputconn(held)

    asyncio.run(main())


@pytest.mark.parametrize("make", KINDS)
def test_a_loop_that_ends_while_tasks_wait_leaves_the_pool_whole(make: MakePool) -> None:
    pool = make(max_size=1)

    async def main() -> None:
        held = await pool.agetconn()
        waiting = asyncio.create_task(pool.agetconn())
        await asyncio.sleep(0)
        await pool.aputconn(held)
        del waiting  # cancelled by the loop's end

    asyncio.run(main())
    gc.collect()
    seen = pool.statistics()
    assert (seen.in_use, seen.waiting, seen.idle) == (0, 0, 1)
    if not pool.asynchronous:
        pool.close()


def test_a_pool_of_one_loop_refuses_others_and_threads() -> None:
    pool = async_pool_of(AsyncServer(), name="homely")
    for use in (pool.getconn, pool.connection, pool.wait, pool.close, pool.__enter__):
        with pytest.raises(PoolMisuse, match=r"pool 'homely': .* cannot wait for coroutine functions; use a"):
            use()

    async def use_it() -> None:
        async with pool.aconnection():
            pass

    async def main() -> None:
        await use_it()
        error = await asyncio.to_thread(lambda: Runner(asyncio.run, use_it()).error())
        assert isinstance(error, PoolMisuse)
        assert "belongs to another event loop" in str(error)
        await pool.aclose()

    asyncio.run(main())


def test_a_factory_that_returns_a_coroutine_by_surprise_says_what_to_do() -> None:
    async def connect() -> str:
        return "a connection"

    words = "returned a coroutine; give the pool asynchronous=True"
    with ConnectionPool(lambda: connect(), name="surprise") as pool, pytest.raises(PoolTimeout, match=words):
        pool.getconn(0.2)

    async def main() -> None:
        async with ConnectionPool(lambda: connect(), asynchronous=True) as pool, pool.aconnection() as connection:
            assert connection == "a connection"

    asyncio.run(main())


def test_hooks_must_fit_the_factory() -> None:
    with pytest.raises(TypeError, match=r"check, reset cannot be a coroutine function where the factory is none"):
        ConnectionPool(object, check=acheck, reset=aclose)
    with pytest.raises(ValueError, match="check_in='caller' cannot be had"):
        async_pool_of(AsyncServer(), check=acheck, check_in="caller")


def test_many_tasks_lose_nothing() -> None:
    server = AsyncServer()

    async def work(pool: ConnectionPool[Connection], number: int) -> None:
        for turn in range(20):
            try:
                async with pool.aconnection(timeout=0.001 if (number + turn) % 5 == 0 else None) as connection:
                    connection.use()
                    await asyncio.sleep(0.0005 if turn % 3 else 0)
                    if turn % 10 == 9:
                        pool.discard(connection)
                    connection.unuse()
            except PoolTimeout:
                pass

    async def main() -> None:
        async with async_pool_of(server, max_size=3) as pool:
            await asyncio.gather(*(work(pool, number) for number in range(12)))
            await soon(lambda: pool.statistics().in_use == 0)
            assert pool.get_stats()["pool_size"] <= 3

    asyncio.run(main())
    assert server.alive == []


def test_threads_and_tasks_of_two_loops_share_a_pool() -> None:
    server = Server()
    with pool_of(server, max_size=3) as pool:

        def on_thread() -> None:
            for _ in range(100):
                with pool.connection() as connection:
                    connection.use()
                    connection.unuse()

        async def on_loop() -> None:
            async def work() -> None:
                for _ in range(20):
                    async with pool.aconnection() as connection:
                        connection.use()
                        await asyncio.sleep(0)
                        connection.unuse()

            await asyncio.gather(*(work() for _ in range(6)))

        runners = [Runner(on_thread) for _ in range(3)]
        runners += [Runner(lambda: asyncio.run(on_loop())) for _ in range(2)]
        for runner in runners:
            runner.result()
        at_rest(pool)
        assert pool.get_stats()["requests_num"] == 3 * 100 + 2 * 6 * 20
    eventually(lambda: server.alive == [])


def test_a_check_in_the_caller_is_made_for_tasks_too() -> None:
    server = Server()

    async def main() -> None:
        with pool_of(server, check=check, check_in="caller", min_size=2, max_size=2) as pool:
            await pool.await_ready()
            server.stop()
            server.start()
            async with pool.aconnection() as connection:
                assert not connection.is_broken
            assert pool.get_stats()["connections_lost"] == 2

    asyncio.run(main())


def test_a_task_that_keeps_a_connection_too_long_is_logged_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    async def careless(pool: ConnectionPool[Connection]) -> Connection:
        return await pool.agetconn()

    async def main() -> None:
        async with async_pool_of(AsyncServer(), leak_limit=0.02) as pool:
            for _ in range(2):  # waited for, and at once
                connection = await careless(pool)
                await soon(lambda: "is out for" in caplog.text)
                assert "in careless" in caplog.text
                caplog.clear()
                await pool.aputconn(connection)

    asyncio.run(main())


@pytest.mark.parametrize("make", KINDS)
def test_a_checkout_that_another_task_waits_for_is_refused(make: MakePool) -> None:
    async def main() -> None:
        async with make(max_size=2) as pool:
            held = [await pool.agetconn(), await pool.agetconn()]
            checkout = pool.aconnection()

            async def use() -> None:
                async with checkout:
                    pass

            first = asyncio.create_task(use())
            await soon(lambda: pool.get_stats()["requests_waiting"] == 1)
            with pytest.raises(RuntimeError, match="in use already"):
                await checkout.__aenter__()
            for connection in held:
                await pool.aputconn(connection)
            await first
            await use()
            await soon(lambda: pool.get_stats()["pool_available"] == 2)
            assert pool.get_stats()["pool_in_use"] == 0

    asyncio.run(main())


def test_a_task_whose_loop_was_closed_loses_nothing() -> None:
    with pool_of(Server(), max_size=1) as pool:
        held = pool.getconn()
        loop = asyncio.new_event_loop()

        async def begin() -> asyncio.Task[Connection]:
            task = asyncio.ensure_future(pool.agetconn())
            await asyncio.sleep(0)
            return task

        waiting = loop.run_until_complete(begin())
        assert pool.get_stats()["requests_waiting"] == 1
        loop.close()
        pool.putconn(held)
        assert pool.getconn() is held
        pool.putconn(held)
        # Otherwise its destruction is complained about.
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]
        waiting.get_coro().close()
        at_rest(pool)


@pytest.mark.own_process
def test_waiting_in_vain_for_a_pool_to_fill_leaves_nothing() -> None:
    server = Server()
    server.gate.clear()

    def bells() -> int:
        return sum(type(thing).__name__ == "_Ring" for thing in gc.get_objects())

    async def main() -> None:
        async with pool_of(server, min_size=1) as pool:
            for _ in range(200):
                with pytest.raises(PoolTimeout):
                    await pool.await_ready(timeout=0.0001)
            assert bells() < 50
            server.gate.set()
            await pool.await_ready()

    asyncio.run(main())


def test_an_interrupted_check_of_the_callers_gives_the_connection_up() -> None:
    class Interruption(BaseException):
        """Ends the program, as Ctrl-C does, but not this test."""

    interruptions = [Interruption]

    def look(connection: Connection) -> bool:
        if interruptions:
            raise interruptions.pop()
        return check(connection)

    async def main() -> None:
        async with pool_of(Server(), check=look, check_in="caller", max_size=1) as pool:
            with pytest.raises(Interruption):
                await pool.agetconn()
            async with pool.aconnection():
                assert pool.get_stats()["pool_in_use"] == 1
            assert pool.get_stats()["requests_cancelled"] == 1

    asyncio.run(main())
