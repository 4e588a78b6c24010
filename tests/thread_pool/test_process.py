"""The pool and its process: its end, Ctrl-C, and children."""

from __future__ import annotations

import pytest

from task_graph.support import Ended, ended, interrupt_when_ready, run_script, start_script

SOON = 40.0

BEGIN = """
        import atexit, os, signal, sys, threading, time
        from concurrent.futures import wait, as_completed
        from nexus_core import ThreadPool
        from nexus_core.errors import PoolShutdown

        def status(pid):
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                found, code = os.waitpid(pid, os.WNOHANG)
                if found:
                    return os.waitstatus_to_exitcode(code)
                time.sleep(0.002)
            os.kill(pid, signal.SIGABRT)
            os.waitpid(pid, 0)
            return "hung"
"""


def run(script: str, *options: str) -> Ended:
    return run_script(BEGIN + script, *options, timeout=SOON)


def prints(script: str, out: str, *options: str) -> None:
    outcome = run(script, *options)
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


def test_what_is_queued_at_the_end_of_the_script_still_runs() -> None:
    prints(
        """
        pool = ThreadPool(1)
        pool.submit(time.sleep, 0.3)
        for n in range(3):
            pool.submit(print, n, flush=True)
        print("end", flush=True)
        """,
        "end\n0\n1\n2\n",
    )


@pytest.mark.parametrize("ending", ["pool.shutdown(wait=False)", "del pool"])
def test_so_does_what_a_pool_has_queued_that_was_left(ending: str) -> None:
    prints(
        f"""
        pool = ThreadPool(2)
        pool.submit(time.sleep, 0.3)
        pool.submit(time.sleep, 0.3)
        pool.submit(print, "late", flush=True)
        {ending}
        print("end", flush=True)
        """,
        "end\nlate\n",
    )


def test_what_was_cancelled_at_the_end_does_not() -> None:
    prints(
        """
        pool = ThreadPool(1)
        pool.submit(time.sleep, 0.3)
        pool.submit(print, "late", flush=True)
        pool.shutdown(wait=False, cancel_futures=True)
        """,
        "",
    )


def test_nothing_is_accepted_once_the_interpreter_goes_down() -> None:
    prints(
        """
        pool = ThreadPool(1, name="late")
        def submit():
            try:
                pool.submit(int)
            except PoolShutdown as error:
                print(error, flush=True)
        pool.submit(lambda: (time.sleep(0.3), submit()))
        atexit.register(submit)
        """,
        "thread pool 'late' takes no more tasks: the interpreter is shutting down\n" * 2,
    )


def test_a_pool_made_while_the_interpreter_goes_down_accepts_nothing() -> None:
    prints(
        """
        def make():
            time.sleep(0.3)
            try:
                ThreadPool(1, min_workers=1).submit(time.sleep, 60)
            except PoolShutdown as refused:
                print("interpreter is shutting down" in str(refused), flush=True)

        ThreadPool(1).submit(make)
        """,
        "True\n",
    )


def test_threads_that_wait_for_tasks_at_the_end_get_them() -> None:
    prints(
        """
        pool = ThreadPool(1)
        pool.submit(time.sleep, 0.3)
        future = pool.submit(pow, 2, 5)
        threading.Thread(target=lambda: print(future.result(), flush=True)).start()
        """,
        "32\n",
    )


def test_idle_threads_at_the_end_are_no_trouble() -> None:
    prints(
        """
        pools = [ThreadPool(4, min_workers=4) for _ in range(5)]
        for pool in pools:
            list(pool.map(time.sleep, [0.01] * 8))
        print("end")
        """,
        "end\n",
        "-X",
        "dev",
        "-W",
        "error",
    )


def test_an_unhandled_error_ends_the_process_after_the_tasks() -> None:
    outcome = run("""
        pool = ThreadPool(1)
        pool.submit(time.sleep, 0.2)
        pool.submit(print, "late", flush=True)
        raise SystemExit(3)
    """)
    assert (outcome.code, outcome.out, outcome.err) == (3, "late\n", "")


def test_a_daemon_thread_that_waits_for_a_task_is_no_trouble() -> None:
    prints(
        """
        pool = ThreadPool(1)
        future = pool.submit(time.sleep, 0.3)
        for _ in range(5):
            threading.Thread(target=future.result, daemon=True).start()
        for _ in range(5):
            threading.Thread(target=lambda: wait([future]), daemon=True).start()
        time.sleep(0.1)
        """,
        "",
    )


INTERRUPTED = """
        pool = ThreadPool(1, max_queue_size=1)
        future = pool.submit(time.sleep, 3)
        queued = pool.submit(time.sleep, 0)
        print("ready", flush=True)
        start = time.monotonic()
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - start < 2.5, flush=True)
"""


@pytest.mark.parametrize(
    "wait",
    [
        "future.result()",
        "future.result(50)",
        "future.exception()",
        "wait([future])",
        "list(as_completed([future]))",
        "pool.submit(print, 'not to be run')",
        "pool.submit_with(print, 'not to be run', timeout=50)",
        "list(pool.map(print, ['not to be run']))",
        "pool.shutdown()",
    ],
)
def test_ctrl_c_ends_a_wait(wait: str) -> None:
    process = start_script(BEGIN + INTERRUPTED.format(wait=wait))
    interrupt_when_ready(process)
    outcome = ended(process, timeout=SOON)
    assert (outcome.code, outcome.out, outcome.err) == (0, "interrupted True\n", "")


