"""What happens to a whole process: Ctrl-C, exit, fork, recursion, very deep chains. Each in its own."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from .support import run_python


def statuses(home: Path) -> list[str]:
    connection = sqlite3.connect(home / ".kailash" / "tracking" / "tracking.db")
    try:
        return [status for (status,) in connection.execute("SELECT status FROM workflow_runs ORDER BY started_at")]
    finally:
        connection.close()


SLEEPERS = {
    "one node on the caller": '{"n": "import time\\ntime.sleep(200)"}',
    "nodes on workers": '{f"n{i}": "import time\\ntime.sleep(200)" for i in range(5)}',
    "functions on workers": "None",
}


@pytest.mark.parametrize("what", SLEEPERS)
@pytest.mark.parametrize("monitored", [True, False])
def test_an_interruption_ends_the_run_and_the_process(what: str, monitored: bool, tmp_path: Path) -> None:
    """The nodes would sleep longer than the process is given."""
    done = run_python(
        f"""
        codes = {SLEEPERS[what]}
        if codes is None:
            workflow = function_workflow({{f"n{{i}}": (lambda: time.sleep(200)) for i in range(5)}})
        else:
            workflow = code_workflow(codes)
        timer = threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with LocalRuntime(enable_monitoring={monitored}) as runtime:
            print(runtime.execute(code_workflow({{"n": "result = 1"}}))[0])
            try:
                runtime.execute(workflow)
            except KeyboardInterrupt:
                print("interrupted")
            print(runtime.execute(code_workflow({{"n": "result = 2"}}))[0])
        """,
        tmp_path,
        timeout=100,
    )
    assert done.stdout.splitlines() == ["{'n': {'result': 1}}", "interrupted", "{'n': {'result': 2}}"], done.stderr
    assert done.returncode == 0
    if monitored:
        assert [s for s in statuses(tmp_path) if s == "completed"] == ["completed"] * 2


def test_an_interruption_that_nobody_catches_ends_the_process(tmp_path: Path) -> None:
    done = run_python(
        """
        threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        workflow = code_workflow({f"n{i}": "import time\\ntime.sleep(200)" for i in range(3)})
        with LocalRuntime() as runtime:
            runtime.execute(workflow)
        """,
        tmp_path,
        timeout=100,
    )
    assert done.returncode != 0
    assert done.stderr.rstrip().splitlines()[-1] == "KeyboardInterrupt"


def test_exit_with_a_run_in_flight_on_a_daemon_thread_loses_no_finished_run(tmp_path: Path) -> None:
    done = run_python(
        """
        runtime = LocalRuntime().mark_externally_managed()
        begun = threading.Barrier(3)
        def sleep():
            begun.wait(30)
            time.sleep(200)
        workflow = function_workflow({"a": sleep, "b": sleep})
        threading.Thread(target=runtime.execute, args=(workflow,), daemon=True).start()
        begun.wait(30)
        for _ in range(5):
            runtime.execute(code_workflow({"n": "result = 1"}))
        print("leaving", flush=True)
        """,
        tmp_path,
        timeout=100,
    )
    assert (done.stdout.split(), done.returncode) == (["leaving"], 0), done.stderr
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr
    assert statuses(tmp_path) == ["completed"] * 5


def test_a_run_at_exit_ends_before_the_process_does(tmp_path: Path) -> None:
    done = run_python(
        """
        import atexit
        runtime = LocalRuntime(enable_monitoring=False).mark_externally_managed()
        code = "import time\\ntime.sleep(0.02)\\nresult = 1"
        workflow = code_workflow({"a": code, "b": code, "c": code})
        runtime.execute(workflow)
        atexit.register(lambda: print(sorted(runtime.execute(workflow)[0])))
        """,
        tmp_path,
    )
    assert (done.stdout.strip(), done.returncode) == ("['a', 'b', 'c']", 0), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_parent_and_child_run_on_after_a_fork(tmp_path: Path) -> None:
    done = run_python(
        """
        import warnings; warnings.simplefilter("ignore")
        code = "import time\\ntime.sleep(0.02)\\nresult = x"
        workflow = code_workflow({"a": code, "b": code, "c": code, "end": "result = [a, b, c]"},
                                 [(n, "end") for n in "abc"])
        runtime = LocalRuntime().mark_externally_managed()
        def run(x):
            results, _ = runtime.execute(workflow, parameters={n: {"x": x} for n in "abc"})
            assert results["end"] == {"result": [x, x, x]}, results
        run(1)
        run(2)
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                run(number)
                run(number)
                runtime.close()
                os._exit(0)
            children.append(child)
            run(10 + number)
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        run(5)
        runtime.close()
        print("ended")
        """,
        tmp_path,
        timeout=120,
    )
    assert (done.stdout.split(), done.returncode) == (["ended"], 0), done.stderr
    assert statuses(tmp_path) == ["completed"] * (2 + 3 * 2 + 3 + 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_fork_from_inside_a_node_on_a_worker(tmp_path: Path) -> None:
    done = run_python(
        """
        import warnings; warnings.simplefilter("ignore")
        meeting = threading.Barrier(2)
        inner = code_workflow({"n": "result = 'inner'"})
        runtime = LocalRuntime(enable_monitoring=False).mark_externally_managed()
        def forks():
            meeting.wait(30)
            child = os.fork()
            if child == 0:
                with LocalRuntime(enable_monitoring=False) as own:
                    code = "import time\\ntime.sleep(0.02)\\nresult = 1"
                    fine = own.execute(inner)[0] == {"n": {"result": "inner"}}
                    fine = fine and len(own.execute(code_workflow({"a": code, "b": code, "c": code}))[0]) == 3
                os._exit(0 if fine else 1)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        def other():
            meeting.wait(30)
            time.sleep(0.05)
            return "other"
        results, _ = runtime.execute(function_workflow({"forks": forks, "other": other}))
        print(results)
        """,
        tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in (
        "{'forks': {'result': 0}, 'other': {'result': 'other'}}",
        "{'other': {'result': 'other'}, 'forks': {'result': 0}}",
    )


@pytest.mark.parametrize("place", ["caller", "worker"])
def test_a_node_that_exits_ends_the_run_and_the_process(place: str, tmp_path: Path) -> None:
    done = run_python(
        f"""
        def leave():
            if {place == "worker"}:
                time.sleep(0.05)
            sys.exit(7)
        def wait():
            time.sleep(0.2)
        functions = {{"leave": leave}} if {place == "caller"} else {{"wait": wait, "leave": leave, "more": wait}}
        with LocalRuntime() as runtime:
            try:
                runtime.execute(function_workflow(functions))
            except SystemExit as leaving:
                print("leaving", leaving.code, flush=True)
                runtime.execute(code_workflow({{"n": "result = 1"}}))
                raise
        """,
        tmp_path,
    )
    assert (done.stdout.strip(), done.returncode) == ("leaving 7", 7), done.stderr
    assert "completed" in statuses(tmp_path)


def test_recursion_to_the_limit_is_an_error_of_the_node_as_in_kailash(tmp_path: Path) -> None:
    done = run_python(
        """
        from kailash.runtime.local import LocalRuntime as StockRuntime
        deep = "f = lambda g, n: g(g, n + 1)\\nresult = f(f, 0)"
        def recurse():
            return recurse()
        seen = []
        for kind in (StockRuntime, LocalRuntime):
            with kind(enable_monitoring=False) as runtime:
                workflow = code_workflow({"deep": deep, "fine": "result = 1"})
                workflow.add_node("function", PythonCodeNode.from_function(recurse, name="function"))
                for _ in range(3):
                    results, _ = runtime.execute(workflow)
                    assert results["fine"] == {"result": 1}
                seen.append([
                    (results[n]["error_type"], results[n]["error"].partition("\\n")[0]) for n in ("deep", "function")
                ])
        print(seen[0] == seen[1], seen)
        """,
        tmp_path,
    )
    assert done.stdout.startswith("True "), done.stdout + done.stderr
    assert "maximum recursion depth exceeded" in done.stdout
    assert done.returncode == 0


def test_recursion_on_a_worker_and_through_nested_runs_ends_as_an_error(tmp_path: Path) -> None:
    done = run_python(
        """
        runtime = LocalRuntime(enable_monitoring=False).mark_externally_managed()
        def nest():
            return runtime.execute(function_workflow({"a": nest}))[0]["a"]["result"]
        def recurse():
            time.sleep(0.05)
            def down(n):
                return down(n + 1)
            return down(0)
        results, _ = runtime.execute(function_workflow({"r1": recurse, "r2": recurse, "r3": recurse}))
        print([results[n]["error"].partition("\\n")[0] for n in ("r1", "r2", "r3")])
        try:
            results, _ = runtime.execute(function_workflow({"a": nest}))
            print("ended with", "error" in results["a"])
        except Exception as error:
            print("ended with", isinstance(error, Exception))
        print(runtime.execute(code_workflow({"n": "result = 1"}))[0])
        runtime.close()
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second, third = done.stdout.splitlines()
    assert first.count("maximum recursion depth exceeded") == 3
    assert (second, third) == ("ended with True", "{'n': {'result': 1}}")


