"""``function_name``: a node's code is executed, then the function of that name is called."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.runtime import LocalRuntime

from .support import code_workflow, named


def result_of(runtime: Any, config: dict[str, Any], **inputs: Any) -> Any:
    results, _ = runtime.execute(code_workflow({"n": config}), parameters={"n": inputs} if inputs else None)
    output = results["n"]
    assert "error" not in output, output.get("error")
    assert list(output) == ["result"]
    return output["result"]


def error_of(runtime: Any, config: dict[str, Any], **inputs: Any) -> str:
    results, _ = runtime.execute(code_workflow({"n": config}), parameters={"n": inputs} if inputs else None)
    record = results["n"]
    assert (record["failed"], record["error_type"]) == (True, "NodeExecutionError")
    return str(record["error"])


# --- what the function is given ---


def test_it_is_called_with_the_inputs_that_its_signature_names(runtime: Any) -> None:
    config = named("def add(x, y):\n    return x + y", "add")
    assert result_of(runtime, config, x=2, y=3, z="not asked for") == 5


def test_a_single_data_parameter_that_nobody_connected_gets_all_inputs(runtime: Any) -> None:
    config = named("def f(data):\n    return dict(data)", "f")
    assert result_of(runtime, config, x=2, y=[3]) == {"x": 2, "y": [3]}


def test_a_single_data_parameter_gets_an_input_of_that_name_alone(runtime: Any) -> None:
    config = named("def f(data):\n    return data", "f")
    assert result_of(runtime, config, data=[1], x=2) == [1]


def test_without_inputs_data_is_an_empty_dict(runtime: Any) -> None:
    assert result_of(runtime, named("def f(data):\n    return data", "f")) == {}


def test_connected_sources_arrive_in_data_under_their_target_names(runtime: Any) -> None:
    workflow = code_workflow(
        {"a": "result = 1", "b": "result = {'v': 2}", "n": named("def f(data):\n    return data", "f")},
        [("a", "n"), ("b", "n")],
    )
    assert runtime.execute(workflow)[0]["n"] == {"result": {"a": 1, "b": {"v": 2}}}


def test_data_among_other_parameters_is_one_of_them(runtime: Any) -> None:
    config = named("def f(data, x):\n    return [data, x]", "f")
    assert result_of(runtime, config, data=1, x=2) == [1, 2]
    assert "f() needs data; the node is given x" in error_of(runtime, config, x=2)


def test_the_configuration_that_the_user_added_is_an_input(runtime: Any) -> None:
    config = named("def f(data):\n    return data", "f", factor=7, labels=["a"])
    assert result_of(runtime, config) == {"factor": 7, "labels": ["a"]}
    assert result_of(runtime, config, factor=8)["factor"] == 8


def test_templates_in_the_configuration_are_filled_from_inputs(runtime: Any) -> None:
    config = named("def f(greeting):\n    return greeting", "f", greeting="hello ${who}")
    assert result_of(runtime, config, who="you") == "hello you"


def test_defaults_hold_where_nothing_is_given(runtime: Any) -> None:
    config = named("def f(x, y=10, *, z=100):\n    return [x, y, z]", "f")
    assert result_of(runtime, config, x=1) == [1, 10, 100]
    assert result_of(runtime, config, x=1, z=2) == [1, 10, 2]
    assert result_of(runtime, config, x=1, y=3, z=2) == [1, 3, 2]


def test_keyword_only_parameters_are_given_and_missed(runtime: Any) -> None:
    config = named("def f(*, x, y):\n    return [x, y]", "f")
    assert result_of(runtime, config, x=1, y=2) == [1, 2]
    assert "f() needs y; the node is given x" in error_of(runtime, config, x=1)


def test_positional_only_parameters_are_given_by_name_too(runtime: Any) -> None:
    config = named("def f(x, y=5, /, z=6):\n    return [x, y, z]", "f")
    assert result_of(runtime, config, x=1, y=2, z=3) == [1, 2, 3]
    assert result_of(runtime, config, x=1, z=3) == [1, 5, 3]


def test_a_later_positional_only_parameter_is_not_taken_for_an_earlier_one(runtime: Any) -> None:
    config = named("def f(x=5, y=6, /):\n    return [x, y]", "f")
    assert result_of(runtime, config, y=2) == [5, 2]


def test_keyword_catchers_get_everything(runtime: Any) -> None:
    config = named("def f(x, **rest):\n    return [x, rest]", "f")
    assert result_of(runtime, config, x=1, y=2, z=3) == [1, {"y": 2, "z": 3}]


def test_positional_only_parameters_and_a_keyword_catcher(runtime: Any) -> None:
    config = named("def f(x, /, **rest):\n    return [x, rest]", "f")
    assert result_of(runtime, config, x=1, y=2) == [1, {"y": 2}]


def test_a_data_parameter_beside_a_keyword_catcher_is_an_ordinary_one(runtime: Any) -> None:
    config = named("def f(data=None, **rest):\n    return [data, rest]", "f")
    assert result_of(runtime, config, x=1) == [None, {"x": 1}]


def test_star_arguments_stay_empty(runtime: Any) -> None:
    config = named("def f(x, *more):\n    return [x, list(more)]", "f")
    assert result_of(runtime, config, x=1, more=[2]) == [1, []]


def test_a_missing_parameter_names_all_that_miss_and_what_is_given(runtime: Any) -> None:
    config = named("def f(a, b, c):\n    return 1", "f")
    text = error_of(runtime, config, b=1, other=2)
    assert text.startswith("Code execution failed: f() needs a, c; the node is given b, other\n")
    assert "f() needs a, c; the node is given nothing" in error_of(runtime, named("def f(a, c):\n    return 1", "f"))


# --- what is called ---


def test_helpers_imports_and_constants_above_are_visible(runtime: Any) -> None:
    config = named(
        """
        import math
        from collections import Counter
        LIMIT = 3
        SHAPE = {"sides": 4}
        def helper(x):
            return math.floor(x) + LIMIT + SHAPE["sides"]
        def main(x):
            inner = lambda value: helper(value)
            return {"sum": inner(x), "count": dict(Counter("aab")), "same": [helper(i) for i in range(2)]}
        """,
        "main",
    )
    assert result_of(runtime, config, x=1.5) == {"sum": 8, "count": {"a": 2, "b": 1}, "same": [7, 8]}


def test_functions_may_call_each_other_and_themselves(runtime: Any) -> None:
    config = named(
        """
        def even(n):
            return True if n == 0 else odd(n - 1)
        def odd(n):
            return False if n == 0 else even(n - 1)
        def main(n):
            return [even(n), fact(n)]
        def fact(n):
            return 1 if n < 2 else n * fact(n - 1)
        """,
        "main",
    )
    assert result_of(runtime, config, n=5) == [False, 120]


def test_a_decorated_function_a_lambda_and_a_partial_can_be_called_too(runtime: Any) -> None:
    decorated = """
        def twice(function):
            def wrapped(x):
                return 2 * function(x)
            return wrapped
        @twice
        def f(x):
            return x + 1
        """
    assert result_of(runtime, named(decorated, "f"), x=1) == 4
    assert result_of(runtime, named("f = lambda x: x * 3", "f"), x=2) == 6
    partial = "from functools import partial\ndef g(x, y):\n    return [x, y]\nf = partial(g, y=9)"
    assert result_of(runtime, named(partial, "f"), x=2, other=3) == [2, 9]


def test_a_wrapper_that_says_what_it_wraps_is_called_by_that_signature(runtime: Any) -> None:
    code = """
        import functools
        def logged(function):
            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                return [len(args), function(*args, **kwargs)]
            return wrapped
        @logged
        def of_two(x, y=5):
            return x + y
        @logged
        def of_all(data):
            return sorted(data)
        @functools.lru_cache(maxsize=None)
        def cached(x):
            return x * 2
        """
    assert result_of(runtime, named(code, "of_two"), x=1, other=2) == [0, 6]
    assert result_of(runtime, named(code, "of_all"), x=1, y=2) == [1, ["x", "y"]]
    assert result_of(runtime, named(code, "cached"), x=4, other=2) == 8
    assert "of_two() needs x; the node is given other" in error_of(runtime, named(code, "of_two"), other=2)


def test_a_wrong_name_lists_what_the_code_defines(runtime: Any) -> None:
    config = named("import math\nvalue = 1\ndef b():\n    pass\ndef a():\n    pass\ndef _own():\n    pass", "absent")
    assert error_of(runtime, config).startswith(
        "Code execution failed: function_name is 'absent', but the node's code defines a, b\n"
    )
    assert "'absent', but the node's code defines no function" in error_of(runtime, named("x = 1", "absent"))
    assert "'x', but the node's code defines no function" in error_of(runtime, named("x = 1", "x"))


def test_a_module_or_a_builtin_is_not_taken_for_a_function_of_the_code(runtime: Any) -> None:
    assert "'math', but the node's code defines f" in error_of(
        runtime, named("import math\ndef f():\n    pass", "math")
    )
    assert "'len', but the node's code defines f" in error_of(runtime, named("def f():\n    pass", "len"))


def test_inputs_do_not_replace_what_the_code_defines(runtime: Any) -> None:
    config = named("def helper():\n    return 'own'\ndef f(helper_input=None):\n    return helper()", "f")
    assert result_of(runtime, config, helper="given", f="given") == "own"


# --- what comes back ---


@pytest.mark.parametrize("value", ["{'a': [1, None, True, 2.5]}", "None", "[]", "'text'", "float('inf')"])
def test_what_it_returns_is_the_result(runtime: Any, value: str) -> None:
    assert result_of(runtime, named(f"def f():\n    return {value}", "f")) == eval(value)


def test_a_dict_with_a_result_key_is_not_unpacked(runtime: Any) -> None:
    assert result_of(runtime, named("def f():\n    return {'result': 1, 'other': 2}", "f")) == {"result": 1, "other": 2}


def test_a_result_that_is_not_json_is_refused_in_stocks_words(runtime: Any) -> None:
    plain, _ = runtime.execute(code_workflow({"n": "result = print"}))
    ours, _ = runtime.execute(code_workflow({"n": named("def f():\n    return print", "f")}))
    assert ours["n"]["error_type"] == plain["n"]["error_type"] == "NodeValidationError"
    assert ours["n"]["error"] == plain["n"]["error"]
    assert ours["n"]["error"] == "Node outputs must be JSON-serializable. Failed keys: ['result']"


def test_downstream_nodes_get_the_result(runtime: Any) -> None:
    workflow = code_workflow(
        {
            "a": named("def f():\n    return {'v': 4}", "f"),
            "b": named("def g(a):\n    return a['v'] + 1", "g"),
            "c": "result = b * 2",
        },
        [("a", "b"), ("b", "c")],
    )
    assert runtime.execute(workflow)[0] == {"a": {"result": {"v": 4}}, "b": {"result": 5}, "c": {"result": 10}}


def test_a_failing_function_is_reported_with_the_users_frames(runtime: Any) -> None:
    config = named("def helper(x):\n    return 1 / x\ndef main(x):\n    return helper(x)", "main")
    text = error_of(runtime, config, x=0)
    assert text.startswith("Code execution failed: division by zero\nTraceback (most recent call last):\n")
    last = text[text.rindex("Traceback (most recent call last):") :]
    frames = [line.strip() for line in last.splitlines() if line.startswith("  File ")]
    assert frames[1:] == ['File "<string>", line 4, in main', 'File "<string>", line 2, in helper']
    assert frames[0].endswith(" in execute_code")
    assert "nexus_core" not in text
    assert text.rstrip().endswith("ZeroDivisionError: division by zero")


def test_a_failing_function_with_dependents_ends_the_run(runtime: Any) -> None:
    workflow = code_workflow({"a": named("def f():\n    raise ValueError('no')", "f"), "b": "result = a"}, [("a", "b")])
    with pytest.raises(RuntimeExecutionError, match="Node 'a' failed: Code execution failed: no"):
        runtime.execute(workflow)
    assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}


def test_success_false_in_what_it_returns_is_no_failure(runtime: Any) -> None:
    """It stands inside ``result``, where Kailash does not look for it either."""
    assert result_of(runtime, named("def f():\n    return {'success': False}", "f")) == {"success": False}


# --- nothing is kept ---


def test_globals_start_anew_at_every_execution(runtime: Any) -> None:
    config = named(
        """
        counter = 0
        seen = []
        def f(history=[]):
            global counter
            counter += 1
            seen.append(counter)
            history.append(counter)
            f.calls = getattr(f, "calls", 0) + 1
            return [counter, seen, history, f.calls]
        """,
        "f",
    )
    workflow = code_workflow({"n": config})
    for _ in range(3):
        assert runtime.execute(workflow)[0]["n"] == {"result": [1, [1], [1], 1]}


def test_nodes_do_not_see_each_others_definitions(runtime: Any) -> None:
    workflow = code_workflow(
        {
            "a": named("shared = 1\ndef f():\n    return shared", "f"),
            "b": named("def g(a):\n    return shared", "g"),
        },
        [("a", "b")],
    )
    assert "name 'shared' is not defined" in runtime.execute(workflow)[0]["b"]["error"]


def test_several_nodes_may_use_one_name(runtime: Any) -> None:
    workflow = code_workflow({f"n{i}": named(f"def f():\n    return {i}", "f") for i in range(20)})
    assert runtime.execute(workflow)[0] == {f"n{i}": {"result": i} for i in range(20)}


def test_inputs_that_it_changes_are_its_own(runtime: Any) -> None:
    workflow = code_workflow(
        {"a": "result = [1]", "b": named("def f(a):\n    a.append(2)\n    return a", "f"), "c": "result = a"},
        [("a", "b"), ("a", "c"), ("b", "c")],
    )
    results, _ = runtime.execute(workflow)
    assert [results[n]["result"] for n in "abc"] == [[1], [1, 2], [1]]


@pytest.mark.parametrize("debug", [True, False])
def test_it_works_although_somebody_reads_the_logs(debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    workflow = code_workflow({"a": named("def f(x):\n    return x + 1", "f"), "b": "result = a * 2"}, [("a", "b")])
    with caplog.at_level(logging.INFO), LocalRuntime(debug=debug, strict=True) as runtime:
        results, _ = runtime.execute(workflow, parameters={"a": {"x": 1}})
    assert results == {"a": {"result": 2}, "b": {"result": 4}}


# --- the sandbox holds ---


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import subprocess\ndef f():\n    return 1", "subprocess"),
        ("def f():\n    import subprocess\n    return 1", "subprocess"),
        ("def f():\n    return eval('1')", "eval"),
        ("def f():\n    return exec('1')", "exec"),
        ("def f():\n    return __import__('os')", "__import__"),
    ],
)
def test_code_that_stock_refuses_is_refused_in_stocks_words(runtime: Any, code: str, words: str) -> None:
    def refused(config: dict[str, Any]) -> tuple[str, str]:
        try:
            results, _ = runtime.execute(code_workflow({"n": config}))
        except Exception as error:
            return type(error).__name__, str(error)
        return results["n"]["error_type"], results["n"]["error"]

    ours = refused(named(code, "f"))
    assert ours == refused({"code": code})
    assert words in ours[1]


def test_the_function_has_only_the_allowed_builtins(runtime: Any) -> None:
    text = error_of(runtime, named("def f():\n    return breakpoint()", "f"))
    assert "name 'breakpoint' is not defined" in text


def test_long_and_marked_up_inputs_are_sanitised(runtime: Any) -> None:
    config = named("def f(x):\n    return x", "f")
    assert result_of(runtime, config, x="<script>bad</script>kept") == "kept"


# --- as in the guide ---


def guide_builder() -> WorkflowBuilder:
    """Three independent branches and a node that combines them."""
    builder = WorkflowBuilder()
    for name, value in (("prices", 12.5), ("stock", 4), ("reviews", 0.9)):
        code = f"""
        import time
        def fetch(data):
            time.sleep(0.02)
            return {{"{name}": {value}, "of": data.get("product", "unknown")}}
        """
        builder.add_node("PythonCodeNode", name, named(code, "fetch"))
    combine = """
        def combine(data):
            return {"keys": sorted(data), "price": data["prices"]["prices"], "of": data["stock"]["of"]}
        """
    builder.add_node("PythonCodeNode", "combine", named(combine, "combine"))
    for name in ("prices", "stock", "reviews"):
        builder.add_connection(name, "result", "combine", name)
    return builder


def test_the_guides_parallel_workflow_runs(runtime: Any) -> None:
    results, _ = runtime.execute(guide_builder().build(), parameters={"stock": {"product": "lamp"}})
    assert (len(results), list(results)[-1]) == (4, "combine")
    assert results["stock"] == {"result": {"stock": 4, "of": "lamp"}}
    assert results["prices"] == {"result": {"prices": 12.5, "of": "unknown"}}
    assert results["combine"] == {"result": {"keys": ["prices", "reviews", "stock"], "price": 12.5, "of": "lamp"}}


def test_explain_calls_it_a_named_function(runtime: Any) -> None:
    explanation = runtime.explain(guide_builder().build())
    assert {node.program for node in explanation.nodes} == {"named function"}
    assert explanation.native
