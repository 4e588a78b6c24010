"""Runs on a cluster: where they go, how they are told apart, how they are ended."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

import dask
from kailash.nodes.code import python as code_module
from kailash.runtime.cancellation import CancellationToken
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.sdk_exceptions import HardTimeLimitExceeded, RuntimeExecutionError, WorkflowCancelledError
from kailash.workflow.builder import WorkflowBuilder

from code_rules import code_rules  # noqa: F401 - a fixture
from nexus_core.distributed import ClusterError, DaskRuntime
from nexus_core.distributed.cluster_plan import cluster_plan

from .nodes import counts, noting, settled

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def runtime(client: Any) -> Iterator[DaskRuntime]:
    settled(client)
    with DaskRuntime(client, enable_monitoring=False) as made:
        yield made


def _layered(depth: int, width: int, name: str = "layered") -> Any:
    builder = WorkflowBuilder()
    for level in range(depth):
        for place in range(width):
            builder.add_node("PythonCodeNode", f"n{level}_{place}", {"code": f"result = {place}"})
            if level:
                builder.add_connection(f"n{level - 1}_{place}", "result", f"n{level}_{place}", "a")
                builder.add_connection(f"n{level - 1}_{(place + 1) % width}", "result", f"n{level}_{place}", "b")
    return builder.build(name=name)


def _meanwhile(notes: Path, act: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Does something once a node has begun."""
    found: list[Any] = []

    def wait() -> None:
        while not notes.exists():
            time.sleep(0.01)
        found.append(act())

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, found


def test_nodes_are_grouped_by_what_earlier_runs_have_measured(runtime: DaskRuntime) -> None:
    workflow = _layered(4, 20)
    results, _ = runtime.execute(workflow)
    assert list(results) == list(workflow.get_execution_order())
    assert {node_id: output["result"] for node_id, output in results.items()} == {
        f"n{level}_{place}": place for level in range(4) for place in range(20)
    }
    assert any(
        "80 nodes in 1 groups for 2 threads, by the measured time of 80" in note
        for note in runtime.explain(workflow).notes
    )
    assert runtime.execute(workflow)[0] == results
    assert runtime.engine_statistics()["placements"] == {"groups of nodes": 2}


def test_nodes_that_wait_stay_together_however_often_they_run(runtime: DaskRuntime) -> None:
    builder = WorkflowBuilder()
    for place in range(40):
        builder.add_node("PythonCodeNode", f"n{place}", {"code": "import time\ntime.sleep(0.1)\nresult = 1"})
    workflow = builder.build(name="waits")
    groups = []
    for _ in range(4):
        runtime.execute(workflow)
        plan = runtime._plan_for(workflow, None)
        assert not isinstance(plan, tuple)
        groups.append(len(cluster_plan(workflow, plan).groups(workflow, plan, 2, {}, False, True)))
    # Alone they would wait one after the other; each group's wait side by side.
    assert max(groups) <= 8


def test_a_plan_goes_out_once(runtime: DaskRuntime, client: Any) -> None:
    workflow = _layered(2, 3, "sent once")
    for _ in range(3):
        runtime.execute(workflow)

    def computed(dask_scheduler: Any) -> dict[str, int]:
        return {
            name: prefix.state_counts["memory"]
            for name, prefix in dask_scheduler.task_prefixes.items()
            if name == "nexus plan sent once"
        }

    assert client.run_on_scheduler(computed) == {"nexus plan sent once": 1}


def test_the_dashboard_shows_the_nodes(runtime: DaskRuntime, client: Any) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "load-rows", {"code": "result = 1"})
    builder.add_node("PythonCodeNode", "sum", {"code": "result = x"})
    builder.add_connection("load-rows", "result", "sum", "x")
    runtime.execute(builder.build(name="nightly-report"))
    names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    assert "nightly_report: load_rows..sum (2)" in names