def test_an_exception_without_text_is_reported_as_in_kailash(tmp_path: Path) -> None:
    done = run_python(
        """
        from kailash.runtime.local import LocalRuntime as StockRuntime
        class Mute(Exception):
            def __str__(self):
                raise ValueError("no text")
        def fail():
            raise Mute
        def slow():
            time.sleep(0.05)
            raise Mute
        seen = []
        for kind in (StockRuntime, LocalRuntime):
            with kind() as runtime:
                texts = []
                for functions, edges in (
                    ({"n": fail}, ()), ({"n": slow, "m": slow}, ()), ({"n": fail, "m": lambda: 1}, [("n", "m")])
                ):
                    try:
                        results, _ = runtime.execute(function_workflow(functions, edges))
                        texts.append({n: (results[n]["error_type"], results[n]["error"]) for n in functions})
                    except Exception as error:
                        texts.append((type(error).__name__, str(error).partition("\\n")[0]))
                assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}
                seen.append(texts)
        print(seen[0] == seen[1], seen)
        """,
        tmp_path,
    )
    assert done.stdout.startswith("True "), done.stdout + done.stderr[-3000:]
    assert "no text" in done.stdout


@pytest.mark.parametrize("where", ["missing", "a file", "read-only"])
def test_a_home_that_cannot_be_written_does_not_stop_runs(where: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    if where == "a file":
        home.write_text("not a folder")
    elif where == "read-only":
        home.mkdir()
        home.chmod(0o500)
        (home / ".kailash").symlink_to("/proc/self/nowhere")  # holds for root too
    else:
        home = Path("/proc/self/nowhere")
    done = run_python(
        """
        with LocalRuntime() as runtime:
            for number in range(3):
                results, run_id = runtime.execute(code_workflow({"n": f"result = {number}"}))
                assert results == {"n": {"result": number}}
                assert len(run_id) == 36
        print("ended")
        """,
        home,
    )
    assert (done.stdout.split(), done.returncode) == (["ended"], 0), done.stderr[-3000:]
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("count", "monitored"), [(100_000, False), (20_000, True)])
def test_a_very_deep_chain_runs_to_its_end(count: int, monitored: bool, tmp_path: Path) -> None:
    """Built without ``WorkflowBuilder``, which takes a quarter of an hour: it looks through all edges for each."""
    done = run_python(
        f"""
        import gc
        count = {count}
        workflow = Workflow("deep", "deep")
        workflow.add_node("n0", PythonCodeNode(name="n0", code="result = 1"))
        for i in range(1, count):
            workflow.add_node(f"n{{i}}", PythonCodeNode(name=f"n{{i}}", code="result = data + 1"))
            workflow.graph.add_edge(f"n{{i - 1}}", f"n{{i}}", mapping={{"result": "data"}}, from_output=["result"], to_input=["data"])
        gc.collect()
        with LocalRuntime(enable_monitoring={monitored}, strict=True) as runtime:
            for _ in range(2):
                results, _ = runtime.execute(workflow)
                assert len(results) == count
                assert results[f"n{{count - 1}}"] == {{"result": count}}
        del workflow, results
        gc.collect()
        print("ended")
        """,
        tmp_path,
        timeout=500,
    )
    assert (done.stdout.split(), done.returncode) == (["ended"], 0), done.stderr[-3000:]


def test_a_runtime_that_nobody_closes_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    done = run_python(
        """
        import logging
        logging.basicConfig(level=logging.INFO)
        runtime = LocalRuntime()
        runtime.execute(code_workflow({"n": "result = 1"}))
        print("ran")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr


def test_a_workflow_that_outlives_the_modules_at_exit_goes_quietly(tmp_path: Path) -> None:
    done = run_python(
        """
        import gc
        from nexus_core.cached_runs import cached_workflows
        from nexus_core.runtime import compiler

        workflow = code_workflow({"n": "result = 1"})
        cached_workflows.call_workflow(workflow, "one")
        with LocalRuntime() as runtime:
            print(runtime.execute(workflow)[0])
        plans, names = compiler.plans, cached_workflows._names
        before = len(plans), len(names)
        # As the interpreter does when it ends.
        compiler.plans = cached_workflows._names = None
        del workflow
        gc.collect()
        print(before[0] - len(plans), before[1] - len(names))
        """,
        tmp_path,
    )
    assert done.stdout.splitlines() == ["{'n': {'result': 1}}", "1 1"], done.stderr
    assert done.stderr == ""
