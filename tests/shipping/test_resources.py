"""Pools on their way to another process."""

from __future__ import annotations

from pathlib import Path

from nexus_core import ConnectionPool, ThreadPool
from nexus_core.connection_factories import sqlite_factory
from nexus_core.shipping import pack, unpack
from shipping.far import in_another_process

FAR = """
    from nexus_core.shipping import pack, unpack
    pools = unpack(given)
    same = pools["again"] is pools["pool"] is unpack(given)["pool"]
    with pools["pool"].connection() as connection:
        found = connection.execute("select value from kept").fetchone()[0]
    threads = pools["threads"]
    answer = same, found, pools["pool"].name, threads.submit(pow, 2, 5).result(), threads.name, threads.max_workers
    threads.shutdown()
    pools["pool"].close()
"""


def test_a_pool_is_made_again_once_a_process(tmp_path: Path) -> None:
    with (
        sqlite_factory(str(tmp_path / "kept.db")).pool(name="kept", max_size=2) as pool,
        ThreadPool(3, name="few") as threads,
    ):
        with pool.connection() as connection:
            connection.execute("create table kept (value integer)")
            connection.execute("insert into kept values (42)")
            connection.commit()
        sent = pack({"pool": pool, "again": pool, "threads": threads})
        back = unpack(sent)
        assert back["pool"] is pool
        assert back["threads"] is threads
        assert in_another_process(FAR, sent) == (True, 42, "kept", 32, "few", 3)


def test_a_pool_of_a_function_goes_with_its_options(tmp_path: Path) -> None:
    path = str(tmp_path / "own.db")

    def connect() -> object:
        import sqlite3

        return sqlite3.connect(path, check_same_thread=False)

    with ConnectionPool(connect, name="own", max_size=1, max_uses=5) as pool:
        _, options = pool._made_with
        assert (options["max_size"], options["max_uses"]) == (1, 5)
        program = """
            from nexus_core.shipping import unpack
            with unpack(given) as pool:
                with pool.connection() as connection:
                    answer = connection.execute("select 6 * 7").fetchone(), pool.statistics().max_size
        """
        assert in_another_process(program, pack(pool)) == ((42,), 1)
