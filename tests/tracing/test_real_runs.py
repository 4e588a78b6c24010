"""Runs of both runtimes and of a Nexus app, from the recording to every form that a trace has."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from kailash.workflow.builder import WorkflowBuilder
from nexus import Nexus

import nexus_core
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from nexus_core.tracing import Trace
from runtime.test_cycles import counting

from . import trace_event_format

NAP = 0.05


def napping(name: str = "napping") -> Any:
    """Three nodes that sleep at the same time, between one before and one after."""
    builder = WorkflowBuilder()
    code = f"import time\ntime.sleep({NAP})\nresult = 1"
    for node in ("first", "left", "middle", "right", "last"):
        builder.add_node("PythonCodeNode", node, {"code": code})
    for node in ("left", "middle", "right"):
        builder.add_connection("first", "result", node, "x")
        builder.add_connection(node, "result", "last", f"from_{node}")
    return builder.build(name=name)


def failing() -> Any:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "good", {"code": "result = 1"})
    builder.add_node("PythonCodeNode", "bad", {"code": "raise KeyError('lost')"})
    builder.add_node("PythonCodeNode", "never", {"code": "result = 1"})
    builder.add_connection("good", "result", "bad", "x")
    builder.add_connection("bad", "result", "never", "x")
    return builder.build(name="failing")


def of_local() -> Trace:
    with LocalRuntime(enable_monitoring=False) as runtime, runtime.trace() as recording:
        runtime.execute(napping())
    return recording.trace


def of_async() -> Trace:
    async def run() -> Trace:
        async with AsyncLocalRuntime() as runtime:
            with runtime.trace() as recording:
                await runtime.execute_workflow_async(napping(), {})
        return recording.trace

    return asyncio.run(run())


def of_app() -> Trace:
    runtime = AsyncLocalRuntime()
    with Nexus(enable_auth=False, rate_limit=None, enable_durability=False) as app:
        app.register("napping", napping())
        nexus_core.attach(app, runtime)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=app.fastapi_app)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.post("/workflows/napping/execute", json={"inputs": {}}, timeout=60)

        with runtime.trace() as recording:
            answer = asyncio.run(ask())
        assert answer.status_code == 200, answer.text
    runtime.close()
    return recording.trace


@pytest.mark.parametrize("way", [of_local, of_async, of_app])
def test_a_run_in_every_form(way: Any, tmp_path: Path) -> None:
    trace = way()
    assert len(trace.runs) == 1 and len(trace) == 5
    (run,) = trace.analyze(threads=[1, 3]).runs
    assert (run.workflow, run.status) == ("napping", "completed")
    assert run.critical_path[0] == "first" and run.critical_path[-1] == "last" and len(run.critical_path) == 3
    assert 3 * NAP <= run.critical_path_length <= run.makespan <= run.work + run.queued + 1
    assert run.at_once == 3
    alone, three = run.what_if[:2]
    assert alone.makespan == pytest.approx(run.work)
    assert three.makespan == pytest.approx(run.critical_path_length)
    chart = trace.gantt(100)
    assert [line.split()[0] for line in chart.splitlines()[:5]][::4] == ["first", "last"]
    file = json.loads(trace.write(tmp_path / "run.json").read_text())
    trace_event_format.check(file)
    assert len([each for each in file["traceEvents"] if each["ph"] == "s"]) == 6
    read = Trace.read(tmp_path / "run.json")
    assert read.runs == trace.runs and len(read) == 5
    assert read.analyze().runs[0].critical_path == run.critical_path
    page = trace.write(tmp_path / "run.html").read_text(encoding="utf-8")
    assert "napping" in page


def test_a_failed_run_tells_the_error(tmp_path: Path) -> None:
    runtime = LocalRuntime(enable_monitoring=False)
    with runtime, runtime.trace() as recording, pytest.raises(Exception, match="lost"):
        runtime.execute(failing())
    trace = Trace.read(recording.write(tmp_path / "run.json.gz"))
    (run,) = trace.analyze().runs
    assert run.status == "failed"
    assert [(node.node_id, node.status) for node in run.nodes] == [("good", "completed"), ("bad", "failed")]
    assert run.nodes[1].error and run.nodes[1].error in str(run)
    assert recording.analyze().workflows[0].failed == 1


def test_many_runs_share_their_workflow_in_the_file(tmp_path: Path) -> None:
    workflow = napping("often")
    with LocalRuntime(enable_monitoring=False) as runtime, runtime.trace() as recording:
        for _ in range(3):
            runtime.execute(workflow)
    about = json.loads(recording.write(tmp_path / "run.json").read_text())["otherData"]["nexus_core"]
    assert len(about["runs"]) == 3 and len(about["workflows"]) == 1
    (found,) = recording.analyze().workflows
    assert (found.workflow, found.runs) == ("often", 3)
    assert {node.node_id: node.executions for node in found.nodes}["left"] == 3


def test_rounds_of_a_cycle_follow_each_other() -> None:
    with LocalRuntime(enable_monitoring=False) as runtime, runtime.trace() as recording:
        runtime.execute(counting())
    (run,) = recording.analyze().runs
    assert len(run.nodes) > len(recording.trace.runs[0].nodes)
    # Nothing ran at the same time: all is on the one path.
    assert run.critical_path == tuple(node.node_id for node in run.nodes)
    assert run.critical_path_length == pytest.approx(run.work)


def test_nodes_of_an_event_loop_overlap_on_its_thread(tmp_path: Path) -> None:
    builder = WorkflowBuilder()
    for k in range(4):
        code = f"import asyncio\nawait asyncio.sleep({NAP * (k + 1)})\nresult = 1"
        builder.add_node("AsyncPythonCodeNode", f"n{k}", {"code": code})
    workflow = builder.build(name="waiting")

    async def run() -> Trace:
        async with AsyncLocalRuntime() as runtime:
            with runtime.trace() as recording:
                await runtime.execute_workflow_async(workflow, {})
        return recording.trace

    trace = asyncio.run(run())
    assert trace.analyze().runs[0].at_once == 4 and trace.analyze().runs[0].threads == 1
    file = json.loads(trace.write(tmp_path / "run.json").read_text())
    trace_event_format.check(file)
    assert len({each["tid"] for each in file["traceEvents"] if each["ph"] == "X"}) == 4
