"""Nothing that a node's code does to its surroundings reaches another execution or another node."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.code.python import ALLOWED_BUILTINS
from kailash.runtime.local import LocalRuntime as StockRuntime

from nexus_core.runtime import LocalRuntime

from .support import code_workflow, named, run_python

#: Each leaves something behind, if it can, and says whether it found it.
LEAVING = {
    "a variable": "found = 'left' in vars()\nleft = 1\nresult = found",
    "a global": (
        "def f():\n    global left\n    left = 1\nresult = 'left' in f.__globals__\nf()"
    ),
    "a global through a function": (
        "def f():\n    pass\nresult = 'left' in f.__globals__\nf.__globals__['left'] = 1"
    ),
    "a builtin": (
        "def f():\n    pass\nnames = f.__globals__['__builtins__']\nresult = 'left' in names\nnames['left'] = 1"
    ),
    "a replaced builtin": (
        "def f():\n    pass\nresult = len([1]) != 1\nf.__globals__['__builtins__']['len'] = lambda value: 'replaced'"
    ),
    "a removed builtin": (
        "def f():\n    pass\nnames = f.__globals__['__builtins__']\nresult = 'sum' not in names\nnames.pop('sum', None)"
    ),
    "a replaced helper": (
        "def f():\n    pass\nresult = get_data_path == 1\nf.__globals__['get_data_path'] = 1"
    ),
    "a replaced module name": (
        "import math\ndef f():\n    return math\nresult = f() == 1\nf.__globals__['math'] = 1"
    ),
    "a function attribute": "def f():\n    pass\nresult = hasattr(f, 'left')\nf.left = 1",
    "a changed default": "def f(seen=[]):\n    seen.append(1)\n    return len(seen) > 1\nresult = f()",
    "a changed constant": "values = [1, [2]]\nresult = len(values[1]) > 1\nvalues[1].append(3)",
}  # fmt: skip


@pytest.mark.parametrize("what", LEAVING)
def test_nothing_is_left_to_the_next_execution_or_node(what: str, runtime: Any) -> None:
    codes = {f"n{number}": LEAVING[what] for number in range(3)}
    chained = code_workflow(codes, [("n0", "n1"), ("n1", "n2")])
    apart = code_workflow(codes)
    for _ in range(3):
        for workflow in (chained, apart):
            results, _ = runtime.execute(workflow)
            assert results == {node_id: {"result": False} for node_id in codes}


@pytest.mark.parametrize("what", LEAVING)
def test_nothing_is_left_to_another_runtime_or_a_named_function(what: str, runtime: Any) -> None:
    looks = "\n".join("    " + line for line in ("return sorted(n for n in f.__globals__ if n in ('left', 'names'))",))
    after = code_workflow({"n": named(f"def f():\n{looks}", "f")})
    runtime.execute(code_workflow({"n": LEAVING[what]}))
    with LocalRuntime(enable_monitoring=False, strict=True) as another:
        assert another.execute(after)[0] == {"n": {"result": []}}
        assert another.execute(code_workflow({"n": "result = [len([1, 2]), sum([1, 2])]"}))[0]["n"]["result"] == [2, 3]
    assert len([1, 2]) == 2


def test_builtins_are_the_allowed_ones_and_no_others(runtime: Any) -> None:
    code = "def f():\n    pass\nresult = sorted(f.__globals__['__builtins__'])"
    results, _ = runtime.execute(code_workflow({"n": code}))
    assert set(results["n"]["result"]) == set(ALLOWED_BUILTINS)


def test_inputs_and_outputs_of_one_execution_do_not_meet_the_next(runtime: Any) -> None:
    workflow = code_workflow({"n": "x.append(len(x))\nresult = x"})
    given: list[int] = []
    for _ in range(3):
        assert runtime.execute(workflow, parameters={"n": {"x": given}})[0] == {"n": {"result": [0]}}
    assert given == []


def test_results_of_two_runs_are_not_one_object(runtime: Any) -> None:
    workflow = code_workflow({"n": "result = {'v': [1]}", "m": "result = n"}, [("n", "m")])
    first, _ = runtime.execute(workflow)
    first["n"]["result"]["v"].append("changed")
    first["m"]["result"]["v"].append("changed")
    assert runtime.execute(workflow)[0] == {"n": {"result": {"v": [1]}}, "m": {"result": {"v": [1]}}}


def test_a_configuration_value_that_code_changes_is_as_it_was_next_time(runtime: Any) -> None:
    workflow = code_workflow({"n": {"code": "labels.append(1)\nresult = labels", "labels": ["a"]}})
    for _ in range(3):
        assert runtime.execute(workflow)[0] == {"n": {"result": ["a", 1]}}


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess",
        "import sys",
        "import socket",
        "from os import system\nimport ctypes",
        "eval('1')",
        "exec('x = 1')",
        "compile('1', '', 'eval')",
        "__import__('subprocess')",
    ],
)
def test_refused_code_is_refused_every_time(code: str, runtime: Any) -> None:
    workflow = code_workflow({"n": "ran = True\n" + code + "\nresult = 1", "other": "result = 2"})
    texts = set()
    for _ in range(3):
        results, _ = runtime.execute(workflow)
        assert results["n"]["failed"] is True
        assert results["other"] == {"result": 2}
        texts.add(results["n"]["error"])
    assert len(texts) == 1


def test_code_that_becomes_unsafe_is_refused_although_it_ran_before(runtime: Any) -> None:
    workflow = code_workflow({"n": "result = 1"})
    assert runtime.execute(workflow)[0] == {"n": {"result": 1}}
    workflow._node_instances["n"].code = "import subprocess\nresult = 1"
    assert "subprocess" in runtime.execute(workflow)[0]["n"]["error"]
    workflow._node_instances["n"].code = "result = 2"
    assert runtime.execute(workflow)[0] == {"n": {"result": 2}}


def test_code_has_no_scipy_of_its_own_where_ci_is_set(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = code_workflow({"n": "try:\n    scipy\n    result = True\nexcept NameError:\n    result = False"})
    for ci in (None, "true", "", "1", None):
        if ci is None:
            monkeypatch.delenv("CI", raising=False)
        else:
            monkeypatch.setenv("CI", ci)
        with StockRuntime(enable_monitoring=False) as stock:
            expected, _ = stock.execute(workflow)
        assert expected == {"n": {"result": not ci and find_spec("scipy") is not None}}
        assert runtime.execute(workflow)[0] == expected


def test_modules_are_imported_only_when_code_names_them(tmp_path: Path) -> None:
    done = run_python(
        """
        heavy = ("pandas", "matplotlib", "sklearn", "scipy", "seaborn", "plotly")
        before = set(sys.modules)
        with LocalRuntime() as runtime:
            runtime.execute(code_workflow({"a": "result = 1", "b": "import math\\nresult = math.floor(a)"}, [("a", "b")]))
            print(sorted(set(sys.modules) & set(heavy)))
            print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in heavy))
            try:
                import pandas
            except ImportError:
                pass
            else:
                del sys.modules["pandas"]
                results, _ = runtime.execute(code_workflow({"a": "result = int(pandas.Series([1, 2]).sum())"}))
                assert results == {"a": {"result": 3}}, results
        """,
        tmp_path,
    )
    assert (done.stdout.splitlines(), done.returncode) == (["[]", "[]"], 0), done.stderr


def test_a_module_named_through_globals_is_there(runtime: Any) -> None:
    code = "def f():\n    pass\nresult = f.__globals__['math'].floor(1.5)"
    assert runtime.execute(code_workflow({"n": code}))[0] == {"n": {"result": 1}}


def test_modules_that_are_not_allowed_are_absent(runtime: Any) -> None:
    code = "def f():\n    pass\nresult = sorted(k for k in f.__globals__ if k in ('sys', 'subprocess', 'builtins'))"
    assert runtime.execute(code_workflow({"n": code}))[0] == {"n": {"result": []}}


def test_code_is_checked_again_where_the_parser_was_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11's may be by another thread that parses at the same time."""
    workflow = code_workflow({"node": "result = 'parsed at the second time'"})
    parse = ast.parse
    failures = [SystemError("AST constructor recursion depth mismatch (before=39, after=33)")]

    def confused(*args: Any, **kwargs: Any) -> ast.AST:
        if failures:
            raise failures.pop()
        return parse(*args, **kwargs)

    with LocalRuntime() as runtime:
        with monkeypatch.context() as patched:
            patched.setattr(ast, "parse", confused)
            explanation = runtime.explain(workflow)
        assert [node.program for node in explanation.nodes] == ["code"]
    assert not failures
