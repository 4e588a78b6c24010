"""``os.fork``: parent and child both go on running graphs."""

from __future__ import annotations

import os

import pytest

from .support import Ended, run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

SOON = 60.0

BEGIN = """
        import os, sys, threading, time
        from nexus_core import Input, TaskGraph

        def wide(node=lambda n: time.sleep(0.01) or n, count=6):
            graph = TaskGraph()
            for number in range(count):
                graph.add(f"n{number}", node, number)
            return graph

        EXPECTED = {f"n{number}": number for number in range(6)}

        def status(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(script: str) -> Ended:
    return run_script(BEGIN + script, timeout=SOON)


def assert_clean(outcome: Ended, out: str) -> None:
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


def test_a_child_forked_after_use_runs_graphs_and_so_does_the_parent() -> None:
    outcome = run("""
        graph = wide()
        assert graph.run() == EXPECTED
        pid = os.fork()
        if pid == 0:
            ok = graph.run() == EXPECTED and graph.run(timeout=30) == EXPECTED and wide().run() == EXPECTED
            os._exit(0 if ok else 1)
        assert graph.run() == EXPECTED
        print(status(pid))
        assert graph.run(timeout=30) == EXPECTED
    """)
    assert_clean(outcome, "0\n")


def test_a_child_ends_as_the_parent_does() -> None:
    outcome = run("""
        graph = wide()
        graph.run()
        pid = os.fork()
        if pid == 0:
            graph.run()
            sys.exit(5)  # with exit handlers and the interpreter's own end
        print(status(pid))
    """)
    assert_clean(outcome, "5\n")


def test_children_of_children() -> None:
    outcome = run("""
        graph = wide()
        graph.run()
        def descend(depth):
            pid = os.fork()
            if pid == 0:
                code = 0 if graph.run() == EXPECTED else 1
                os._exit(code if depth == 0 else descend(depth - 1))
            assert graph.run() == EXPECTED
            return status(pid)
        print(descend(3))
    """)
    assert_clean(outcome, "0\n")


@pytest.mark.parametrize("place", ["caller", "worker"])
def test_a_node_forks_a_child_that_runs_graphs_and_exits(place: str) -> None:
    outcome = run(f"""
        here = threading.get_ident()
        inner = wide()
        def node(n):
            time.sleep(0.02)
            if (threading.get_ident() == here) == ({place!r} == "caller"):
                pid = os.fork()
                if pid == 0:
                    os._exit(0 if inner.run() == EXPECTED and inner.run(timeout=30) == EXPECTED else 1)
                assert status(pid) == 0
            return n
        assert wide(node).run() == EXPECTED
        print("end")
    """)
    assert_clean(outcome, "end\n")


def test_a_child_forked_in_a_sequential_run_goes_on_with_it() -> None:
    outcome = run("""
        pids = []
        def node(n):
            if n == 2:
                pids.append(os.fork())
            return n
        result = wide(node).run(max_concurrency=1)
        assert result == EXPECTED
        if pids[0] == 0:
            os._exit(7)
        print(status(pids[0]))
    """)
    assert_clean(outcome, "7\n")


def test_a_child_whose_run_lost_its_workers_is_told_so() -> None:
    outcome = run("""
        here = threading.get_ident()
        pids = []
        started = threading.Event()
        def node(n):
            if threading.get_ident() == here:
                started.wait(20)
                if not pids:
                    pids.append(os.fork())
            else:
                started.set()
                time.sleep(0.3)
            return n
        graph = wide(node)
        try:
            assert graph.run() == EXPECTED
        except RuntimeError as error:
            assert pids == [0], error
            assert "run the graph anew in the child" in str(error)
            os._exit(9 if wide().run() == EXPECTED else 1)
        print(status(pids[0]))
    """)
    assert_clean(outcome, "9\n")


def test_a_child_that_returns_from_a_node_on_a_worker_ends() -> None:
    outcome = run("""
        here = threading.get_ident()
        forked = []
        lock = threading.Lock()
        def node(n):
            time.sleep(0.02)
            if threading.get_ident() != here:
                with lock:
                    if not forked:
                        forked.append(os.fork())
            return n
        assert wide(node).run() == EXPECTED
        status(forked[0])
        print("end")
    """)
    assert_clean(outcome, "end\n")


def test_a_pool_of_forked_processes_runs_graphs() -> None:
    outcome = run("""
        import multiprocessing
        graph = TaskGraph()
        parts = [graph.add(f"n{n}", lambda x: time.sleep(0.005) or x, Input("x")) for n in range(4)]
        graph.add("sum", sum, parts)
        compiled = graph.compile()
        compiled.run({"x": 1})
        def work(x):
            return compiled.run({"x": x}, outputs=["sum"])["sum"]
        with multiprocessing.get_context("fork").Pool(3) as pool:
            print(pool.map(work, range(20)) == [4 * x for x in range(20)])
        print(work(5))
    """)
    assert_clean(outcome, "True\n20\n")


def test_processes_started_from_nodes() -> None:
    outcome = run("""
        import multiprocessing
        context = multiprocessing.get_context("fork")
        inner = wide()
        def child(queue):
            queue.put(inner.run() == EXPECTED)
        def node(n):
            queue = context.SimpleQueue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            result = queue.get()
            process.join(30)
            assert process.exitcode == 0, process.exitcode
            return result
        print(set(wide(node).run().values()))
    """)
    assert_clean(outcome, "{True}\n")


def test_forking_while_other_threads_run_graphs() -> None:
    outcome = run("""
        graph = wide()
        stop = threading.Event()
        def forever():
            while not stop.is_set():
                assert graph.run() == EXPECTED
        threads = [threading.Thread(target=forever) for _ in range(3)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(20):
            time.sleep(0.003)
            pid = os.fork()
            if pid == 0:
                os._exit(0 if graph.run() == EXPECTED and wide().run(timeout=30) == EXPECTED else 1)
            codes.append(status(pid))
        stop.set()
        for thread in threads:
            thread.join()
        print(set(codes))
    """)
    assert_clean(outcome, "{0}\n")