@pytest.mark.usefixtures("code_rules")
def test_code_goes_by_the_rules_that_hold_here(runtime: DaskRuntime) -> None:
    imports = WorkflowBuilder()
    imports.add_node("PythonCodeNode", "n", {"code": "import math\nresult = math.floor(1.5)"})
    sums = WorkflowBuilder()
    sums.add_node("PythonCodeNode", "n", {"code": "result = sum([1, 2])"})
    importing, summing = imports.build(), sums.build()
    assert runtime.execute(importing)[0] == {"n": {"result": 1}}
    assert runtime.execute(summing)[0] == {"n": {"result": 3}}
    code_module.ALLOWED_MODULES.discard("math")
    code_module.ALLOWED_BUILTINS.discard("sum")
    assert "Import of module 'math' is not allowed" in runtime.execute(importing)[0]["n"]["error"]
    assert "name 'sum' is not defined" in runtime.execute(summing)[0]["n"]["error"]
    assert runtime.engine_statistics()["placements"] == {
        "groups of nodes": 3,
        "this process: the rules of this process refuse the code of node 'n'": 1,
    }
    code_module.ALLOWED_MODULES.add("math")
    code_module.ALLOWED_BUILTINS.add("sum")
    assert runtime.execute(importing)[0] == {"n": {"result": 1}}
    assert runtime.execute(summing)[0] == {"n": {"result": 3}}


def test_what_cannot_go_runs_here_and_says_why(runtime: DaskRuntime, tmp_path: Path) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "looks", {"code": "result = get_workflow_context('a', 1)"})
    workflow = builder.build()
    assert runtime.execute(workflow)[0]["looks"]["result"] == 1
    assert any(
        note.startswith("runs in this process: node 'looks' may read") for note in runtime.explain(workflow).notes
    )
    runtime.execute(noting(tmp_path / "notes", {"n": {}}, []), parameters={"n": {"x": threading.Lock()}})
    assert counts(tmp_path / "notes") == {"n": 1}
    places = runtime.engine_statistics()["placements"]
    assert sorted(places.values()) == [1, 1]
    assert any("parameters of node 'n' cannot leave the process" in place for place in places)


def test_switches_and_cycles_stay_on_one_worker(runtime: DaskRuntime) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "start", {"code": "result = {'v': 5}"})
    builder.add_node("SwitchNode", "switch", {"condition_field": "v", "operator": "==", "value": 5})
    builder.add_node("PythonCodeNode", "yes", {"code": "result = data"})
    builder.add_connection("start", "result", "switch", "input_data")
    builder.add_connection("switch", "true_output", "yes", "data")
    workflow = builder.build()
    results, _ = runtime.execute(workflow)
    assert results["yes"]["result"] == {"v": 5}
    assert any("one task on one worker: it has switches" in note for note in runtime.explain(workflow).notes)


def test_a_cancelled_run_ends_and_starts_nothing_more(runtime: DaskRuntime, client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"waits": {"does": "wait"}, "after": {}}, [("waits", "after")])
    token = CancellationToken()
    thread, _ = _meanwhile(notes, lambda: token.cancel("enough"))
    with pytest.raises(WorkflowCancelledError, match="enough") as raised:
        runtime.execute(workflow, cancellation_token=token)
    thread.join()
    assert raised.value.cancelled_at_node == "waits"

    def executing(dask_worker: Any) -> list[str]:
        return [str(task.key) for task in dask_worker.state.executing if task.state == "executing"]

    # The worker is told, while it is in the node.
    while any(client.run(executing).values()):
        time.sleep(0.01)
    notes.with_suffix(".gate").touch()
    # One thread a worker: when both have run this, the cancelled task has ended.
    runtime.execute(noting(tmp_path / "more", {"a": {"seconds": 0.2}, "b": {"seconds": 0.2}}, []))
    assert counts(notes) == {"waits": 1}


def test_a_time_limit_ends_a_run_whose_node_goes_on(runtime: DaskRuntime, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"waits": {"does": "wait"}}, [])
    with pytest.raises(HardTimeLimitExceeded):
        runtime.execute(workflow, time_limit=0.5)
    notes.with_suffix(".gate").touch()


def test_an_event_loop_goes_on_while_a_cluster_works(runtime: DaskRuntime, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"waits": {"does": "wait"}}, [])

    async def main() -> Any:
        running = asyncio.create_task(runtime.execute_async(workflow))
        while not notes.exists():
            await asyncio.sleep(0.01)
        assert not running.done()
        notes.with_suffix(".gate").touch()
        return await running

    results, _ = asyncio.run(main())
    assert results["waits"]["result"][0] == "waits"


def test_the_first_failure_in_topological_order_is_reported(runtime: DaskRuntime, tmp_path: Path) -> None:
    nodes: dict[str, dict[str, Any]] = {
        "slow": {"seconds": 0.3},
        "fails_late": {"does": "fail"},
        "fails_soon": {"does": "fail"},
        "end": {},
    }
    edges = [("slow", "fails_late"), ("fails_late", "end"), ("fails_soon", "end")]
    workflow = noting(tmp_path / "notes", nodes, edges)
    order = list(workflow.get_execution_order())
    first = min(("fails_late", "fails_soon"), key=order.index)
    for batches in (True, False):
        runtime.batches = batches
        with pytest.raises(RuntimeExecutionError, match=f"Node '{first}' failed"):
            runtime.execute(workflow)


