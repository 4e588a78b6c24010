"""What Dask is told of tasks, and runs that wait for a worker that can run them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

import itertools

import dask
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.distributed import ClusterError, DaskRuntime
from nexus_core.distributed.placement import Placement, Where, together

from .nodes import counts, noting, settled

pytestmark = pytest.mark.timeout(120)


def _switch() -> Any:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "start", {"code": "result = {'v': 5}"})
    builder.add_node("SwitchNode", "switch", {"condition_field": "v", "operator": "==", "value": 5})
    builder.add_connection("start", "result", "switch", "input_data")
    return builder.build()


def test_a_worker_that_is_not_there_is_not_waited_for_without_end(client: Any, tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"train": {}}, [])
    annotations = {"train": {"workers": ["tcp://127.0.0.1:9"]}}
    settled(client)
    with (
        DaskRuntime(client, enable_monitoring=False, timeout=5, annotations=annotations) as runtime,
        pytest.raises(RuntimeExecutionError, match="no worker that can run 'noted: train'") as raised,
    ):
        runtime.execute(workflow)
    assert isinstance(raised.value.__cause__, ClusterError)
    assert counts(tmp_path / "notes") == {}


def test_resources_of_a_whole_run_are_looked_for_too(client: Any, tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"train": {}}, [])
    with (
        DaskRuntime(client, enable_monitoring=False) as runtime,
        dask.annotate(resources={"GPU": 1}),
        pytest.raises(RuntimeExecutionError, match="'GPU': 1"),
    ):
        runtime.execute(workflow)


def test_a_workflow_that_is_one_task_needs_what_its_nodes_need(client: Any) -> None:
    with (
        DaskRuntime(client, enable_monitoring=False, annotations={"start": {"resources": {"GPU": 2}}}) as runtime,
        pytest.raises(RuntimeExecutionError, match="'GPU': 2"),
    ):
        runtime.execute(_switch())
    assert together([{"priority": 1, "resources": {"GPU": 1, "RAM": 2}}, {"resources": {"GPU": 2}, "retries": 3}]) == {
        "priority": 1,
        "resources": {"GPU": 2, "RAM": 2},
    }
    assert together([{"retries": 3}, {"retries": 2, "workers": ["a"]}]) == {
        "retries": 2,
        "workers": ["a"],
        "allow_other_workers": False,
    }
    with pytest.raises(ClusterError, match="different workers"):
        together([{"workers": ["a"]}, {"workers": ["b"]}])


def test_annotations_reach_the_scheduler_from_an_event_loop_and_leave_the_plan_alone(
    client: Any, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"waits": {"does": "wait"}}, [], name="looped")
    settled(client)

    def told(dask_scheduler: Any) -> dict[str, Any]:
        names = ("looped:", "nexus plan looped")
        return {
            task.prefix.name: dict(task.annotations or {})
            for task in dask_scheduler.tasks.values()
            if task.prefix.name.startswith(names)
        }

    async def main(runtime: DaskRuntime) -> Any:
        with dask.annotate(tenant="a"):
            running = asyncio.create_task(runtime.execute_async(workflow))
        while not notes.exists():
            await asyncio.sleep(0.01)
        found = await asyncio.to_thread(client.run_on_scheduler, told)
        notes.with_suffix(".gate").touch()
        await running
        return found

    with DaskRuntime(client, enable_monitoring=False) as runtime:
        assert asyncio.run(main(runtime)) == {"looped: waits": {"tenant": "a"}, "nexus plan looped": {}}


def test_retries_do_not_hide_a_failure_that_comes_first(client: Any, tmp_path: Path) -> None:
    # In the order of the nodes, "early" comes before "fails" at the end of its chain; among groups, after it.
    chain = [f"c{place}" for place in range(8)]
    nodes: dict[str, dict[str, Any]] = {node_id: {} for node_id in ("e0", "e1a", "e1b", "early", *chain, "fails", "g")}
    edges = [("e0", "e1a"), ("e0", "e1b"), ("e1a", "early"), ("e1b", "early"), *itertools.pairwise(chain)]
    workflow = noting(tmp_path / "notes", nodes, [*edges, (chain[-1], "fails"), ("fails", "g"), ("early", "g")])
    order = list(workflow.get_execution_order())
    assert order.index("early") < order.index("fails")
    failing = {node_id: {"does": "fail"} for node_id in ("early", "fails")}
    settled(client)
    with DaskRuntime(client, enable_monitoring=False, annotations={"fails": {"retries": 1}}) as runtime:
        for _ in range(2):  # the first one measures
            runtime.execute(workflow)
        with pytest.raises(RuntimeExecutionError, match="Node 'early' failed"):
            runtime.execute(workflow, parameters=failing)


def test_reasons_are_counted_up_to_a_number(client: Any) -> None:
    with DaskRuntime(client, enable_monitoring=False) as runtime:
        for number in range(300):
            runtime._count_placement(Placement(Where.HERE, f"reason {number}"))
        counted = runtime.engine_statistics()["placements"]
    assert len(counted) == 101
    assert counted["this process: other reasons"] == 200


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"annotations": {"tarin": {"priority": 1}}},
            r"annotations names 'tarin', .* \(did you mean 'train'\?\)\. Its nodes are 'train'",
        ),
        (
            {"annotations": {"noted/mean": {"priority": 1}}},
            "annotations names 'noted/mean', and workflow 'noted' has no such node",
        ),
        ({"retry_on_worker_loss": ["load"]}, "retry_on_worker_loss names 'load', .* name it as 'workflow/node'"),
    ],
)
def test_a_node_that_is_not_there_is_named_with_those_that_are(
    client: Any, tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    workflow = noting(tmp_path / "notes", {"train": {}}, [])
    with DaskRuntime(client, enable_monitoring=False, **options) as runtime:
        with pytest.raises(ClusterError, match=text):
            runtime.execute(workflow)
        assert any(note.startswith("a run fails: ") for note in runtime.explain(workflow).notes)
    assert counts(tmp_path / "notes") == {}


def test_a_workflow_that_names_a_node_it_does_not_have_is_told(client: Any, tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"train": {}}, [])
    workflow.metadata["retry_on_worker_loss"] = ["tarin"]
    with (
        DaskRuntime(client, enable_monitoring=False) as runtime,
        pytest.raises(ClusterError, match=r"workflow.metadata\['retry_on_worker_loss'\] names 'tarin'"),
    ):
        runtime.execute(workflow)


def test_nodes_of_other_workflows_are_not_looked_for(client: Any, tmp_path: Path) -> None:
    annotations = {"other/train": {"priority": 1}, "noted/train": {"priority": 2}, "train": {"priority": 3}}
    with DaskRuntime(client, enable_monitoring=False, annotations=annotations) as runtime:
        runtime.execute(noting(tmp_path / "notes", {"train": {}}, []))
    assert counts(tmp_path / "notes") == {"train": 1}


def test_explain_says_that_nodes_are_not_cached(client: Any) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "kept", {"code": "result = 1"})
    workflow = builder.build()
    workflow.metadata["cacheable_nodes"] = ["kept"]
    with DaskRuntime(client, enable_monitoring=False, cache=True) as runtime:
        notes = runtime.explain(workflow).notes
    assert "nodes are not cached on the cluster, where each run computes them" in notes
    assert not any(note.startswith("cached nodes") for note in notes)