def test_ctrl_c_ends_the_wait_for_the_last_tasks() -> None:
    process = start_script(
        BEGIN
        + """
        ThreadPool(1).submit(time.sleep, 100)
        print("ready", flush=True)
        """
    )
    interrupt_when_ready(process, delay=1.0)
    outcome = ended(process, timeout=SOON)
    assert "KeyboardInterrupt" in outcome.err
    assert "panic" not in outcome.err
    assert "Fatal" not in outcome.err
    assert outcome.code >= 0


def test_a_forked_child_has_an_empty_pool_of_the_same_size() -> None:
    prints(
        """
        pool = ThreadPool(2, max_queue_size=5, name="forked", initializer=int)
        list(pool.map(str, range(10)))
        pool.resize(3)
        gate = threading.Event()
        running = [pool.submit(gate.wait) for _ in range(3)]
        queued = [pool.submit(int) for _ in range(2)]
        pid = os.fork()
        if pid == 0:
            assert pool.queue_size == 0 and pool.threads == 0 and pool.statistics().submitted == 0
            assert (pool.max_workers, pool.max_queue_size, pool.name) == (3, 5, "forked")
            assert list(pool.map(str, range(100))) == [str(n) for n in range(100)]
            pool.shutdown()
            os._exit(7)
        gate.set()
        print(status(pid), [future.result() for future in queued], list(pool.map(str, range(3))))
        """,
        "7 [0, 0] ['0', '1', '2']\n",
    )


def test_a_child_is_told_that_a_task_is_its_parents() -> None:
    prints(
        """
        pool = ThreadPool(1)
        gate = threading.Event()
        running, queued = pool.submit(gate.wait), pool.submit(int)
        done = pool.submit(int)
        pid = os.fork()
        if pid == 0:
            for future in (running, queued):
                try:
                    future.result()
                except RuntimeError as error:
                    assert "submit it anew in the child" in str(error)
                else:
                    os._exit(1)
            assert queued.cancel()
            os._exit(0)
        gate.set()
        print(status(pid), queued.result(), queued.cancelled())
        """,
        "0 0 False\n",
    )


def test_a_child_ends_with_its_own_tasks() -> None:
    prints(
        """
        pool = ThreadPool(1)
        pool.submit(int).result()
        pid = os.fork()
        if pid == 0:
            pool.submit(time.sleep, 0.1)
            pool.submit(print, "late", flush=True)
            sys.exit(5)
        print(status(pid))
        """,
        "late\n5\n",
    )


def test_a_pool_that_was_shut_down_is_so_in_the_child() -> None:
    prints(
        """
        pool = ThreadPool(1)
        pool.submit(int).result()
        pool.shutdown()
        pid = os.fork()
        if pid == 0:
            try:
                pool.submit(int)
            except PoolShutdown:
                os._exit(3)
            os._exit(1)
        print(status(pid))
        """,
        "3\n",
    )


def test_a_task_that_forks() -> None:
    prints(
        """
        pool = ThreadPool(2)
        def fork():
            pid = os.fork()
            if pid == 0:
                os._exit(0 if pool.submit(int, "4").result() == 4 else 1)
            return status(pid)
        print([future.result() for future in [pool.submit(fork) for _ in range(6)]])
        def fork_and_return():
            pid = os.fork()
            return status(pid) if pid else None
        print(pool.submit(fork_and_return).result() is not None)
        """,
        "[0, 0, 0, 0, 0, 0]\nTrue\n",
    )


def test_forking_while_threads_submit() -> None:
    prints(
        """
        pool = ThreadPool(3, max_queue_size=10)
        stop = threading.Event()
        def forever():
            while not stop.is_set():
                pool.submit(int).result()
        threads = [threading.Thread(target=forever) for _ in range(3)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(20):
            time.sleep(0.002)
            pid = os.fork()
            if pid == 0:
                os._exit(0 if list(pool.map(str, range(30))) == [str(n) for n in range(30)] else 1)
            codes.append(status(pid))
        stop.set()
        for thread in threads:
            thread.join()
        print(set(codes))
        """,
        "{0}\n",
    )


def test_multiprocessing_forks_with_pools() -> None:
    prints(
        """
        import multiprocessing
        pool = ThreadPool(2)
        def work(n):
            return sum(pool.map(int, range(n)))
        work(5)
        with multiprocessing.get_context("fork").Pool(2) as processes:
            print(processes.map(work, range(6)))
        """,
        "[0, 0, 1, 3, 6, 10]\n",
    )


def test_recursion_to_the_limit_inside_a_task_is_an_ordinary_error() -> None:
    prints(
        """
        def recurse():
            return recurse()
        pool = ThreadPool(1)
        print(type(pool.submit(recurse).exception()).__name__)
        """,
        "RecursionError\n",
    )
