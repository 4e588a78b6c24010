"""The end of the process: clean, and not kept up by what still runs."""

from __future__ import annotations

import pytest

from .support import Ended, run_script

SOON = 30.0

SLEEPERS = """
        import atexit, sys, threading, time
        from nexus_core import Input, TaskGraph
        from nexus_core.errors import RunTimeout

        def sleepers(count, seconds=60):
            graph = TaskGraph()
            for number in range(count):
                graph.add(f"n{number}", time.sleep, seconds)
            return graph
"""


def run(script: str, *options: str) -> Ended:
    return run_script(SLEEPERS + script, *options, timeout=SOON)


def assert_clean(outcome: Ended, out: str) -> None:
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("options", ["", "timeout=50"])
def test_exit_with_a_run_in_flight_on_a_daemon_thread(count: int, options: str) -> None:
    outcome = run(f"""
        threading.Thread(target=sleepers({count}).run, kwargs=dict({options}), daemon=True).start()
        time.sleep(0.3)
        print("end")
    """)
    assert_clean(outcome, "end\n")


def test_exit_with_many_short_nodes_in_flight_on_daemon_threads() -> None:
    for _ in range(5):
        outcome = run("""
        def forever():
            graph = sleepers(50, 0.001)
            while True:
                graph.run()
        for _ in range(4):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)
        print("end")
        """)
        assert_clean(outcome, "end\n")


def test_exit_while_daemon_threads_run_computing_nodes() -> None:
    for _ in range(5):
        outcome = run("""
        def spin(*_):
            end = time.monotonic() + 0.003
            while time.monotonic() < end:
                pass
            return [object()]
        def forever():
            graph = TaskGraph()
            first = [graph.add(f"a{n}", spin) for n in range(10)]
            for n in range(10):
                graph.add(f"b{n}", spin, {"k": first})
            while True:
                graph.run(outputs=[])
        for _ in range(3):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)
        print("end")
        """)
        assert_clean(outcome, "end\n")


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.5, 0.7, 60.0])
def test_exit_with_nodes_abandoned_by_a_timeout(seconds: float) -> None:
    # Some of these wake while the interpreter goes down, and must not disturb it.
    outcome = run(f"""
        try:
            sleepers(6, 0.1 + {seconds}).run(timeout=0.05)
        except RunTimeout:
            print("timeout")
    """)
    assert_clean(outcome, "timeout\n")


def test_abandoned_nodes_that_wake_at_every_moment_of_the_shutdown() -> None:
    outcome = run("""
        graph = TaskGraph()
        def node(seconds):
            time.sleep(seconds)
            return [{"result": object()}]
        for number in range(200):
            graph.add(f"n{number}", node, 0.2 + number * 0.005)
        try:
            graph.run(timeout=0.1, max_concurrency=200)
        except RunTimeout:
            print("timeout")
    """)
    assert_clean(outcome, "timeout\n")


def test_results_with_finalisers_may_be_dropped_while_the_interpreter_goes_down() -> None:
    outcome = run("""
        class Result:
            def __del__(self):
                for _ in range(100):
                    time.sleep(0.0001)
        def node(seconds, *_):
            time.sleep(seconds)
            return Result()
        graph = TaskGraph()
        for number in range(100):
            first = graph.add(f"a{number}", node, 0.3 + number * 0.005)
            graph.add(f"b{number}", node, 0, first)
        try:
            graph.run(timeout=0.1, max_concurrency=100, outputs=[])
        except RunTimeout:
            print("timeout")
    """)
    assert_clean(outcome, "timeout\n")


def test_graphs_run_in_exit_handlers_before_and_after_the_workers_went() -> None:
    outcome = run_script(
        """
        import atexit, time

        def last():  # registered first, so it comes when the workers are gone
            print(graph.run(), graph.run(timeout=20), flush=True)

        atexit.register(last)
        from nexus_core import TaskGraph
        graph = TaskGraph()
        for number in range(3):
            graph.add(f"n{number}", lambda n: time.sleep(0.01) or n, number)
        atexit.register(lambda: print(graph.run(timeout=20), flush=True))
        graph.run()
        """,
        timeout=SOON,
    )
    results = "{'n0': 0, 'n1': 1, 'n2': 2}"
    assert_clean(outcome, f"{results}\n{results} {results}\n")


