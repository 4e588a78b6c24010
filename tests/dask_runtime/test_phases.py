"""A worker is killed at each step of a group's way: before it takes it, as it loads it, runs it, sends what it has."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from kailash.sdk_exceptions import RuntimeExecutionError

from nexus_core.distributed import ClusterError, ClusterWorkerLost, DaskRuntime
from nexus_core.errors import NotShippable

from .nodes import Ends, Locked, counts, noting, settled

pytestmark = pytest.mark.timeout(120)


def _cause(raised: pytest.ExceptionInfo[BaseException]) -> BaseException:
    cause = raised.value.__cause__
    assert cause is not None
    return cause


def test_killed_before_it_takes_its_group_costs_nothing(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"queued": {}}, [])
    settled(client)
    pids = client.run(os.getpid)
    stopped = next(iter(pids))

    def kill_when_sent(dask_scheduler: Any) -> bool:
        worker = dask_scheduler.workers[stopped]
        if not any("queued" in str(task.key) for task in worker.processing):
            return False
        os.kill(pids[stopped], signal.SIGKILL)
        return True

    def kill() -> None:
        while not client.run_on_scheduler(kill_when_sent):
            time.sleep(0.01)

    annotations = {"queued": {"workers": [stopped], "allow_other_workers": True}}
    with DaskRuntime(client, enable_monitoring=False, annotations=annotations) as runtime:
        runtime.execute(workflow)  # the plan is there
        os.kill(pids[stopped], signal.SIGSTOP)
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            results, _ = runtime.execute(workflow)
        finally:
            killer.join(20)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[stopped], signal.SIGKILL)
            killer.join()
    assert results["queued"]["result"][0] == "queued"
    assert counts(notes) == {"queued": 2}


def test_killed_while_it_loads_the_plan_costs_nothing(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"first": {}, "second": {}}, [("first", "second")])
    workflow._node_instances["first"].part = Ends(os.getpid(), str(notes))
    settled(client)
    with DaskRuntime(client, enable_monitoring=False) as runtime:
        results, _ = runtime.execute(workflow)
        assert runtime.engine_statistics()["placements"] == {"groups of nodes": 1}
    assert list(results) == ["first", "second"]
    assert counts(notes) == {"loaded": 2, "first": 1, "second": 1}


@pytest.mark.parametrize("place", ["first", "last"])
def test_killed_while_it_sends_what_it_has_fails_the_run_and_repeats_nothing(
    client: Any, tmp_path: Path, place: str
) -> None:
    notes = tmp_path / "notes"
    nodes: dict[str, dict[str, Any]] = {"first": {}, "last": {}}
    nodes[place]["does"] = "end"
    settled(client)
    with (
        DaskRuntime(client, enable_monitoring=False, batches=False) as runtime,
        pytest.raises(RuntimeExecutionError, match="is gone; it had begun") as raised,
    ):
        runtime.execute(noting(notes, nodes, [("first", "last")]))
    lost = _cause(raised)
    assert isinstance(lost, ClusterWorkerLost)
    # If the first one's result was not fetched yet, it is lost as well.
    assert lost.nodes in ([("first",)] if place == "first" else [("first",), ("last",)])
    assert counts(notes) == ({"first": 1} if place == "first" else {"first": 1, "last": 1})


def test_killed_after_its_end_with_the_only_copy_of_a_result_repeats_nothing(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    # Large enough to be on its way for a while; the second needs it, on whichever worker.
    nodes: dict[str, dict[str, Any]] = {"large": {"does": "grow"}, "after": {"does": "wait"}}
    settled(client)
    pids = client.run(os.getpid)
    first, second = pids
    annotations = {"large": {"workers": [first]}, "after": {"workers": [second]}}

    def kill() -> None:
        while "large" not in counts(notes):
            time.sleep(0.001)
        os.kill(pids[first], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    notes.with_suffix(".gate").touch()
    with DaskRuntime(client, enable_monitoring=False, annotations=annotations, timeout=5) as runtime:
        try:
            results, _ = runtime.execute(noting(notes, nodes, [("large", "after")]))
        except RuntimeExecutionError as failed:
            assert isinstance(failed.__cause__, ClusterError)
        else:
            assert list(results) == ["large", "after"]
    killer.join()
    assert set(counts(notes).values()) == {1}


@pytest.mark.parametrize("batches", [True, False])
def test_an_output_that_cannot_be_read_elsewhere_is_told(client: Any, tmp_path: Path, batches: bool) -> None:
    notes = tmp_path / "notes"
    nodes: dict[str, dict[str, Any]] = {"hides": {"does": "hide"}, "reads": {}}
    settled(client)
    with (
        DaskRuntime(client, enable_monitoring=False, batches=batches) as runtime,
        pytest.raises(RuntimeExecutionError, match="read in another process"),
    ):
        runtime.execute(noting(notes, nodes, [("hides", "reads")]))
    assert counts(notes)["hides"] == 1


def test_an_input_that_cannot_go_to_the_next_worker_names_its_node(client: Any, tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"before": {}, "after": {}}, [("before", "after")])
    lock = threading.Lock()
    settled(client)
    with DaskRuntime(client, enable_monitoring=False, batches=False) as runtime:
        # What a caller gives stays with the caller, and the run here.
        runtime.execute(workflow, parameters={"after": {"y": lock}})
        (place,) = runtime.engine_statistics()["placements"]
        assert place.startswith("this process: parameters of node 'after' cannot leave the process")
    assert counts(tmp_path / "notes") == {"before": 1, "after": 1}


def test_an_error_that_cannot_be_pickled_keeps_its_type_and_text(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    nodes: dict[str, dict[str, Any]] = {"fails": {"does": "fail oddly"}, "after": {}}
    settled(client)
    with (
        DaskRuntime(client, enable_monitoring=False) as runtime,
        pytest.raises(RuntimeExecutionError, match="fails fails") as raised,
    ):
        runtime.execute(noting(notes, nodes, [("fails", "after")]))
    chain: list[BaseException] = []
    error: BaseException | None = raised.value
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    assert any(isinstance(each, Locked) and str(each) == "fails fails" for each in chain)
    assert not any(isinstance(each, NotShippable) for each in chain)
    assert counts(notes) == {"fails": 1}
