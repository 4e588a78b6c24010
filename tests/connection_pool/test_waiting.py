"""Waiting for a connection: in turn, in time, or told why not."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from nexus_core.errors import PoolClosed, PoolError, PoolTimeout, TooManyWaiting
from task_graph.support import ended, interrupt_when_ready, start_script

from .support import Connection, Down, Runner, Server, at_rest, check, eventually, pool_of


@pytest.mark.parametrize("checks", [{}, {"check": check}, {"check": check, "check_in": "caller"}])
def test_waiters_are_served_in_the_order_in_which_they_came(checks: dict[str, Any]) -> None:
    served: list[int] = []
    with pool_of(Server(), max_size=1, **checks) as pool:

        def wait(number: int) -> None:
            with pool.connection() as connection:
                connection.use()
                served.append(number)
                connection.unuse()

        first = pool.getconn()
        runners = []
        for number in range(10):
            runners.append(Runner(wait, number))
            eventually(lambda expected=number + 1: pool.get_stats()["requests_waiting"] == expected)
        pool.putconn(first)
        for runner in runners:
            runner.result()
        assert served == list(range(10))
        stats = pool.get_stats()
        assert (stats["requests_num"], stats["requests_queued"], stats["requests_errors"]) == (11, 11, 0)
        assert pool.statistics().wait.count == 11


def test_one_who_waited_in_vain_is_told_what_the_pool_was_doing() -> None:
    with pool_of(Server(), name="small", max_size=2) as pool, pool.connection(), pool.connection():
        other = Runner(pool.getconn, 30)
        eventually(lambda: pool.get_stats()["requests_waiting"] == 1)
        for timeout in (0, 0.02):
            with pytest.raises(PoolTimeout, match=r"no connection from pool 'small' within") as caught:
                pool.getconn(timeout)
            error = caught.value
            assert isinstance(error, TimeoutError)
            assert isinstance(error, PoolError)
            assert error.pool == "small"
            assert error.waited >= timeout
            assert (error.size, error.max_size, error.in_use, error.idle) == (2, 2, 2, 0)
            assert (error.connecting, error.tended, error.waiting) == (0, 0, 1)
            assert "of at most 2 connections 2 are in use, 0 idle, 0 being made; 1 other callers wait" in str(error)
            assert error.__cause__ is None
        assert pool.get_stats()["requests_errors"] == 2
        pool.close()
        assert isinstance(other.error(), PoolClosed)


def test_one_who_waited_in_vain_for_a_server_is_told_what_it_said() -> None:
    server = Server()
    server.is_down = True
    with pool_of(server, name="away") as pool:
        with pytest.raises(PoolTimeout, match="last attempt to connect failed: Down: connection refused") as caught:
            pool.getconn(0.05)
        assert isinstance(caught.value.__cause__, Down)
        assert pool.statistics().last_error == "Down: connection refused"


@pytest.mark.parametrize("kind", ["connect", "check", "close"])
def test_hooks_that_hang_keep_no_caller_longer_than_it_waits(kind: str) -> None:
    server = Server()
    hangs = threading.Event()

    def hang(_connection: Connection) -> None:
        hangs.wait(30)

    options: dict[str, Any] = {} if kind == "connect" else {kind: hang}
    if kind == "connect":
        server.gate.clear()
    pool = pool_of(server, max_size=1, **options)
    try:
        if kind == "close":
            pool.putconn(pool.getconn(), broken=True)
            pool.putconn(pool.getconn())
        elif kind == "check":
            pool.putconn(pool.getconn())
        if kind != "close":
            with pytest.raises(PoolTimeout, match=r"1 being made|1 being checked"):
                pool.getconn(0.05)
    finally:
        hangs.set()
        server.gate.set()
        pool.close()


def test_threads_that_are_stuck_are_made_up_for() -> None:
    server = Server()
    server.gate.clear()
    pool = pool_of(server, max_size=6, threads=1)
    stuck = [Runner(pool.getconn, 30)]
    eventually(lambda: server.attempts == 1)
    stuck += [Runner(pool.getconn, 30) for _ in range(3)]
    # The only thread sits in the first attempt; the others are not left waiting for it.
    eventually(lambda: server.attempts == 4)
    server.gate.set()
    held = [runner.result() for runner in stuck]
    assert len(set(held)) == 4
    for connection in held:
        pool.putconn(connection)
    pool.close()


def test_more_than_may_wait_are_refused() -> None:
    with pool_of(Server(), name="busy", max_size=1, max_waiting=1) as pool:
        held = pool.getconn()
        waiter = Runner(pool.getconn)
        eventually(lambda: pool.get_stats()["requests_waiting"] == 1)
        with pytest.raises(TooManyWaiting, match="1 callers wait for pool 'busy' already") as caught:
            pool.getconn()
        assert (caught.value.pool, caught.value.waiting) == ("busy", 1)
        pool.putconn(held)
        pool.putconn(waiter.result())
        assert pool.get_stats()["requests_errors"] == 1


def test_those_who_wait_are_answered_when_the_pool_closes() -> None:
    pool = pool_of(Server(), max_size=1)
    with pool.connection():
        waiters = [Runner(pool.getconn) for _ in range(5)]
        eventually(lambda: pool.get_stats()["requests_waiting"] == 5)
        pool.close()
        assert {type(waiter.error()) for waiter in waiters} == {PoolClosed}
    at_rest(pool)


@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_times_that_make_no_sense_are_refused(timeout: float) -> None:
    with pool_of(Server(), max_size=1) as pool, pool.connection():
        for use in (pool.getconn, lambda timeout: pool.connection(timeout).__enter__(), pool.aconnection):
            with pytest.raises(ValueError, match="timeout must be a number of seconds of at least 0"):
                use(timeout)
        assert pool.get_stats()["requests_waiting"] == 0


def test_those_who_give_up_all_the_time_lose_nothing() -> None:
    server = Server()
    with pool_of(server, max_size=2) as pool:
        stop = time.monotonic() + 1.0

        def impatient(number: int) -> tuple[int, int]:
            got = gave_up = 0
            while time.monotonic() < stop:
                try:
                    with pool.connection(timeout=0.0002 * (number % 4)) as connection:
                        connection.use()
                        if number % 2:
                            time.sleep(0.0003)
                        connection.unuse()
                        got += 1
                except PoolTimeout:
                    gave_up += 1
            return got, gave_up

        counts = [runner.result() for runner in [Runner(impatient, number) for number in range(8)]]
        at_rest(pool)
        assert sum(got for got, _ in counts) > 0
        assert sum(gave_up for _, gave_up in counts) == pool.get_stats()["requests_errors"]
        assert len(server.made) == 2


def test_threads_take_turns() -> None:
    with pool_of(Server(), max_size=2) as pool:
        turns = [0] * 6
        stop = threading.Event()

        def work(number: int) -> None:
            while not stop.is_set():
                with pool.connection():
                    turns[number] += 1
                    time.sleep(0.001)

        runners = [Runner(work, number) for number in range(6)]
        time.sleep(0.6)
        stop.set()
        for runner in runners:
            runner.result()
        # None of them starves: who is served stands behind all others.
        assert min(turns) > max(turns) / 2, turns


def test_a_waiter_is_interrupted_and_nothing_is_lost() -> None:
    process = start_script("""
        from nexus_core import ConnectionPool
        with ConnectionPool(object, max_size=1) as pool:
            held = pool.getconn()
            print("ready", flush=True)
            try:
                with pool.connection():
                    pass
            except KeyboardInterrupt:
                stats = pool.get_stats()
                print(stats["requests_waiting"], stats["requests_cancelled"])
            pool.putconn(held)
            assert pool.getconn() is held
    """)
    interrupt_when_ready(process)
    outcome = ended(process)
    assert (outcome.code, outcome.out, outcome.err) == (0, "0 1\n", "")


def test_one_whose_connection_fails_its_check_keeps_its_turn() -> None:
    server = Server()
    served: list[int] = []
    with pool_of(server, check=check, check_in="caller", max_size=1) as pool:
        held = pool.getconn()

        def use(number: int) -> None:
            with pool.connection():
                served.append(number)

        runners = []
        for number in range(4):
            runners.append(Runner(use, number))
            eventually(lambda waiting=number + 1: pool.get_stats()["requests_waiting"] == waiting)
        held.is_broken = True
        pool.putconn(held)
        for runner in runners:
            runner.result()
        assert served == [0, 1, 2, 3]
        seen = pool.get_stats()
        assert (seen["requests_num"], seen["requests_queued"], seen["connections_lost"]) == (5, 5, 1)