def test_a_failure_in_a_large_graph_is_reported_however_it_is_grouped(runtime: DaskRuntime, tmp_path: Path) -> None:
    width = 12
    nodes: dict[str, dict[str, Any]] = {f"n{level}_{place}": {} for level in range(3) for place in range(width)}
    nodes["n1_5"] = {"does": "fail"}
    nodes["n0_9"] = {"seconds": 0.2}
    edges = [
        (f"n{level - 1}_{(place + shift) % width}", f"n{level}_{place}")
        for level in (1, 2)
        for place in range(width)
        for shift in (0, 1)
    ]
    workflow = noting(tmp_path / "notes", nodes, edges)
    for batches in (True, True, False):
        runtime.batches = batches
        with pytest.raises(RuntimeExecutionError, match="Node 'n1_5' failed") as raised:
            runtime.execute(workflow)
        assert "n1_5 fails" in str(raised.value)


def test_retries_are_dasks(client: Any, tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"fails": {"does": "fail", "times": 1}, "end": {}}, [("fails", "end")])
    with DaskRuntime(client, enable_monitoring=False, annotations={"fails": {"retries": 2}}) as runtime:
        results, _ = runtime.execute(workflow)
    assert results["end"]["result"][0] == "end"
    assert counts(tmp_path / "notes") == {"fails": 2, "end": 1}
    always = noting(tmp_path / "always", {"fails": {"does": "fail"}, "end": {}}, [("fails", "end")])
    with (
        DaskRuntime(client, enable_monitoring=False, annotations={"fails": {"retries": 2}}) as runtime,
        pytest.raises(RuntimeExecutionError, match="Node 'fails' failed"),
    ):
        runtime.execute(always)
    assert counts(tmp_path / "always") == {"fails": 3}


def test_priorities_reach_the_scheduler(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"waits": {"does": "wait"}}, [], name="urgent")

    def annotations(dask_scheduler: Any) -> list[Any]:
        return [
            dict(task.annotations) for task in dask_scheduler.tasks.values() if task.prefix.name.startswith("urgent:")
        ]

    def look() -> Any:
        found = client.run_on_scheduler(annotations)
        notes.with_suffix(".gate").touch()
        return found

    thread, found = _meanwhile(notes, look)
    with (
        DaskRuntime(client, enable_monitoring=False, annotations={"urgent/waits": {"priority": 7}}) as runtime,
        dask.annotate(tenant="a"),
    ):
        runtime.execute(workflow)
    thread.join()
    assert found == [[{"priority": 7, "tenant": "a"}]]


def test_what_no_worker_offers_is_refused_at_once(client: Any, tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"train": {}}, [])
    with (
        DaskRuntime(client, enable_monitoring=False, annotations={"train": {"resources": {"GPU": 1}}}) as runtime,
        pytest.raises(RuntimeExecutionError, match="'GPU': 1") as raised,
    ):
        runtime.execute(workflow)
    assert isinstance(raised.value.__cause__, ClusterError)
    assert counts(tmp_path / "notes") == {}


def test_large_values_go_to_nodes_and_come_back(runtime: DaskRuntime) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "double", {"code": "result = [2 * x for x in values]"})
    builder.add_node("PythonCodeNode", "total", {"code": "result = sum(values)"})
    builder.add_connection("double", "result", "total", "values")
    values = list(range(300_000))
    results, _ = runtime.execute(builder.build(), parameters={"double": {"values": values}})
    assert results["total"]["result"] == 2 * sum(values)
    assert results["double"]["result"][-1] == 2 * values[-1]


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_history_has_the_nodes_of_a_cluster(client: Any, level: int, caplog: pytest.LogCaptureFixture) -> None:
    from kailash.tracking.storage.database import SQLiteStorage

    # Where its book-keeping is read, stock's log has it, too.
    caplog.set_level(level, "kailash.tracking.manager")
    with DaskRuntime(client) as runtime:
        _, run_id = runtime.execute(_layered(2, 3, "recorded"))
        assert runtime.flush_history(30)
    storage = SQLiteStorage(str(Path.home() / ".kailash" / "tracking" / "tracking.db"))
    try:
        tasks = storage.list_tasks(run_id)
    finally:
        storage.close()
    assert sorted(task.node_id for task in tasks) == [f"n{row}_{place}" for row in range(2) for place in range(3)]
    logged = [record.message for record in caplog.records if record.name == "kailash.tracking.manager"]
    said = [f"Created workflow run: {run_id}", f"Updated run {run_id} status to: completed"]
    assert logged == (said if level == logging.INFO else [])


