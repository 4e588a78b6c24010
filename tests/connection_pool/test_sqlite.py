"""A pool of real connections: SQLite's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from nexus_core import ConnectionPool
from nexus_core.errors import PoolTimeout

from .support import Runner, at_rest


def pool_of_file(path: Path, **options: object) -> ConnectionPool[sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, check_same_thread=False, timeout=30)

    def reset(connection: sqlite3.Connection) -> None:
        connection.rollback()

    return ConnectionPool(connect, reset=reset, **options)  # type: ignore[arg-type]


def test_threads_write_through_few_connections(tmp_path: Path) -> None:
    with pool_of_file(tmp_path / "numbers.db", max_size=3) as pool:
        with pool.connection() as connection:
            connection.execute("create table numbers (thread, number)")
            connection.commit()

        def write(thread: int) -> None:
            for number in range(20):
                with pool.connection() as connection:
                    connection.execute("insert into numbers values (?, ?)", (thread, number))
                    connection.commit()

        for runner in [Runner(write, thread) for thread in range(8)]:
            runner.result()
        with pool.connection() as connection:
            assert connection.execute("select count(*), count(distinct thread) from numbers").fetchone() == (160, 8)
        assert pool.get_stats()["pool_size"] <= 3


def test_what_was_not_committed_is_gone_for_the_next(tmp_path: Path) -> None:
    with pool_of_file(tmp_path / "numbers.db", max_size=1) as pool:
        with pool.connection() as connection:
            connection.execute("create table numbers (number)")
            connection.commit()
        with pytest.raises(ZeroDivisionError), pool.connection() as connection:
            connection.execute("insert into numbers values (1)")
            raise ZeroDivisionError
        with pool.connection() as connection:
            assert not connection.in_transaction
            assert connection.execute("select count(*) from numbers").fetchone() == (0,)


def test_a_connection_that_its_user_closed_is_replaced(tmp_path: Path) -> None:
    def check(connection: sqlite3.Connection) -> None:
        connection.execute("select 1")

    with pool_of_file(tmp_path / "numbers.db", max_size=1, check=check) as pool:
        with pool.connection() as closed:
            closed.close()
        with pool.connection() as connection:
            assert connection is not closed
            assert connection.execute("select 1").fetchone() == (1,)
        at_rest(pool)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pool_of_file(tmp_path / "missing" / "numbers.db", name="files") as pool:
        with pytest.raises(PoolTimeout, match="OperationalError: unable to open database file") as caught:
            pool.getconn(0.05)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
