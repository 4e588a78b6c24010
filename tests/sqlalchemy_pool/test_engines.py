"""Real engines: SQLite in a file and PostgreSQL, under many threads and with failing connections."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, event, exc, func, select, text

from nexus_core.sqlalchemy import NativePool
from servers.postgres import PostgresServer

from .support import in_threads

_THREADS = 32
_TRANSFERS = 12
_ACCOUNTS = 10

_metadata = MetaData()
_accounts = Table(
    "native_pool_accounts", _metadata, Column("id", Integer, primary_key=True), Column("balance", Integer)
)
_transfers = Table(
    "native_pool_transfers", _metadata, Column("id", Integer, primary_key=True), Column("amount", Integer)
)


def _transfer(engine: Engine, number: int) -> None:
    """One transaction; every third ends in an error, and must leave nothing."""
    giver, taker, amount = number % _ACCOUNTS, (number * 7 + 1) % _ACCOUNTS, number % 13 + 1
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                # Taken at once, rather than failing where two have read and both want to write.
                connection.execute(text("begin immediate"))
            # Always in the same order: otherwise the database would find deadlocks.
            for account, change in sorted([(giver, -amount), (taker, amount)]):
                connection.execute(
                    _accounts.update().where(_accounts.c.id == account).values(balance=_accounts.c.balance + change)
                )
            connection.execute(_transfers.insert().values(amount=amount))
            if number % 3 == 2:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass


def _run_transactions(engine: Engine) -> None:
    _metadata.drop_all(engine)
    _metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(_accounts.insert(), [{"id": number, "balance": 1000} for number in range(_ACCOUNTS)])

    def work(thread: int) -> None:
        for step in range(_TRANSFERS):
            _transfer(engine, thread * _TRANSFERS + step)

    in_threads(*[lambda thread=thread: work(thread) for thread in range(_THREADS)])
    done = [number for number in range(_THREADS * _TRANSFERS) if number % 3 != 2]
    with engine.connect() as connection:
        assert connection.execute(select(func.sum(_accounts.c.balance))).scalar() == 1000 * _ACCOUNTS
        count, total = connection.execute(select(func.count(), func.sum(_transfers.c.amount))).one()
        assert (count, total) == (len(done), sum(number % 13 + 1 for number in done))
        balances = {row.id: row.balance for row in connection.execute(select(_accounts))}
    expected = dict.fromkeys(range(_ACCOUNTS), 1000)
    for number in done:
        expected[number % _ACCOUNTS] -= number % 13 + 1
        expected[(number * 7 + 1) % _ACCOUNTS] += number % 13 + 1
    assert balances == expected
    assert engine.pool.checkedout() == 0
    assert engine.pool.waiting() == 0
    assert engine.pool.checkedin() <= engine.pool.size()
    _metadata.drop_all(engine)


def test_transactions_of_many_threads_add_up_on_sqlite(tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'accounts.db'}",
        poolclass=NativePool,
        pool_size=4,
        max_overflow=2,
        pool_timeout=120,
        # Ours to begin: see `_transfer`.
        connect_args={"timeout": 120, "isolation_level": None},
    )
    with engine.connect() as connection:
        connection.execute(text("pragma journal_mode = wal"))
        connection.execute(text("pragma synchronous = off"))
    _run_transactions(engine)
    engine.dispose()


@pytest.fixture(params=[False, True], ids=["fifo", "lifo"])
def engine(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of five connections to the real server."""
    made = create_engine(
        postgres.url(),
        poolclass=NativePool,
        pool_size=4,
        max_overflow=1,
        pool_timeout=120,
        pool_pre_ping=True,
        pool_use_lifo=request.param,
        connect_args={"application_name": "native-pool"},
    )
    yield made
    made.dispose()


def test_transactions_of_many_threads_add_up_on_postgres(engine: Engine, postgres: PostgresServer) -> None:
    _run_transactions(engine)
    assert len(postgres.backends("native-pool")) <= 4


def test_pre_ping_replaces_connections_that_the_server_has_ended(engine: Engine, postgres: PostgresServer) -> None:
    held = [engine.connect() for _ in range(4)]
    pids = [connection.execute(text("select pg_backend_pid()")).scalar() for connection in held]
    for connection in held:
        connection.close()
    postgres.terminate(*pids)
    for _ in range(4):
        with engine.connect() as connection:
            assert connection.execute(text("select pg_backend_pid()")).scalar() not in pids
    assert engine.pool.checkedout() == 0
    assert postgres.backends("native-pool")


def test_a_connection_that_the_server_ends_while_it_is_out_is_not_used_again(
    engine: Engine, postgres: PostgresServer
) -> None:
    with pytest.raises(exc.OperationalError) as caught, engine.connect() as connection:
        pid = connection.execute(text("select pg_backend_pid()")).scalar()
        postgres.terminate(pid)
        connection.execute(text("select 1"))
    assert caught.value.connection_invalidated
    assert engine.pool.checkedout() == 0
    with engine.connect() as connection:
        assert connection.execute(text("select pg_backend_pid()")).scalar() != pid


