"""Taking connections out and bringing them back."""

from __future__ import annotations

import gc
import logging
import sqlite3
from typing import Any

import pytest

from nexus_core import ConnectionPool
from nexus_core.errors import ForeignConnection, PoolClosed, PoolError, PoolTimeout

from .support import Connection, Runner, Server, at_rest, check, eventually, pool_of


def test_a_connection_is_used_again() -> None:
    server = Server()
    with pool_of(server) as pool:
        seen = set()
        for _ in range(5):
            with pool.connection() as connection:
                seen.add(connection)
        assert len(seen) == len(server.made) == 1


def test_connections_that_are_out_together_differ() -> None:
    with pool_of(Server(), max_size=3) as pool, pool.connection() as a, pool.connection() as b, pool.connection() as c:
        assert len({a, b, c}) == 3


@pytest.mark.parametrize(("order", "again"), [("lifo", 1), ("fifo", 0)])
def test_the_order_says_which_idle_connection_is_next(order: Any, again: int) -> None:
    with pool_of(Server(), order=order) as pool:
        held = [pool.getconn(), pool.getconn()]
        for connection in held:
            pool.putconn(connection)
        assert pool.getconn() is held[again]


def test_a_connection_comes_back_after_an_exception_which_goes_on() -> None:
    server = Server()
    with pool_of(server) as pool:
        with pytest.raises(KeyError), pool.connection():
            raise KeyError("the user's")
        at_rest(pool)
        assert len(server.alive) == 1


def test_one_that_is_broken_is_replaced() -> None:
    server = Server()
    with pool_of(server, is_broken=lambda connection: connection.is_broken) as pool:
        with pool.connection() as first:
            first.is_broken = True
        with pool.connection() as second:
            assert second is not first
        eventually(lambda: first.is_closed)
        assert pool.get_stats()["returns_bad"] == 1


def test_after_an_exception_a_connection_is_checked() -> None:
    server = Server()
    with pool_of(server, check=check, max_size=1) as pool:
        with pytest.raises(KeyError), pool.connection() as first:
            first.is_broken = True
            raise KeyError
        eventually(lambda: first.is_closed)
        with pool.connection() as second:
            assert second is not first
        assert pool.get_stats()["connections_lost"] == 1


@pytest.mark.parametrize("how", ["discard", "putconn", "doom"])
def test_one_that_the_user_calls_broken_is_replaced(how: str) -> None:
    server = Server()
    with pool_of(server, max_size=1) as pool:
        if how == "discard":
            with pool.connection() as first:
                pool.discard(first)
                assert not first.is_closed
        elif how == "putconn":
            first = pool.getconn()
            pool.putconn(first, broken=True)
        else:
            first = pool.getconn()
            pool.discard(first)
            pool.putconn(first)
        with pool.connection() as second:
            assert second is not first
        eventually(lambda: first.is_closed)


def test_foreign_and_returned_connections_are_refused_and_change_nothing() -> None:
    server = Server()
    other = pool_of(Server(), name="other")
    with pool_of(server, name="mine") as pool:
        connection = pool.getconn()
        pool.putconn(connection)
        before = pool.statistics()
        foreign = other.getconn()
        for wrong, words in [(foreign, "not one of its"), (None, "not one of its"), (connection, "returned to it alr")]:
            for bring in (pool.putconn, pool.discard):
                with pytest.raises(ForeignConnection, match=f"pool 'mine' cannot take .*{words}") as caught:
                    bring(wrong)
                assert isinstance(caught.value, PoolError)
                assert isinstance(caught.value, ValueError)
                assert caught.value.pool == "mine"
                assert caught.value.was_returned == (wrong is connection)
        assert pool.statistics() == before
        other.putconn(foreign)
    other.close()


def test_a_block_whose_connection_was_returned_inside_says_so() -> None:
    with pool_of(Server()) as pool:
        with pytest.raises(ForeignConnection, match="returned to it already"), pool.connection() as connection:
            pool.putconn(connection)
        with pytest.raises(KeyError), pool.connection() as connection:
            pool.putconn(connection)
            raise KeyError("not hidden by that")
        at_rest(pool)


