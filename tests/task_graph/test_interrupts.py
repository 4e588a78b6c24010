"""Ctrl-C while nodes sleep: the process ends long before the nodes would."""

from __future__ import annotations

import signal
import sys

import pytest

from .support import Ended, ended, interrupt_when_ready, run_script, start_script

# What the nodes sleep, and when a script that was interrupted must be over at the latest.
SLEEP = 60
SOON = 30.0

INTERRUPTED = """
    import signal, sys, threading, time
    from nexus_core import CancellationToken, Input, Ref, TaskGraph
    SLEEP = {sleep}
    {preparation}
    print("ready", flush=True)
    start = time.perf_counter()
    try:
        {run}
    except KeyboardInterrupt as error:
        print("interrupted", time.perf_counter() - start, flush=True)
        print(getattr(error, "__notes__", []), flush=True)
    else:
        print("not interrupted")
"""

SLEEPERS = """
    graph = TaskGraph()
    for number in range({count}):
        graph.add(f"n{{number}}", time.sleep, SLEEP)
"""


def interrupt(preparation: str, run: str) -> Ended:
    script = INTERRUPTED.format(sleep=SLEEP, preparation=preparation.strip(), run=run)
    process = start_script(script)
    interrupt_when_ready(process)
    outcome = ended(process, timeout=SOON)
    print(f"interrupted after 0.3 s: {outcome.out.splitlines()[:1]}, process over {outcome.seconds:.3f} s later")
    return outcome


def assert_interrupted(outcome: Ended) -> None:
    assert outcome.out.startswith("interrupted"), outcome
    assert (outcome.code, outcome.err) == (0, ""), outcome


@pytest.mark.parametrize("options", ["", "max_concurrency=1", "max_concurrency=4", "timeout=50"])
@pytest.mark.parametrize("count", [1, 6])
def test_ctrl_c_ends_a_run_whose_nodes_sleep(count: int, options: str) -> None:
    assert_interrupted(interrupt(SLEEPERS.format(count=count), f"graph.run({options})"))


def test_ctrl_c_ends_a_second_run_that_starts_with_workers() -> None:
    preparation = """
    seconds = 0.01
    graph = TaskGraph()
    for number in range(6):
        graph.add(f"n{number}", lambda: time.sleep(seconds))
    graph.run(); graph.run()
    seconds = SLEEP
    """
    assert_interrupted(interrupt(preparation, "graph.run()"))


def test_ctrl_c_ends_a_caller_that_waits_while_only_workers_sleep() -> None:
    preparation = """
    here = threading.get_ident()
    def node():
        # The caller's own node is short.
        time.sleep(0.02 if threading.get_ident() == here else SLEEP)
    graph = TaskGraph()
    for number in range(3):
        graph.add(f"n{number}", node)
    """
    assert_interrupted(interrupt(preparation, "graph.run(max_concurrency=3)"))


def test_ctrl_c_ends_a_run_of_nodes_that_compute() -> None:
    preparation = """
    def spin(*_):
        end = time.monotonic() + SLEEP
        while time.monotonic() < end:
            pass
    graph = TaskGraph()
    graph.add("n0", spin); graph.add("n1", spin)
    """
    assert_interrupted(interrupt(preparation, "graph.run()"))


def test_ctrl_c_ends_a_long_run_of_short_native_nodes() -> None:
    preparation = """
    graph = TaskGraph()
    last = graph.add("n0", int)
    for number in range(1, 100_000):
        last = graph.add(f"n{number}", abs, last)
    compiled = graph.compile()
    def forever():
        while True:
            compiled.run(outputs=[last])
    """
    assert_interrupted(interrupt(preparation, "forever()"))


def test_ctrl_c_ends_nested_runs() -> None:
    preparation = """
    graph = TaskGraph()
    for number in range(3):
        graph.add(f"n{number}", lambda depth: time.sleep(SLEEP) if depth == 0 else graph.run({"d": depth - 1}), Input("d"))
    """
    assert_interrupted(interrupt(preparation, 'graph.run({"d": 3})'))


def test_the_node_that_ctrl_c_hit_is_named() -> None:
    outcome = interrupt(SLEEPERS.format(count=1), "graph.run()")
    assert outcome.out.splitlines()[1] == "[\"raised by node 'n0'\"]"


def test_no_node_starts_after_ctrl_c_and_the_program_goes_on() -> None:
    preparation = """
    started = []
    def node(number):
        started.append(number)
        time.sleep(0.5)
    graph = TaskGraph()
    for number in range(1000):
        graph.add(f"n{number}", node, number)
    """
    run = """
            graph.run(max_concurrency=4)
        finally:
            count = len(started)
            time.sleep(1)
            assert len(started) == count, (count, started)
            assert count < 30
            small = TaskGraph()
            for number in range(6):
                small.add(f"n{number}", lambda n: time.sleep(0.01) or n, number)
            assert list(small.run().values()) == list(range(6))
    """
    outcome = interrupt(preparation, f"try:{run.rstrip()}")
    assert_interrupted(outcome)


def test_an_uncaught_ctrl_c_ends_the_process_as_it_does_without_us() -> None:
    process = start_script("""
        import time
        from nexus_core import TaskGraph
        graph = TaskGraph()
        for number in range(6):
            graph.add(f"n{number}", time.sleep, 60)
        print("ready", flush=True)
        graph.run()
    """)
    interrupt_when_ready(process)
    outcome = ended(process, timeout=SOON)
    assert outcome.code == -signal.SIGINT
    assert "KeyboardInterrupt" in outcome.err
    assert "Fatal" not in outcome.err


def test_another_signal_s_handler_runs_while_the_caller_waits() -> None:
    outcome = run_script(
        """
        import os, signal, threading, time
        from nexus_core import TaskGraph
        class Alarm(Exception): pass
        def handler(*_): raise Alarm
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        graph = TaskGraph()
        for number in range(6):
            graph.add(f"n{number}", time.sleep, 60)
        try:
            graph.run(timeout=50)
        except Alarm:
            print("alarm")
    """,
        timeout=SOON,
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "alarm\n", "")


@pytest.mark.parametrize("place", ["caller", "worker"])
def test_sys_exit_in_a_node_ends_the_process_with_its_code(place: str) -> None:
    outcome = run_script(
        f"""
        import sys, threading, time
        from nexus_core import TaskGraph
        here = threading.get_ident()
        def node():
            time.sleep(0.05)
            if (threading.get_ident() == here) == ({place!r} == "caller"):
                sys.exit(3)
            if {place!r} == "caller":
                time.sleep(60)  # on a worker: not waited for
        graph = TaskGraph()
        graph.add("a", node)
        graph.add("b", node)
        graph.run()
    """,
        timeout=SOON,
    )
    assert (outcome.code, outcome.out, outcome.err) == (3, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="pthread_kill is needed")
def test_ctrl_c_reaches_the_main_thread_while_another_thread_s_run_goes_on() -> None:
    outcome = interrupt(
        """
    graph = TaskGraph()
    for number in range(3):
        graph.add(f"n{number}", lambda n: time.sleep(1) or n, number)
    results = []
    thread = threading.Thread(target=lambda: results.append(graph.run()))
    thread.start()
    """,
        "thread.join()",
    )
    assert_interrupted(outcome)