def test_exit_handlers_come_while_workers_sleep() -> None:
    outcome = run("""
        atexit.register(print, "handler")
        threading.Thread(target=sleepers(6).run, daemon=True).start()
        time.sleep(0.2)
        sys.exit(0)
    """)
    assert_clean(outcome, "handler\n")


def test_a_thread_that_is_no_daemon_finishes_its_run_before_the_process_ends() -> None:
    outcome = run("""
        graph = sleepers(6, 0.3)
        graph.add("last", print, "done", flush=True)
        graph.after("last", *(f"n{number}" for number in range(6)))
        threading.Thread(target=graph.run).start()
    """)
    assert_clean(outcome, "done\n")


def test_exit_after_an_idle_pool() -> None:
    outcome = run("""
        sleepers(6, 0.01).run()
        print("end")
    """)
    assert_clean(outcome, "end\n")


def test_nothing_is_complained_about_in_development_mode_with_warnings_as_errors() -> None:
    outcome = run(
        """
        graph = sleepers(6, 0.01)
        graph.add("failing", lambda: 1 / 0)
        for _ in range(3):
            try:
                graph.run()
            except ZeroDivisionError:
                pass
        try:
            sleepers(6, 0.3).run(timeout=0.05)
        except RunTimeout:
            pass
        graph.compile().stepper().get_ready()
        print("end")
        """,
        "-X",
        "dev",
        "-W",
        "error",
    )
    assert_clean(outcome, "end\n")


def test_a_script_that_never_imports_threading() -> None:
    outcome = run_script(
        """
        import time
        from nexus_core import TaskGraph
        graph = TaskGraph()
        for number in range(6):
            graph.add(f"n{number}", time.sleep, 0.02)
        graph.run()
        import threading
        assert threading.current_thread() is threading.main_thread()
        print(threading.main_thread().name)
        """,
        timeout=SOON,
    )
    assert_clean(outcome, "MainThread\n")


def test_threading_imported_first_inside_a_node_on_a_worker() -> None:
    outcome = run_script(
        """
        import time
        from nexus_core import TaskGraph
        def node():
            time.sleep(0.02)
            import threading
            return threading.main_thread().name
        graph = TaskGraph()
        for number in range(6):
            graph.add(f"n{number}", node)
        print(set(graph.run().values()))
        """,
        timeout=SOON,
    )
    assert_clean(outcome, "{'MainThread'}\n")


@pytest.mark.parametrize("place", ["caller", "worker"])
def test_recursion_to_the_limit_inside_a_node_is_an_ordinary_error(place: str) -> None:
    outcome = run(f"""
        here = threading.get_ident()
        def recurse(n):
            return recurse(n + 1)
        def node():
            time.sleep(0.02)
            if (threading.get_ident() == here) == ({place!r} == "caller"):
                try:
                    recurse(0)
                except RecursionError:
                    return True
        graph = TaskGraph()
        graph.add("a", node)
        graph.add("b", node)
        print(any(graph.run().values()))
    """)
    assert_clean(outcome, "True\n")


def test_a_graph_that_runs_itself_without_end_is_an_ordinary_error() -> None:
    outcome = run("""
        graph = TaskGraph()
        graph.add("own", lambda: graph.run())
        wide = TaskGraph()
        for number in range(3):
            wide.add(f"n{number}", lambda: time.sleep(0.02) or graph.run())
        for each in (graph, wide):
            try:
                each.run()
            except RecursionError as error:
                print("deep enough")
    """)
    assert_clean(outcome, "deep enough\ndeep enough\n")


def test_a_recursion_limit_of_ten_thousand_holds_on_a_worker_too() -> None:
    outcome = run("""
        sys.setrecursionlimit(10_000)
        def depth(n):
            try:
                return depth(n + 1)
            except RecursionError:
                return n
        def node():
            time.sleep(0.02)
            return depth(0)
        graph = TaskGraph()
        for number in range(6):
            graph.add(f"n{number}", node)
        print(min(graph.run().values()) > 9_000)
    """)
    assert_clean(outcome, "True\n")