def test_a_checkout_is_for_one_block_at_a_time() -> None:
    with pool_of(Server()) as pool:
        checkout = pool.connection()
        with checkout, pytest.raises(RuntimeError, match="in use already"):
            checkout.__enter__()
        with checkout as again:
            assert isinstance(again, Connection)
        with pytest.raises(RuntimeError, match="never entered"):
            checkout.__exit__(None, None, None)
        at_rest(pool)


def test_a_connection_is_reset_when_it_comes_back() -> None:
    reset: list[Connection] = []
    with pool_of(Server(), reset=reset.append) as pool:
        with pool.connection() as connection:
            assert reset == []
        assert reset == [connection]
        pool.putconn(pool.getconn())
        assert reset == [connection, connection]


@pytest.mark.parametrize("hook", ["reset", "is_broken"])
def test_a_failing_hook_costs_the_connection_and_is_logged(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_connection: Connection) -> bool:
        raise OSError("the socket is gone")

    server = Server()
    with pool_of(server, name="hooked", **{hook: fail}) as pool:
        with caplog.at_level(logging.WARNING), pytest.raises(KeyError), pool.connection() as first:
            raise KeyError("the user's own is raised")
        assert "hooked" in caplog.text
        assert "the socket is gone" in caplog.text
        eventually(lambda: first.is_closed)
        assert pool.get_stats()["returns_bad"] == 1
        with pool.connection() as second:
            assert second is not first


def test_what_ends_the_program_goes_on_through_a_reset() -> None:
    def interrupted(_connection: Connection) -> None:
        raise KeyboardInterrupt

    server = Server()
    with pool_of(server, reset=interrupted) as pool:
        with pytest.raises(KeyboardInterrupt), pool.connection() as first:
            pass
        eventually(lambda: first.is_closed)
        at_rest(pool)


def test_connections_are_closed_with_the_hook_or_their_own_method() -> None:
    closed: list[Connection] = []
    server = Server()
    with pool_of(server, close=closed.append) as pool, pool.connection() as connection:
        pass
    assert closed == [connection]
    assert not connection.is_closed
    with pool_of(server) as pool, pool.connection() as connection:
        pass
    assert connection.is_closed
    with ConnectionPool(object) as things, things.connection():
        pass  # has no close() method


def test_a_failing_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_connection: Connection) -> None:
        raise OSError("it will not close")

    with caplog.at_level(logging.WARNING), pool_of(Server(), close=fail) as pool, pool.connection():
        pass
    assert "it will not close" in caplog.text


def test_used_after_close_it_says_so() -> None:
    pool = pool_of(Server(), name="ended", min_size=1)
    pool.close()
    pool.close()
    for use in (pool.getconn, pool.connection().__enter__, pool.__enter__, pool.wait, lambda: pool.resize(0, 1)):
        with pytest.raises(PoolClosed, match="pool 'ended' is closed") as caught:
            use()
        assert caught.value.pool == "ended"
    assert repr(pool) == "<ConnectionPool 'ended' closed>"


def test_what_is_out_when_the_pool_closes_is_closed_when_it_comes_back() -> None:
    server = Server()
    pool = pool_of(server)
    with pool.connection() as connection:
        pool.close()
        assert not connection.is_closed
    eventually(lambda: connection.is_closed)
    assert pool.get_stats()["pool_size"] == 0


def test_a_checkout_dropped_inside_its_block_is_made_good() -> None:
    server = Server()
    with pool_of(server, max_size=1) as pool:
        checkout = pool.connection()
        first = checkout.__enter__()
        del checkout
        gc.collect()
        eventually(lambda: first.is_closed)
        with pool.connection() as second:
            assert second is not first
        assert pool.get_stats()["returns_dropped"] == 1


def test_a_bare_connection_that_is_dropped_is_replaced_for_those_who_wait(caplog: pytest.LogCaptureFixture) -> None:
    def connect() -> sqlite3.Connection:  # which knows no weak references
        return sqlite3.connect(":memory:", check_same_thread=False)

    with ConnectionPool(connect, name="careless", max_size=1) as pool:
        connection = pool.getconn()
        pool.putconn(connection)
        del connection
        with caplog.at_level(logging.WARNING):
            pool.getconn().execute("select 1")
            with pool.connection() as connection:
                assert connection.execute("select 1").fetchone() == (1,)
        assert pool.get_stats()["returns_dropped"] == 1
        assert "pool 'careless' replaces 1 connections that were dropped" in caplog.text


