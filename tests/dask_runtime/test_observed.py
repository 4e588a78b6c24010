"""What the client sees of nodes on workers: metrics, traces, log records."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.distributed import DaskRuntime
from nexus_core.distributed.carried_logs import LogRecords, effective_level
from nexus_core.distributed.observation import _shift

from .nodes import noting, settled

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def runtime(client: Any) -> Iterator[DaskRuntime]:
    settled(client)
    with DaskRuntime(client, enable_monitoring=False) as made:
        yield made


def _diamond(notes: Path, **more: dict[str, Any]) -> Any:
    nodes: dict[str, dict[str, Any]] = {"top": {}, "left": {"seconds": 0.05}, "right": {"seconds": 0.05}, "end": {}}
    for node_id, config in more.items():
        nodes[node_id].update(config)
    return noting(notes, nodes, [("top", "left"), ("top", "right"), ("left", "end"), ("right", "end")], "diamond")


@pytest.mark.parametrize("batches", [True, False])
def test_metrics_count_nodes_wherever_they_ran(client: Any, tmp_path: Path, batches: bool) -> None:
    settled(client)
    with DaskRuntime(client, enable_monitoring=False, batches=batches) as runtime:
        for number in range(3):
            runtime.execute(_diamond(tmp_path / f"{number}"))
        metrics = runtime.metrics()
    found = metrics.workflows["diamond"]
    assert (found.runs, found.completed, metrics.active) == (3, 3, 0)
    assert {node_id: node.executions for node_id, node in found.nodes.items()} == dict.fromkeys(
        ("top", "left", "right", "end"), 3
    )
    assert all(node.measured == 3 for node in found.nodes.values())
    assert found.nodes["left"].duration.total >= 0.15
    assert found.queue_wait.count == 12


def test_failures_skips_and_iterations_are_counted(runtime: DaskRuntime, tmp_path: Path) -> None:
    with pytest.raises(RuntimeExecutionError):
        runtime.execute(_diamond(tmp_path / "notes", left={"does": "fail"}))
    failed = runtime.metrics().workflows["diamond"]
    assert dict(failed.nodes["left"].failures) == {"ValueError": 1}
    assert failed.nodes["top"].executions == failed.nodes["left"].executions == 1
    assert failed.nodes["end"].executions == 0

    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "start", {"code": "result = {'v': 5}"})
    builder.add_node("SwitchNode", "switch", {"condition_field": "v", "operator": "==", "value": 5})
    for node_id, port in (("yes", "true_output"), ("no", "false_output")):
        builder.add_node("PythonCodeNode", node_id, {"code": "result = data"})
        builder.add_connection("switch", port, node_id, "data")
    builder.add_connection("start", "result", "switch", "input_data")
    runtime.execute(builder.build(name="switched"))
    switched = runtime.metrics().workflows["switched"].nodes
    assert {node_id: (node.executions, node.skipped) for node_id, node in switched.items()} == {
        "start": (1, 0), "switch": (1, 0), "yes": (1, 0), "no": (0, 1),
    }  # fmt: skip

    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "adds", {"code": "result = x + 1"})
    workflow = builder.build(name="cyclic")
    workflow.create_cycle("c").connect("adds", "adds", {"result": "x"}).max_iterations(4).build()
    runtime.execute(workflow, parameters={"adds": {"x": 0}})
    assert runtime.metrics().workflows["cyclic"].nodes["adds"].executions == 4


def test_a_trace_has_the_nodes_on_their_workers_threads(client: Any, tmp_path: Path) -> None:
    settled(client)
    with DaskRuntime(client, enable_monitoring=False, batches=False) as runtime:
        runtime.enable_trace()
        with runtime.trace() as recording:
            runtime.execute(_diamond(tmp_path / "notes"))
        assert runtime.engine_statistics()["placements"] == {"groups of nodes": 1}
        lines = runtime.last_trace()
    trace = recording.trace
    (run,) = trace.runs
    ids = [node_id for node_id, _ in run.nodes]
    events = {ids[event.node]: event for event in trace.events}
    assert set(events) == {"top", "left", "right", "end"}
    for event in events.values():
        assert run.began <= event.ready <= event.start <= event.end <= run.ended
        assert trace.threads[event.thread].name.startswith("worker ")
        assert trace.threads[event.thread].native_id > 0
    assert events["left"].ready == events["right"].ready == events["top"].end
    assert events["end"].ready == max(events["left"].end, events["right"].end)
    assert sorted(node_id for node_id, *_ in lines) == sorted(ids)
    assert all(thread.startswith("worker ") and 0 <= start <= end for _, thread, start, end in lines)


def test_a_trace_tells_of_failures(runtime: DaskRuntime, tmp_path: Path) -> None:
    with runtime.trace() as recording, pytest.raises(RuntimeExecutionError):
        runtime.execute(_diamond(tmp_path / "notes", right={"does": "fail"}))
    trace = recording.trace
    ids = [node_id for node_id, _ in trace.runs[0].nodes]
    (failed,) = [event for event in trace.events if event.status == "failed"]
    assert (ids[failed.node], failed.error) == ("right", "ValueError")
    assert trace.runs[0].status == "failed"


def test_clocks_that_differ_are_set_right_as_far_as_they_must_be() -> None:
    assert _shift(5.0, 6.0, 4.0, 7.0) == 0.0
    assert _shift(2.0, 3.0, 4.0, 7.0) == 2.0
    assert _shift(8.0, 9.0, 4.0, 7.0) == -2.0
    # It cannot have taken so long, by this clock: that it did not begin before what it waits for matters more.
    assert _shift(8.0, 12.0, 6.0, 7.0) == -2.0


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@pytest.fixture
def read() -> Iterator[list[logging.LogRecord]]:
    """What is logged under ``dask_runtime.nodes``."""
    handler, logger = _Records(), logging.getLogger("dask_runtime.nodes")
    logger.addHandler(handler)
    yield handler.seen
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_what_nodes_log_is_logged_by_the_client_at_its_levels(
    runtime: DaskRuntime, client: Any, tmp_path: Path, read: list[logging.LogRecord]
) -> None:
    def workflow(name: str) -> Any:
        return noting(tmp_path / name, {"a": {"does": "log"}, "b": {"does": "log"}}, [("a", "b")], name)

    runtime.execute(workflow("quiet"))
    assert [record.getMessage() for record in read] == ["a warns", "b warns"]
    assert read[0].dask_worker.startswith("tcp://")  # type: ignore[attr-defined]
    assert read[0].exc_info is not None
    assert isinstance(read[0].exc_info[1], KeyError)
    read.clear()
    logging.getLogger("dask_runtime.nodes").setLevel(logging.DEBUG)
    runtime.execute(workflow("talkative"))
    assert [record.getMessage() for record in read] == ["a says", "a warns", "b says", "b warns"]
    read.clear()
    logging.getLogger("dask_runtime.nodes").setLevel(logging.ERROR)
    runtime.execute(workflow("silent"))
    assert read == []
    # The workers are as they were.
    level = client.run(lambda: logging.getLogger("dask_runtime.nodes").level)
    assert set(level.values()) == {logging.NOTSET}


def test_records_of_runs_at_the_same_time_stay_apart(
    client: Any, tmp_path: Path, read: list[logging.LogRecord]
) -> None:
    settled(client)
    nodes = {f"n{place}": {"does": "log", "seconds": 0.01} for place in range(6)}

    def run(name: str) -> None:
        with DaskRuntime(client, enable_monitoring=False) as runtime:
            runtime.execute(noting(tmp_path / name, nodes, [], name))

    threads = [threading.Thread(target=run, args=[f"run{number}"]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(record.getMessage() for record in read) == {f"{node_id} warns": 3 for node_id in nodes}


def test_a_flood_of_records_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_core.distributed.carried_logs._MOST_RECORDS", 3)
    records = LogRecords((0, {"": logging.INFO, "chatty": logging.ERROR}))
    for number in range(5):
        records.add(logging.makeLogRecord({"name": "some", "levelno": logging.INFO, "msg": f"{number}"}))
        records.add(logging.makeLogRecord({"name": "chatty.inner", "levelno": logging.INFO, "msg": "not wanted"}))
    packed = records.packed("tcp://w:1")
    assert packed is not None
    from nexus_core.shipping import unpack

    kept = unpack(packed)
    assert [fields["msg"] for fields in kept[:3]] == ["0", "1", "2"]
    assert kept[3]["args"] == (2, "tcp://w:1")
    assert LogRecords((0, {})).packed("tcp://w:1") is None


def test_the_level_of_a_logger_is_that_of_the_nearest_that_has_one() -> None:
    levels = {"": logging.INFO, "a": logging.ERROR, "a.b.c": logging.DEBUG}
    assert [effective_level(levels, name) for name in ("a", "a.b", "a.b.c", "a.b.c.d", "x", "")] == [
        40,
        40,
        10,
        10,
        20,
        20,
    ]