def test_it_works_again_when_the_server_is_back(engine: Engine, postgres: PostgresServer) -> None:
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    with postgres.away():
        for _ in range(8):
            with pytest.raises(exc.OperationalError):
                engine.connect()
        assert engine.pool.checkedout() == 0
    held = [engine.connect() for _ in range(5)]
    for connection in held:
        assert connection.execute(text("select 1")).scalar() == 1
        connection.close()
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (4, 0)


def test_when_many_threads_find_the_server_gone_each_connection_is_replaced_once(postgres: PostgresServer) -> None:
    engine = create_engine(postgres.url(), poolclass=NativePool, pool_size=12, max_overflow=0)
    pool = engine.pool
    made: list[object] = []
    event.listen(engine, "connect", lambda connection, record: made.append(connection))
    held = [engine.connect() for _ in range(12)]
    for connection in held:
        connection.execute(text("select 1"))
    with postgres.away():
        pass

    def find_out(connection: Any) -> None:
        with pytest.raises(exc.OperationalError):
            connection.execute(text("select 1"))

    in_threads(*[lambda connection=connection: find_out(connection) for connection in held])
    for connection in held:
        connection.close()
    held = [engine.connect() for _ in range(12)]
    for connection in held:
        assert connection.execute(text("select 1")).scalar() == 1
        connection.close()
    assert engine.pool is pool
    assert len(made) == 24
    assert (pool.checkedin(), pool.checkedout()) == (12, 0)
    engine.dispose()


def test_the_engine_disposes_of_its_connections(engine: Engine, postgres: PostgresServer) -> None:
    held = [engine.connect() for _ in range(3)]
    for connection in held:
        connection.execute(text("select 1"))
        connection.close()
    assert len(postgres.backends("native-pool")) == 3
    engine.dispose()
    assert isinstance(engine.pool, NativePool)
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from generate_series(1, 3)")).scalar() == 3


def test_an_asynchronous_engine_refuses_it(postgres: PostgresServer) -> None:
    with pytest.raises(exc.ArgumentError, match="NativePool cannot be used with asyncio engine"):
        create_engine(postgres.url("asyncpg"), poolclass=NativePool)


_FORKING = """
import os, sys
from sqlalchemy import create_engine, text
from nexus_core.sqlalchemy import NativePool

engine = create_engine(sys.argv[1], poolclass=NativePool, pool_size=2, max_overflow=0, pool_timeout=5)

def pid(connection):
    return connection.execute(text("select pg_backend_pid()")).scalar()

with engine.connect() as idle:
    before = pid(idle)
held = engine.connect()
assert pid(held) == before
raw = engine.raw_connection()
child = os.fork()
if child == 0:
    try:
        assert engine.pool.checkedin() == engine.pool.checkedout() == 0
        # What is given back here is not the child's, and not its pool's.
        engine.pool._do_return_conn(raw._connection_record)
        assert engine.pool.checkedin() == engine.pool.checkedout() == 0
        with engine.connect() as ours, engine.connect() as another:
            assert before not in (pid(ours), pid(another))
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    os._exit(1)
_, status = os.waitpid(child, 0)
assert status == 0, status
# The parent's connections were left alone.
assert pid(held) == before
held.close()
raw.close()
assert (engine.pool.checkedin(), engine.pool.checkedout()) == (2, 0)
with engine.connect() as first, engine.connect() as second:
    assert before in (pid(first), pid(second))
engine.dispose()
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_its_parents_connections_alone(postgres: PostgresServer) -> None:
    done = subprocess.run([sys.executable, "-c", _FORKING, postgres.url()], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("ok", 0), done.stderr


_FORKED_WITH_A_CONNECTION = """
import os, sys
from sqlalchemy import create_engine, text
from nexus_core.sqlalchemy import NativePool

engine = create_engine(f"sqlite:///{sys.argv[1]}", poolclass=NativePool, pool_size=2, max_overflow=0)
held = engine.connect()
held.execute(text("select 1"))
parents = held.connection.dbapi_connection
child = os.fork()
if child == 0:
    # While one that the child has just made is out, its parent's comes back.
    with engine.connect() as own:
        own.execute(text("select 1"))
        held.close()
        assert (engine.pool.checkedin(), engine.pool.checkedout()) == (0, 1), engine.pool.status()
        with engine.connect() as another:
            assert another.connection.dbapi_connection is not parents
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (2, 0), engine.pool.status()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_take_its_parents_connection_for_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FORKED_WITH_A_CONNECTION, str(tmp_path / "app.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("ok", 0), done.stderr


def test_it_says_what_to_install_where_sqlalchemy_is_missing() -> None:
    program = (
        "import sys\n"
        "sys.modules['sqlalchemy'] = None\n"
        "import nexus_core\n"
        "try:\n"
        "    import nexus_core.sqlalchemy\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done: Any = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "pip install nexus-core-rs[sqlalchemy]" in done.stdout, done.stderr
