"""Forks, and the end of the process."""

from __future__ import annotations

import os

import pytest

from task_graph.support import Ended, run_script

BEGIN = """
        import asyncio, gc, os, sqlite3, sys, threading, time
        from nexus_core import ConnectionPool
        from nexus_core.errors import ForeignConnection, PoolTimeout

        class Connection:
            def __init__(self):
                self.process = os.getpid()
            def close(self):
                closed.append(self)
            def __del__(self):
                dropped.append(self.process)

        closed, dropped = [], []

        def status(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def run(script: str) -> Ended:
    return run_script(BEGIN + script, timeout=60)


def assert_clean(outcome: Ended, out: str) -> None:
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


@forks
def test_a_child_begins_with_an_empty_pool_and_leaves_its_parents_alone() -> None:
    assert_clean(
        run("""
        pool = ConnectionPool(Connection, min_size=2, max_size=3)
        pool.wait()
        held = pool.getconn()
        with pool.connection() as inside:
            pid = os.fork()
            if pid == 0:
                assert pool.get_stats()["pool_size"] == 0
                assert pool.get_stats()["requests_num"] == 0
        if pid == 0:
            try:
                pool.putconn(held)
            except ForeignConnection:
                pass
            with pool.connection() as own:
                assert own.process == os.getpid()
            assert pool.get_stats()["pool_size"] >= 1
            del held, inside
            pool.close()
            del pool
            gc.collect()
            assert all(connection.process == os.getpid() for connection in closed), closed
            parents = [process for process in dropped if process != os.getpid()]
            os._exit(len(parents))
        print(status(pid))
        assert pool.get_stats()["pool_size"] == 2
        pool.putconn(held)
        pool.close()
        print(len(closed))
    """),
        "0\n2\n",
    )


@forks
def test_a_child_keeps_the_sizes_of_its_parent() -> None:
    assert_clean(
        run("""
        pool = ConnectionPool(Connection, max_size=1)
        pool.resize(0, 2)
        with pool.connection():
            pid = os.fork()
            if pid == 0:
                with pool.connection(), pool.connection():
                    try:
                        pool.getconn(0)
                    except PoolTimeout:
                        os._exit(0)
                os._exit(1)
        print(status(pid))
        pool.close()
    """),
        "0\n",
    )


@forks
def test_forking_while_threads_use_the_pool() -> None:
    assert_clean(
        run("""
        pool = ConnectionPool(Connection, max_size=2)
        stop = threading.Event()
        def use():
            while not stop.is_set():
                with pool.connection():
                    pass
        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(15):
            time.sleep(0.003)
            pid = os.fork()
            if pid == 0:
                with pool.connection() as a, pool.connection() as b:
                    ok = a is not b and a.process == b.process == os.getpid()
                pool.close()
                os._exit(0 if ok else 1)
            codes.append(status(pid))
        stop.set()
        for thread in threads:
            thread.join()
        pool.close()
        print(set(codes))
    """),
        "{0}\n",
    )


@forks
def test_a_child_exits_as_any_process_does() -> None:
    assert_clean(
        run("""
        pool = ConnectionPool(Connection, min_size=1)
        pool.wait()
        pid = os.fork()
        if pid == 0:
            with pool.connection():
                pass
            sys.exit(5)
        print(status(pid))
    """),
        "5\n",
    )


@forks
def test_a_pool_of_coroutine_functions_works_in_a_child() -> None:
    assert_clean(
        run("""
        async def connect():
            return Connection()
        pool = ConnectionPool(connect)
        async def main():
            async with pool.aconnection() as connection:
                return connection.process
        async def parent():
            assert await main() == os.getpid()
            pid = os.fork()
            if pid:
                print(status(pid))
                await pool.aclose()
            return pid
        if asyncio.run(parent()) == 0:
            os._exit(0 if asyncio.run(main()) == os.getpid() else 1)
    """),
        "0\n",
    )


@pytest.mark.parametrize("state", ["idle", "out", "connecting", "waiting", "checking", "failing", "closed"])
def test_the_process_ends_whatever_its_pools_do(state: str) -> None:
    assert_clean(
        run(f"""
        state = {state!r}
        def connect():
            if state == "failing":
                raise OSError("away")
            if state == "connecting":
                time.sleep(60)
            return Connection()
        def check(connection):
            if state == "checking":
                time.sleep(60)
        import logging
        logging.disable()
        pool = ConnectionPool(connect, min_size=2, max_size=2, check=check if state == "checking" else None)
        if state not in ("failing", "connecting"):
            pool.wait()
        if state in ("out", "waiting"):
            held = [pool.getconn(), pool.getconn()]
        if state in ("waiting", "connecting", "failing", "checking"):
            for _ in range(3):
                threading.Thread(target=pool.getconn, daemon=True).start()
        if state == "closed":
            pool.close()
        time.sleep(0.2)
        print("end")
    """),
        "end\n",
    )


def test_the_process_ends_while_daemon_threads_use_its_pool() -> None:
    for _ in range(3):
        assert_clean(
            run("""
        pool = ConnectionPool(Connection, max_size=2, check=lambda connection: None)
        def use():
            while True:
                with pool.connection():
                    pass
        for _ in range(4):
            threading.Thread(target=use, daemon=True).start()
        time.sleep(0.2)
        print("end")
        """),
            "end\n",
        )


def test_hooks_that_return_at_every_moment_of_the_shutdown() -> None:
    assert_clean(
        run("""
        import itertools
        delays = itertools.count()
        def connect():
            time.sleep(0.2 + next(delays) * 0.01)
            return Connection()
        pools = [ConnectionPool(connect, min_size=1) for _ in range(60)]
        time.sleep(0.1)
        print("end")
    """),
        "end\n",
    )
