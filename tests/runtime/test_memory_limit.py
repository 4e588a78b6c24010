"""Code nodes may add so much memory and no more, as Kailash has it; everything else is left alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .support import PRELUDE, run_python

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit needs Linux's /proc")

LIMITED = (
    PRELUDE
    + """
    import resource
    from kailash.nodes.base import Node
    from kailash.runtime.local import LocalRuntime as StockRuntime

    HUGE = "data = bytearray(int(2.5 * 1024 ** 3))\\nresult = len(data)"

    def soft_limit(*_, **__):
        return resource.getrlimit(resource.RLIMIT_AS)[0]

    before = soft_limit()

    class LookingNode(Node):
        def get_parameters(self):
            return {}

        def run(self, **_):
            return {"result": [soft_limit() == before, len(bytearray(600 * 1024 ** 2))]}

    def threads_start():
        ran = []
        threads = [threading.Thread(target=ran.append, args=(n,)) for n in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return len(ran) == 20

    runtime = LocalRuntime(enable_monitoring=False, strict=True).mark_externally_managed()
"""
)


def check(code: str, home: Path) -> None:
    done = run_python(code + "\nruntime.close()\nprint('ended')\n", home, prelude=LIMITED)
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["ended"], 0), done.stdout + done.stderr


def test_two_gigabytes_too_many_are_refused_in_stocks_words(tmp_path: Path) -> None:
    check(
        """
texts = []
for each in (StockRuntime(enable_monitoring=False).mark_externally_managed(), runtime):
    workflow = code_workflow({"n": HUGE, "other": "result = 1"})
    results, _ = each.execute(workflow)
    assert results["other"] == {"result": 1}
    texts.append((results["n"]["error_type"], results["n"]["error"]))
    assert soft_limit() == before
    assert each.execute(workflow)[0]["n"]["error"] == texts[-1][1]
    assert each.execute(code_workflow({"n": "result = len(bytearray(1000))"}))[0] == {"n": {"result": 1000}}
    each.close() if each is not runtime else None
assert texts[0] == texts[1], texts
assert "Memory limit exceeded: code execution requested more than 536870912 bytes" in texts[1][1], texts
        """,
        tmp_path,
    )


def test_the_process_limit_is_as_before_after_success_failure_and_threads_start(tmp_path: Path) -> None:
    check(
        """
for codes in ({"n": "result = 1"}, {"n": "1 / 0"}, {"n": HUGE}, {"n": "import time\\ntime.sleep(0.05)\\nresult = 1"}):
    for edges in ((), (("n", "after"),)):
        workflow = code_workflow({**codes, "after": "result = 2"}, edges)
        try:
            runtime.execute(workflow)
        except Exception:
            pass
        assert soft_limit() == before, codes
        assert threads_start()
        """,
        tmp_path,
    )


def test_the_process_limit_is_as_before_after_an_interruption(tmp_path: Path) -> None:
    check(
        """
for codes in (
    {"n": "import time\\ntime.sleep(60)"},
    {"n": "import time\\ntime.sleep(60)", "m": "import time\\ntime.sleep(1)"},
):
    workflow = code_workflow(codes)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        runtime.execute(workflow)
    except KeyboardInterrupt:
        pass
    else:
        raise SystemExit("it was not interrupted")
    timer.join()
    if len(codes) == 1:
        assert soft_limit() == before
# A node on a worker may still sleep; the run's limit is taken back all the same.
assert soft_limit() == before
assert threads_start()
assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}
os._exit(0) if print("ended", flush=True) else os._exit(0)
        """,
        tmp_path,
    )


def test_it_holds_for_code_nodes_only(tmp_path: Path) -> None:
    check(
        """
workflow = Workflow("mixed", "mixed")
workflow.add_node("code", PythonCodeNode(name="code", code="result = 1"))
workflow.add_node("looking", LookingNode())
workflow.add_node("function", PythonCodeNode.from_function(lambda: [soft_limit() == before], name="function"))
workflow.add_node("huge", PythonCodeNode(name="huge", code=HUGE))
workflow.connect("code", "looking", {"result": "x"})
workflow.connect("looking", "huge", {"result": "x"})
for _ in range(2):
    results, _ = runtime.execute(workflow)
    assert results["looking"] == {"result": [True, 600 * 1024 ** 2]}, results
    assert results["function"] == {"result": [True]}, results
    assert "Memory limit exceeded" in results["huge"]["error"], results
    assert soft_limit() == before
        """,
        tmp_path,
    )


def test_what_many_nodes_keep_is_not_held_against_later_ones(tmp_path: Path) -> None:
    check(
        """
