"""The drop-in inside a real ``Nexus`` app, in a process of its own: the app leaves runtimes behind."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nexus")

from .support import PRELUDE, run_python

APP = (
    PRELUDE
    + """
    import nexus

    def named(code, name):
        return {"code": code, "function_name": name}

    runtime = LocalRuntime(enable_monitoring=False, strict=True).mark_externally_managed()
    app = nexus.Nexus(runtime=runtime, enable_durability=False, enable_auth=False)
"""
)


def test_an_app_runs_a_parallel_workflow_of_named_functions(tmp_path: Path) -> None:
    done = run_python(
        """
        builder = WorkflowBuilder()
        for name, value in (("prices", 12.5), ("stock", 4), ("reviews", 0.9)):
            code = (
                "import time\\n"
                "def fetch(data):\\n"
                "    time.sleep(0.02)\\n"
                f"    return {{'{name}': {value}, 'of': data.get('product', 'unknown')}}\\n"
            )
            builder.add_node("PythonCodeNode", name, named(code, "fetch"))
        combine = "def combine(data):\\n    return [sorted(data), data['prices']['prices'], data['stock']['of']]\\n"
        builder.add_node("PythonCodeNode", "combine", named(combine, "combine"))
        for name in ("prices", "stock", "reviews"):
            builder.add_connection(name, "result", "combine", name)
        app.register("catalogue", builder)
        results, _ = app.runtime.execute(app._workflows["catalogue"], parameters={"stock": {"product": "lamp"}})
        assert results["combine"] == {"result": [["prices", "reviews", "stock"], 12.5, "lamp"]}, results
        assert app.runtime.engine_statistics() == {"native_runs": 1, "delegated_runs": {}}
        app.close()
        runtime.close()
        print("ended")
        """,
        tmp_path,
        prelude=APP,
    )
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["ended"], 0), done.stderr


def test_registered_workflows_run_in_any_order_again_and_again(tmp_path: Path) -> None:
    done = run_python(
        """
        for number in range(3):
            code = f"def f(x=0):\\n    return {number} + x"
            app.register(f"w{number}", code_workflow({"m": "result = 1"}))
            builder = WorkflowBuilder()
            builder.add_node("PythonCodeNode", "n", named(code, "f"))
            app.register(f"f{number}", builder)
        for number in (2, 0, 1, 2):
            workflow = app._workflows[f"f{number}"]
            assert app.runtime.execute(workflow)[0] == {"n": {"result": number}}
            assert app.runtime.execute(workflow, parameters={"n": {"x": 10}})[0] == {"n": {"result": number + 10}}
            assert app.runtime.execute(app._workflows[f"w{number}"])[0] == {"m": {"result": 1}}
        app.close()
        runtime.close()
        print("ended")
        """,
        tmp_path,
        prelude=APP,
    )
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["ended"], 0), done.stderr
