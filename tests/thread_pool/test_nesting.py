"""Tasks that wait for tasks of their own pool: in processes of their own, as they might hang."""

from __future__ import annotations

import pytest

from task_graph.support import run_script

SOON = 60.0

BEGIN = """
        import asyncio, sys, threading, time
        from concurrent.futures import as_completed, wait, FIRST_COMPLETED
        from nexus_core import ThreadPool
"""


def prints(script: str, out: str) -> None:
    outcome = run_script(BEGIN + script, timeout=SOON)
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_recursive_function(workers: int) -> None:
    prints(
        f"""
        pool = ThreadPool({workers})
        def fib(n):
            if n < 2:
                return n
            one, two = pool.submit(fib, n - 1), pool.submit(fib, n - 2)
            return one.result() + two.result()
        print(pool.submit(fib, 15).result(), pool.statistics().most_threads <= {workers} + 1)
        """,
        "610 True\n",
    )


def test_a_chain_deeper_than_calls_may_nest() -> None:
    prints(
        """
        pool = ThreadPool(1)
        def down(n):
            return 0 if n == 0 else 1 + pool.submit(down, n - 1).result()
        print(pool.submit(down, 300).result())
        """,
        "300\n",
    )


def test_a_bounded_queue_beneath() -> None:
    prints(
        """
        pool = ThreadPool(2, max_queue_size=2)
        def fib(n):
            if n < 2:
                return n
            one, two = pool.submit(fib, n - 1), pool.submit(fib, n - 2)
            return one.result() + two.result()
        print([future.result() for future in [pool.submit(fib, 10) for _ in range(5)]])
        """,
        "[55, 55, 55, 55, 55]\n",
    )


WAYS = {
    "result": "future.result()",
    "exception": "future.exception()",
    "result with a limit": "future.result(timeout=50)",
    "wait": "wait([future])",
    "wait for the first": "wait([future], return_when=FIRST_COMPLETED)",
    "as completed": "list(as_completed([future]))",
    "map": "list(pool.map(str, range(5)))",
    "map in chunks": "list(pool.map(str, range(5), chunksize=2))",
    "map with a limit": "list(pool.map(str, range(5), timeout=50))",
    "event loop": "asyncio.run(in_loop())",
    "event loop, wrapped": "asyncio.run(wrapped(future))",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("workers", [1, 3])
def test_all_workers_wait_for_queued_tasks(way: str, workers: int) -> None:
    prints(
        f"""
        pool = ThreadPool({workers})
        async def in_loop():
            return await asyncio.get_running_loop().run_in_executor(pool, int)
        async def wrapped(future):
            return await asyncio.wrap_future(future)
        barrier = threading.Barrier({workers})
        def outer():
            barrier.wait()
            future = pool.submit(int)
            {WAYS[way]}
            return future.result()
        print([future.result() for future in [pool.submit(outer) for _ in range({workers})]])
        pool.shutdown()
        """,
        f"{[0] * workers}\n",
    )


def test_waits_inside_waits() -> None:
    prints(
        """
        pool = ThreadPool(1)
        def down(n):
            if n:
                wait([pool.submit(down, n - 1)])
            return n
        print(pool.submit(down, 20).result())
        """,
        "20\n",
    )


def test_the_pool_has_its_size_again_afterwards() -> None:
    prints(
        """
        pool = ThreadPool(1)
        def outer():
            wait([pool.submit(int) for _ in range(3)])
        for _ in range(3):
            pool.submit(outer).result()
        while pool.threads > 1:
            time.sleep(0.001)
        # One at a time, as before.
        running, most = 0, 0
        def count():
            global running, most
            running += 1
            most = max(most, running)
            time.sleep(0.001)
            running -= 1
        list(pool.map(lambda _: count(), range(30)))
        print(most)
        """,
        "1\n",
    )


def test_long_tasks_alone_start_no_thread_beyond_the_limit() -> None:
    prints(
        """
        pool = ThreadPool(2)
        futures = [pool.submit(time.sleep, 0.2) for _ in range(5)]
        wait(futures)
        print(pool.statistics().most_threads)
        """,
        "2\n",
    )


def test_a_task_may_ask_to_be_told_and_go_on_computing() -> None:
    prints(
        """
        pool = ThreadPool(1)
        told = threading.Event()
        def outer():
            pool.submit(int).add_done_callback(lambda _: told.set())
            return 5
        print(pool.submit(outer).result(), told.wait(20))
        """,
        "5 True\n",
    )


def test_two_pools_whose_tasks_wait_for_each_other() -> None:
    prints(
        """
        one, two = ThreadPool(1), ThreadPool(1)
        def ping(n):
            return n if n == 0 else two.submit(pong, n - 1).result() + 1
        def pong(n):
            return n if n == 0 else one.submit(ping, n - 1).result() + 1
        print(one.submit(ping, 12).result())
        """,
        "12\n",
    )


def test_two_pools_whose_tasks_wait_for_room_in_each_other() -> None:
    prints(
        """
        one, other = ThreadPool(1, max_queue_size=1), ThreadPool(1, max_queue_size=1)
        both = threading.Barrier(3)
        def submit_to(pool):
            both.wait(20)
            both.wait(20)
            return pool.submit(len, "abc")
        futures = [one.submit(submit_to, other), other.submit(submit_to, one)]
        both.wait(20)
        # Both queues are full now.
        futures += [one.submit(len, "a"), other.submit(len, "b")]
        both.wait(20)
        print([future.result(20).result(20) for future in futures[:2]], [future.result() for future in futures[2:]])
        """,
        "[3, 3] [1, 1]\n",
    )


def test_a_task_waits_for_the_end_of_a_pool_whose_tasks_wait_for_its_own() -> None:
    prints(
        """
        outer = ThreadPool(1)
        def task():
            with ThreadPool(1) as inner:
                future = inner.submit(lambda: outer.submit(len, "abc").result())
            return future.result()
        print(outer.submit(task).result(20))
        """,
        "3\n",
    )


def test_only_the_awaited_task_is_run_early() -> None:
    prints(
        """
        pool = ThreadPool(1)
        order = []
        def outer():
            pool.submit(order.append, "other")
            pool.submit(order.append, "awaited").result()
            order.append("outer")
        pool.submit(outer).result()
        pool.shutdown()
        print(order)
        """,
        "['awaited', 'outer', 'other']\n",
    )


def test_a_time_limit_holds_for_a_task_that_runs_for_longer() -> None:
    prints(
        """
        pool = ThreadPool(1)
        def outer():
            start = time.monotonic()
            try:
                pool.submit(time.sleep, 3).result(timeout=0.2)
            except TimeoutError:
                return time.monotonic() - start < 2
        print(pool.submit(outer).result())
        """,
        "True\n",
    )


def test_a_task_cannot_wait_for_the_end_of_its_own_pool() -> None:
    prints(
        """
        pool = ThreadPool(1, name="own")
        def outer():
            try:
                pool.shutdown()
            except RuntimeError as error:
                return str(error)
        print(pool.submit(outer).result())
        try:
            pool.submit(int)
        except RuntimeError as error:
            print(error)
        """,
        'a task of pool "own" cannot wait for the pool to shut down, which waits for the task; pass wait=False\n'
        "thread pool 'own' takes no more tasks: it was shut down\n",
    )
