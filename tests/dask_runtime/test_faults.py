"""Whatever happens to the cluster, every caller is answered, and nothing runs twice that may not."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.distributed import ClusterError, ClusterUnreachable, ClusterWorkerLost, DaskRuntime
from nexus_core.errors import NotShippable

from .nodes import counts, noting, settled

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def runtime(client: Any) -> Iterator[DaskRuntime]:
    settled(client)
    with DaskRuntime(client, enable_monitoring=False, timeout=20) as made:
        yield made


def _cause(raised: pytest.ExceptionInfo[BaseException]) -> BaseException:
    cause = raised.value.__cause__
    assert cause is not None
    return cause


def test_a_node_that_kills_its_worker_fails_the_run_and_runs_once(runtime: DaskRuntime, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(
        notes, {"first": {}, "killer": {"does": "die"}, "after": {}}, [("first", "killer"), ("killer", "after")]
    )
    with pytest.raises(RuntimeExecutionError, match="killer") as raised:
        runtime.execute(workflow)
    lost = _cause(raised)
    assert isinstance(lost, ClusterWorkerLost)
    assert "killer" in lost.nodes
    assert lost.worker.startswith("tcp://")
    assert "retry_on_worker_loss" in str(lost)
    assert counts(notes) == {"first": 1, "killer": 1}


def test_a_node_that_may_run_again_does(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"first": {}, "killer": {"does": "die", "times": 1}}, [("first", "killer")], name="again")
    settled(client)
    with DaskRuntime(client, enable_monitoring=False, retry_on_worker_loss=["again/first", "killer"]) as runtime:
        results, _ = runtime.execute(workflow)
    assert results["killer"]["result"][0] == "killer"
    assert counts(notes)["killer"] == 2


@pytest.mark.parametrize("says", ["workflow", "node"])
def test_a_workflow_or_a_node_may_say_it_itself(client: Any, tmp_path: Path, says: str) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"killer": {"does": "die", "times": 1}}, [])
    if says == "workflow":
        workflow.metadata["retry_on_worker_loss"] = ["killer"]
    else:
        workflow._node_instances["killer"].retry_on_worker_loss = True
    settled(client)
    with DaskRuntime(client, enable_monitoring=False) as runtime:
        runtime.execute(workflow)
    assert counts(notes) == {"killer": 2}


def test_a_node_that_kills_every_worker_is_given_up(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"killer": {"does": "die"}}, [])
    settled(client)
    with (
        DaskRuntime(client, enable_monitoring=False, retry_on_worker_loss=True) as runtime,
        pytest.raises(RuntimeExecutionError, match="KilledWorker") as raised,
    ):
        runtime.execute(workflow)
    assert isinstance(_cause(raised), ClusterError)
    assert counts(notes) == {"killer": 4}


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3, 0.6])
def test_a_worker_killed_in_any_phase_costs_no_answer_and_no_second_run(
    client: Any, tmp_path: Path, delay: float
) -> None:
    notes = tmp_path / "notes"
    depth, width = 3, 3
    nodes = {f"n{level}_{place}": {"seconds": 0.05} for level in range(depth) for place in range(width)}
    edges = [
        (f"n{level - 1}_{place}", f"n{level}_{(place + shift) % width}")
        for level in range(1, depth)
        for place in range(width)
        for shift in (0, 1)
    ]
    workflow = noting(notes, nodes, edges, name="grid")
    pids = settled(client)

    def kill() -> None:
        time.sleep(delay)
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with DaskRuntime(client, enable_monitoring=False, batches=False) as runtime:
        killer.start()
        try:
            results, _ = runtime.execute(workflow)
        except RuntimeExecutionError as failed:
            assert isinstance(failed.__cause__, ClusterError)
        else:
            assert len(results) == depth * width
        killer.join()
        assert set(counts(notes).values()) <= {1}
        # And the next run finds the cluster as it is then.
        settled(client)
        again = tmp_path / "again"
        results, _ = runtime.execute(noting(again, nodes, edges, name="grid"))
        assert len(results) == depth * width
        assert counts(again) == dict.fromkeys(nodes, 1)


def test_an_output_that_cannot_be_pickled_is_named(runtime: DaskRuntime) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "before", {"code": "result = 1"})
    builder.add_node("Unpicklable", "keeps_a_lock", {})
    builder.add_connection("before", "result", "keeps_a_lock", "x")
    with pytest.raises(RuntimeExecutionError, match="keeps_a_lock") as raised:
        runtime.execute(builder.build())
    refused = _cause(raised)
    assert isinstance(refused, NotShippable)
    assert refused.node == "keeps_a_lock"
    assert refused.path.endswith("['deep'][0]")


def test_an_address_where_nobody_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
    with DaskRuntime(address, timeout=0.5, enable_monitoring=False) as runtime:
        with pytest.raises(RuntimeExecutionError, match=address) as raised:
            runtime.execute(builder.build())
        assert isinstance(_cause(raised), ClusterUnreachable)
        with pytest.raises(ClusterUnreachable, match=r"0\.5 s"):
            runtime.client  # noqa: B018


def test_an_address_that_listens_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with DaskRuntime(address, timeout=0.5) as runtime, pytest.raises(ClusterUnreachable, match=address):
            runtime.client  # noqa: B018