count = 12
names = [f"n{i:02}" for i in range(count)]
for edges in ((), list(zip(names, names[1:]))):
    builder = WorkflowBuilder()
    for name in names:  # without a result, everything is kept, and only a part handed on
        code = "import time\\nbig = 'x' * (100 * 1024 ** 2)\\nsmall = 1\\ntime.sleep(0.02)"
        builder.add_node("PythonCodeNode", name, {"code": code})
    for source, target in edges:
        builder.add_connection(source, "small", target, "data")
    workflow = builder.build()
    outcomes = []
    # Ours twice: the second run knows that its nodes block.
    for each in (StockRuntime(enable_monitoring=False).mark_externally_managed(), runtime, runtime):
        results, _ = each.execute(workflow)
        outcomes.append({node: len(output.get("big", "")) for node, output in results.items()})
        del results
    assert outcomes[2] == outcomes[1] == outcomes[0], outcomes
    assert set(outcomes[1].values()) == {100 * 1024 ** 2}, outcomes
        """,
        tmp_path,
    )


@pytest.mark.parametrize(("mib", "fits"), [(500, True), (520, False)])
def test_threads_that_start_change_nothing_of_what_a_node_is_granted(tmp_path: Path, mib: int, fits: bool) -> None:
    check(
        f"""
# From the first to the last byte the interpreter is asked for nothing: no thread gets its turn.
code = "slow = map(sum, [range(2 * 10 ** 7)])\\nbig = map(bytes, [{mib} * 1024 ** 2])\\nresult = len([*slow, *big])"
before = len(os.listdir("/proc/self/task"))
results, _ = runtime.execute(code_workflow({{"n00": code, **{{f"n{{i:02}}": "result = 1" for i in range(1, 12)}}}}))
assert len(os.listdir("/proc/self/task")) > before + 4
fits = results["n00"] == {{"result": 2}}
assert fits is {fits} and (fits or "Memory limit exceeded" in results["n00"]["error"]), results["n00"]
        """,
        tmp_path,
    )


def test_it_holds_in_concurrent_runs(tmp_path: Path) -> None:
    check(
        """
small = code_workflow({"a": "result = x", "b": "import time\\ntime.sleep(0.002)\\nresult = a"}, [("a", "b")])
huge = code_workflow({"n": HUGE})
problems = []
def work(number):
    try:
        for turn in range(10):
            if number == 0:
                text = runtime.execute(huge)[0]["n"]["error"]
                assert "Memory limit exceeded" in text, text
            else:
                results, _ = runtime.execute(small, parameters={"a": {"x": turn}})
                assert results == {"a": {"result": turn}, "b": {"result": turn}}, results
    except BaseException as problem:
        problems.append(repr(problem))
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert problems == [], problems
assert soft_limit() == before
assert threads_start()
        """,
        tmp_path,
    )


def test_a_limit_of_the_process_itself_is_kept(tmp_path: Path) -> None:
    check(
        """
own = (16 * 1024 ** 3, resource.getrlimit(resource.RLIMIT_AS)[1])
resource.setrlimit(resource.RLIMIT_AS, own)
assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}
assert "Memory limit exceeded" in runtime.execute(code_workflow({"n": HUGE}))[0]["n"]["error"]
assert resource.getrlimit(resource.RLIMIT_AS) == own
        """,
        tmp_path,
    )


def test_a_node_longer_than_its_time_limit_fails_in_stocks_words(runtime: Any) -> None:
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.runtime.local import LocalRuntime as StockRuntime
    from kailash.security import SecurityConfig
    from kailash.workflow.graph import Workflow

    def workflow() -> Workflow:
        made = Workflow("w", "w")
        for name, code in (
            ("slow", "import time\ntime.sleep(0.3)\nresult = 1"),
            ("failing", "import time\ntime.sleep(0.3)\n1 / 0"),
            ("quick", "result = 1"),
        ):
            node = PythonCodeNode(name=name, code=code)
            node.executor.security_config = limits
            made.add_node(name, node)
        return made

    limits = SecurityConfig(execution_timeout=0.1)
    seen = []
    with StockRuntime(enable_monitoring=False) as stock:
        for each in (stock, runtime):
            results, _ = each.execute(workflow())
            assert results["quick"] == {"result": 1}
            for name in ("slow", "failing"):
                assert "Execution timeout: 0." in results[name]["error"]
                assert "s > 0.1s" in results[name]["error"]
            kinds = [
                (results[name]["error_type"], results[name]["error"].partition("Execution")[0])
                for name in results
                if name != "quick"
            ]
            seen.append((list(results), kinds))
    assert seen[0] == seen[1]


def test_nodes_of_a_mixed_run_that_work_together_may_each_add_as_much(tmp_path: Path) -> None:
    check(
        """
workflow = Workflow("mixed", "mixed")
workflow.add_node("looking", LookingNode())
for number in range(8):
    code = "import time\\ntime.sleep(0.02)\\nbig = 'x' * (100 * 1024 ** 2)\\ntime.sleep(0.05)"
    workflow.add_node(f"n{number}", PythonCodeNode(name=f"n{number}", code=code))
for _ in range(2):
    results, _ = runtime.execute(workflow)
    assert {len(results[f"n{number}"].get("big", "")) for number in range(8)} == {100 * 1024 ** 2}
    assert soft_limit() == before
        """,
        tmp_path,
    )


def test_a_node_beside_a_waiting_one_is_limited_too(tmp_path: Path) -> None:
    check(
        """
workflow = code_workflow({"waiting": "import time\\ntime.sleep(0.3)\\nresult = 1", "n": HUGE})
for _ in range(3):
    results, _ = runtime.execute(workflow)
    assert results["waiting"] == {"result": 1}
    assert "more than 536870912 bytes" in results["n"]["error"], results
    assert soft_limit() == before
        """,
        tmp_path,
    )
