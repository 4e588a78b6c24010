"""``nexus-core bench``: results are compared before times, and what differs is told."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from apps import code_workflow
from nexus_core.commands import main
from nexus_core.workflow_bench.comparing import Outcome, differences, same

from .support import command, program

NAMES = ("LocalRuntime", "AsyncLocalRuntime")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def benched(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    assert main(["bench", *arguments, "--runs", "3", "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_workflow_of_a_program_on_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path, "print('not this')\nworkflow = one('print(1); result = {\"double\": 2 * x}')\n")
    found = benched(capsys, "app.py", "--inputs", '{"x": 4}')
    assert (found["workflow"], found["nodes"], tuple(found["runtimes"])) == ("app.py", 1, NAMES)
    for each in found["runtimes"].values():
        assert each["same_results"] and each["native"] and each["differing"] == []
        for side in ("stock", "nexus_core"):
            assert each[side]["runs"] == 3 and each[side]["error"] is None
            assert 0 < each[side]["p10_seconds"] <= each[side]["median_seconds"] <= each[side]["p90_seconds"]
        ratio = each["stock"]["median_seconds"] / each["nexus_core"]["median_seconds"]
        assert each["ratio"] == pytest.approx(ratio)


def test_times_are_those_of_the_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path, "workflow = one('import time\\ntime.sleep(0.05)\\nresult = 1')\n")
    for each in benched(capsys, "app.py")["runtimes"].values():
        assert each["stock"]["p10_seconds"] >= 0.05 and each["nexus_core"]["p10_seconds"] >= 0.05


def test_a_workflow_of_an_app_and_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(
        tmp_path,
        "app = made()\napp.register('one', one())\napp.register('two', one('result = 2'))\napp.start()\n",
    )
    assert benched(capsys, "app.py", "--workflow", "two", "--runtime", "local")["workflow"] == "two"
    (tmp_path / "two.json").write_text(json.dumps(code_workflow("result = 2").to_dict(), default=str))
    found = benched(capsys, "two.json", "--runtime", "async")
    assert (found["workflow"], tuple(found["runtimes"])) == ("two", ("AsyncLocalRuntime",))


def test_what_changes_by_itself_is_said_and_not_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    program(tmp_path, "workflow = one('import uuid\\nresult = str(uuid.uuid4())')\n")
    found = benched(capsys, "app.py")
    assert all(each["changing_by_themselves"] == ["node"] for each in found["runtimes"].values())
    assert main(["bench", "app.py", "--runs", "1", "--runtime", "local"]) == 0
    assert "Not compared, as they change" in capsys.readouterr().out


def test_an_outcome_that_differs_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Stock cannot run a node that names its function; the core can."""
    program(
        tmp_path,
        """
        builder = WorkflowBuilder()
        code = "def check(data):\\n    return {'n': len(data['records'])}"
        builder.add_node("PythonCodeNode", "check", {"code": code, "function_name": "check"})
        """,
    )
    inputs = ["--inputs", '{"records": [1, 2]}']
    found = benched(capsys, "app.py:builder", *inputs, "--runtime", "local", status=1)["runtimes"]["LocalRuntime"]
    assert found["differing"] == ["check"] and found["ratio"] is None
    assert found["stock"]["error"] and found["stock"]["runs"] == 0 and found["nexus_core"]["runs"] == 3
    assert main(["bench", "app.py:builder", *inputs, "--runs", "1", "--runtime", "local"]) == 1
    shown = capsys.readouterr().out
    assert "THE RESULTS DIFFER, of: check" in shown and "on stock: " in shown and "fails" in shown


def test_a_workflow_that_fails_on_both_sides_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    program(tmp_path, "workflow = one('result = 1 / 0')\n")
    assert main(["bench", "app.py", "--runs", "1", "--runtime", "local"]) == 1
    shown = capsys.readouterr().out
    assert "the workflow fails" in shown and "division by zero" in shown


def test_it_says_what_it_does_and_keeps_no_history(home: Path, tmp_path: Path) -> None:
    program(tmp_path, "workflow = one()\n")
    done = command("bench", "app.py", "--runs", "2", home=home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "both sides gave the same results" in done.stdout and "ratio" in done.stdout
    assert "comparing results" in done.stderr and "\x1b" not in done.stderr
    assert not (home / ".kailash" / "tracking" / "tracking.db").exists()


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", ["none.py"], "no file"),
        ("", ["none.json"], "No such file"),
        ("", ["app.py"], "no workflow"),
        ("workflow = one()", ["app.py", "--workflow", "x"], "no app"),
        ("app = made(); app.register('a', one()); app.register('b', one())", ["app.py"], "--workflow: a, b"),
        ("app = made(); app.register('a', one())", ["app.py", "--workflow", "c"], "no workflow 'c'"),
        ("workflow = one()", ["app.py", "--inputs", "{"], "no JSON"),
        ("workflow = one()", ["app.py", "--inputs", "[1]"], "JSON object"),
        ("workflow = one()", ["app.py", "--inputs", "@none"], "@none"),
        ("workflow = one()", ["app.py", "--inputs", "[" * 100_000], "no JSON"),
        ("workflow = WorkflowBuilder(); workflow.add_node('NoSuchNode', 'a', {})", ["app.py"], "cannot be built"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], said: str
) -> None:
    program(tmp_path, text)
    assert main(["bench", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.out == ""


@pytest.mark.parametrize("content", ["{", "[]", '{"nodes": 3}'])
def test_files_that_hold_no_workflow(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    assert main(["bench", "bad.json"]) == 2
    assert "holds no workflow" in capsys.readouterr().err


@pytest.mark.parametrize("runs", ["0", "-3", "many", "1.5"])
def test_numbers_of_runs_that_are_none(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["bench", "app.py", f"--runs={runs}"])
    assert refused.value.code == 2 and runs in capsys.readouterr().err


class Thing:
    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (math.nan, math.nan, True),
        (1, 1.0, False),
        (True, 1, False),
        ([1, {"a": math.nan}], [1, {"a": math.nan}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ((1,), [1], False),
        (numpy.array([1.0, math.nan]), numpy.array([1.0, math.nan]), True),
        (numpy.array([1.0]), numpy.array([1.0, 2.0]), False),
        (numpy.array([1]), numpy.array([1.0]), False),
        (pandas.DataFrame({"a": [1, None]}), pandas.DataFrame({"a": [1, None]}), True),
        (pandas.DataFrame({"a": [1]}), pandas.DataFrame({"a": [2]}), False),
        (Thing([1]), Thing([1]), True),
        (Thing([1]), Thing([2]), False),
    ],
)
def test_values_are_compared_strictly(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected


def test_outcomes_are_compared_by_node_and_by_error() -> None:
    assert differences(Outcome({"a": 1}), Outcome({"a": 1, "b": 2})) == ["b"]
    assert differences(Outcome(None, ValueError("x")), Outcome(None, ValueError("x"))) == []
    assert differences(Outcome(None, ValueError("x")), Outcome(None, ValueError("y"))) == ["outcome"]
    assert differences(Outcome(None, ValueError("x")), Outcome({})) == ["outcome"]


def test_a_value_that_cannot_be_compared_is_not_the_same_and_no_end() -> None:
    class Refuses:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("compare me by element")

        __hash__ = None  # type: ignore[assignment]

    assert differences(Outcome({"a": Refuses(), "b": 1}), Outcome({"a": Refuses(), "b": 1})) == ["a"]
