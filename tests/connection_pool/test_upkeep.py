"""What a pool does by itself: making, checking, replacing and closing connections."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from nexus_core import ConnectionPool
from nexus_core.errors import PoolTimeout

from .support import Connection, Down, Server, at_rest, check, eventually, pool_of


def test_the_least_size_is_there_without_being_asked_for() -> None:
    server = Server()
    with pool_of(server, min_size=3) as pool:
        pool.wait()
        stats = pool.get_stats()
        assert (stats["pool_size"], stats["pool_available"], stats["pool_min"]) == (3, 3, 3)
        held = [pool.getconn() for _ in range(3)]
        for connection in held:
            pool.putconn(connection, broken=True)
        eventually(lambda: pool.get_stats()["pool_available"] == 3)
        assert len(server.made) == 6
    assert server.alive == []


def test_one_who_waits_for_the_least_size_is_told_when_it_does_not_come() -> None:
    server = Server()
    server.is_down = True
    with pool_of(server, name="hollow", min_size=2) as pool:
        with pytest.raises(PoolTimeout, match="pool 'hollow'") as caught:
            pool.wait(0.05)
        assert isinstance(caught.value.__cause__, Down)
        server.start()
        pool.wait()


def test_the_pool_fills_again_after_the_server_was_away() -> None:
    server = Server()
    with pool_of(server, check=check, min_size=3, max_size=3) as pool:
        pool.wait()
        server.stop()
        with pytest.raises(PoolTimeout, match="connection refused"):
            pool.getconn(0.1)
        server.start()
        with pool.connection() as connection:
            assert not connection.is_broken
        eventually(lambda: len([each for each in server.alive if not each.is_broken]) == 3)
        at_rest(pool)
        stats = pool.get_stats()
        assert stats["connections_lost"] >= 1
        assert stats["connections_errors"] >= 1
        assert stats["connections_num"] == len(server.made) + stats["connections_errors"]


def test_long_failures_are_told_with_the_pool(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.is_down = True
    told: list[ConnectionPool[Connection]] = []
    with (
        caplog.at_level(logging.WARNING),
        pool_of(server, name="lost", min_size=1, reconnect_timeout=0.05, reconnect_failed=told.append) as pool,
    ):
        eventually(lambda: told)
        attempts = server.attempts
        eventually(lambda: server.attempts > attempts + 2)
        assert told == [pool]
        assert "pool 'lost' could not connect: Down: connection refused" in caplog.text
        assert "pool 'lost' cannot connect for a long time" in caplog.text
        server.start()
        pool.wait()


@pytest.mark.parametrize("made", [None, "raise"])
def test_a_factory_that_makes_nothing_is_named_to_those_who_wait(made: Any) -> None:
    def factory() -> None:
        if made == "raise":
            raise LookupError("no such host")

    with ConnectionPool(factory, name="barren") as pool:
        words = "no such host" if made else "factory of pool 'barren' returned None"
        with pytest.raises(PoolTimeout, match=words) as caught:
            pool.getconn(0.05)
        assert isinstance(caught.value.__cause__, LookupError if made else TypeError)
        assert pool.get_stats()["pool_size"] == 0


def test_a_factory_that_makes_the_same_twice_is_told_so() -> None:
    only = Connection(Server(), 1)
    with ConnectionPool(lambda: only, name="single", close=lambda _: None) as pool:
        with pool.connection():
            with pytest.raises(PoolTimeout, match="returned <connection 1>, which the pool has already") as caught:
                pool.getconn(0.05)
            assert isinstance(caught.value.__cause__, TypeError)
        with pool.connection() as again:
            assert again is only


def test_an_idle_connection_is_closed_after_a_while() -> None:
    server = Server()
    with pool_of(server, min_size=1, max_idle=0.05) as pool:
        held = [pool.getconn() for _ in range(4)]
        for connection in held:
            pool.putconn(connection)
        eventually(lambda: len(server.alive) == 1)
        assert pool.get_stats()["pool_size"] == 1
        assert pool.get_stats()["connections_closed"] == 3


def test_an_old_connection_is_replaced() -> None:
    server = Server()
    with pool_of(server, min_size=2, max_lifetime=0.05) as pool:
        eventually(lambda: len(server.made) >= 6)
        held = pool.getconn()
        eventually(lambda: len(server.made) >= 10)
        assert not held.is_closed
        pool.putconn(held)
        eventually(lambda: held.is_closed)
        eventually(lambda: pool.get_stats()["pool_available"] == 2)


def test_after_so_many_uses_a_connection_is_replaced() -> None:
    server = Server()
    with pool_of(server, max_uses=2, max_size=1) as pool:
        used = []
        for _ in range(6):
            with pool.connection() as connection:
                used.append(connection.number)
        assert used == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("where", ["pool", "caller"])
@pytest.mark.parametrize("verdict", ["false", "raise"])
def test_a_connection_is_checked_before_it_is_handed_out(where: Any, verdict: str, caplog: Any) -> None:
    def checked(connection: Connection) -> bool | None:
        if connection.is_broken and verdict == "raise":
            raise ConnectionError("server closed the connection")
        return None if not connection.is_broken else False

    server = Server()
    with pool_of(server, check=checked, check_in=where, min_size=2, max_size=2) as pool:
        pool.wait()
        server.stop()
        server.start()
        with caplog.at_level(logging.WARNING), pool.connection() as connection:
            assert not connection.is_broken
        assert pool.get_stats()["connections_lost"] >= 1
        assert "which is broken" in caplog.text


def test_all_idle_connections_are_checked_when_asked_for() -> None:
    server = Server()
    with pool_of(server, check=check, min_size=3) as pool:
        pool.wait()
        server.stop()
        server.start()
        pool.check()
        eventually(lambda: len(server.made) == 6)
        at_rest(pool)
        assert [each.is_broken for each in server.alive] == [False] * 3


def test_draining_replaces_all_connections() -> None:
    server = Server()
    with pool_of(server, min_size=2) as pool:
        pool.wait()
        with pool.connection() as held:
            pool.drain()
            eventually(lambda: len(server.made) == 3)
            assert not held.is_closed
        eventually(lambda: held.is_closed)
        at_rest(pool)
        assert all(each.number > 2 for each in server.alive)


def test_a_pool_is_resized_while_it_is_used() -> None:
    server = Server()
    with pool_of(server, max_size=1) as pool:
        with pool.connection():
            pool.resize(0, 2)
            with pool.connection():
                pool.resize(0, 1)
                with pytest.raises(PoolTimeout):
                    pool.getconn(0)
        eventually(lambda: len(server.alive) == 1)
        pool.resize(3, 5)
        pool.wait()
        assert (pool.min_size, pool.max_size, len(server.alive)) == (3, 5, 3)
        for least, most, words in [(6, 5, "min_size 6 is greater than max_size 5"), (-1, 5, "at least 0, got -1")]:
            with pytest.raises(ValueError, match=words):
                pool.resize(least, most)
        assert (pool.min_size, pool.max_size) == (3, 5)


def test_one_that_is_out_too_long_is_logged_once_with_the_stack(caplog: pytest.LogCaptureFixture) -> None:
    def careless(pool: ConnectionPool[Connection]) -> Any:
        return pool.getconn()

    with pool_of(Server(), name="leaky", leak_limit=0.05) as pool, caplog.at_level(logging.WARNING):
        with pool.connection():
            pass
        connection = careless(pool)
        eventually(lambda: pool.get_stats()["leaks"] == 1)
        eventually(lambda: "is out for" in caplog.text)
        with pytest.raises(PoolTimeout):
            pool.resize(0, 1)
            pool.getconn(0.2)
        reports = [record.getMessage() for record in caplog.records if "is out for" in record.getMessage()]
        assert len(reports) == 1
        assert "pool 'leaky': <connection 1> is out for" in reports[0]
        assert "in careless" in reports[0]
        assert "return pool.getconn()" in reports[0]
        pool.putconn(connection)