@pytest.mark.parametrize("what", ["stays in this process", "has search attributes", "is cancelled"])
def test_what_is_logged_for_the_history_of_a_run_is_what_kailash_logs(
    client: Any, what: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, "kailash.tracking.manager")
    found = []
    for number, runtime in enumerate((StockLocalRuntime(), DaskRuntime(client))):
        notes, token = tmp_path / f"{number}", CancellationToken()

        def cancel(token: CancellationToken = token, notes: Path = notes) -> None:
            token.cancel("enough")
            notes.with_suffix(".gate").touch()

        nodes = {"a": {"does": "wait"} if what == "is cancelled" else {}, "b": {}}
        workflow = noting(notes, nodes, [("a", "b")], "recorded")
        thread, _ = _meanwhile(notes, cancel)
        options: dict[str, Any] = {"cancellation_token": token}
        if what == "stays in this process":
            options = {"parameters": {"b": {"y": threading.Lock()}}}
        elif what == "has search attributes":
            options = {"search_attributes": {"tenant": "t"}}
        caplog.clear()
        with runtime, suppress(WorkflowCancelledError):
            runtime.execute(workflow, **options)
        thread.join()
        records = [record.getMessage() for record in caplog.records if record.name == "kailash.tracking.manager"]
        found.append([re.sub(r"[0-9a-f-]{36}", "", message) for message in records if "task" not in message])
    assert found[0] == found[1]
    assert len(found[0]) == {"stays in this process": 2, "has search attributes": 4, "is cancelled": 1}[what]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"client_or_address": 7}, TypeError, "got 7"),
        ({"client_or_address": " "}, ValueError, "empty address"),
        ({"timeout": 0}, ValueError, "got 0"),
        ({"retry_on_worker_loss": "node"}, TypeError, "got 'node'"),
        ({"annotations": {"a": {"colour": 1}}}, ValueError, "'colour'"),
        ({"annotations": {"a": 5}}, TypeError, "got 5"),
        ({"client_or_address": "tcp://a:1", "cluster_options": {}}, ValueError, "client_or_address is given"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        DaskRuntime(**arguments)


def test_without_dask_the_extra_is_named() -> None:
    script = """
import sys
sys.modules["distributed"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "distributed" else find(name, *rest)
import nexus_core
from nexus_core.distributed import DaskRuntime
try:
    DaskRuntime()
except ImportError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert "pip install 'nexus-core-rs[dask]'" in ended.stdout, ended.stderr


def test_what_a_node_keeps_in_itself_is_not_another_workflows(runtime: DaskRuntime, tmp_path: Path) -> None:
    def workflow() -> Any:
        made = noting(tmp_path / "notes", {"counts": {"does": "count"}}, [])
        made.workflow_id = "the same"
        return made

    found = [runtime.execute(workflow())[0]["counts"]["result"] for _ in range(4)]
    assert found == [1, 1, 1, 1]


def test_nodes_that_replace_create_task_leave_a_workers_own_as_it_is(client: Any) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "source", {"code": "result = 1"})
    for number in range(4):
        code = f"import asyncio\nawait asyncio.create_task(asyncio.sleep({0.3 - number / 20}))\nresult = {number}"
        builder.add_node("AsyncPythonCodeNode", f"n{number}", {"code": code})
        builder.add_connection("source", "result", f"n{number}", "x")

    async def named() -> str:
        made = asyncio.create_task(asyncio.sleep(0), name="of the worker's own")
        await made
        return made.get_name()

    with DaskRuntime(client, enable_monitoring=False) as runtime, ThreadPoolExecutor(1) as threads:
        run = threads.submit(runtime.execute, builder.build(name="overlapping"))
        while not run.done():
            assert set(client.run(named).values()) == {"of the worker's own"}
        results, _ = run.result()
    assert [results[f"n{number}"]["result"] for number in range(4)] == [0, 1, 2, 3]
    assert set(client.run(named).values()) == {"of the worker's own"}