class Session:
    """Refers to a connection that refers to it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        connection.session = self  # type: ignore[attr-defined]


def hold_bare(connection: Connection) -> Any:
    return connection


def hold_through_a_method(connection: Connection) -> Any:
    return connection.close


def hold_through_its_own_session(connection: Connection) -> Any:
    return Session(connection)


def hold_through_a_part_of_its_session(connection: Connection) -> Any:
    session = Session(connection)
    session.parts = [{"session": session}]  # type: ignore[attr-defined]
    return session.parts  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "hold", [hold_bare, hold_through_a_method, hold_through_its_own_session, hold_through_a_part_of_its_session]
)
def test_a_bare_connection_that_somebody_has_is_left_alone_until_it_is_dropped(hold: Any) -> None:
    server = Server()
    with pool_of(server, max_size=1) as pool:
        holder = hold(pool.getconn())
        server.made.clear()
        # Those that are out are looked at every second.
        with pytest.raises(TimeoutError):
            pool.getconn(timeout=1.3)
        assert pool.get_stats()["returns_dropped"] == 0
        del holder
        # No garbage collection is needed for it.
        gc.disable()
        try:
            pool.putconn(pool.getconn())
        finally:
            gc.enable()
        assert pool.get_stats()["returns_dropped"] == 1


def test_ctrl_c_in_a_check_of_the_callers_is_raised() -> None:
    interruptions = [KeyboardInterrupt]

    def look(connection: Connection) -> bool:
        if interruptions:
            raise interruptions.pop()
        return check(connection)

    server = Server()
    with pool_of(server, check=look, check_in="caller", max_size=1) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.getconn()
        # What it said of the connection is not known.
        eventually(lambda: server.made[0].is_closed)
        with pool.connection() as another:
            assert another is not server.made[0]
        at_rest(pool)
        seen = pool.statistics()
        assert (seen.requests, seen.cancelled, seen.usage.count) == (2, 1, 1)


def test_a_checkout_that_another_thread_waits_for_is_refused() -> None:
    with pool_of(Server(), max_size=2) as pool:
        held = [pool.getconn(), pool.getconn()]
        checkout = pool.connection()

        def use() -> None:
            with checkout:
                pass

        first = Runner(use)
        eventually(lambda: pool.get_stats()["requests_waiting"] == 1)
        with pytest.raises(RuntimeError, match="in use already"):
            checkout.__enter__()
        with pytest.raises(RuntimeError, match="never entered"):
            checkout.__exit__(None, None, None)
        for connection in held:
            pool.putconn(connection)
        first.result()
        # Used up it can be used again, also when it was waited for in vain.
        use()
        at_rest(pool)
        with pool.connection(), pool.connection():
            in_vain = pool.connection(timeout=0)
            with pytest.raises(PoolTimeout):
                in_vain.__enter__()
        with in_vain:
            pass
        at_rest(pool)


def test_what_a_reset_returns_is_not_looked_at() -> None:
    class Answer:
        def __bool__(self) -> bool:
            raise ValueError("neither true nor false")

    server = Server()
    with pool_of(server, reset=lambda connection: Answer()) as pool:
        for _ in range(2):
            with pool.connection():
                pass
        assert len(server.made) == 1
        assert pool.get_stats()["returns_bad"] == 0


@pytest.mark.parametrize("check_in", ["pool", "caller"])
def test_all_idle_connections_can_be_checked(check_in: Any) -> None:
    server = Server()
    with pool_of(server, check=check, check_in=check_in, min_size=2) as pool:
        pool.wait()
        server.made[0].is_broken = True
        pool.check()
        eventually(lambda: pool.get_stats()["connections_lost"] == 1)
        pool.wait()
        at_rest(pool)
        assert server.made[0].is_closed
