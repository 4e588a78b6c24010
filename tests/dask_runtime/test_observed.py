"""What the client sees of nodes on workers: metrics, traces, log records."""

from __future__ import annotations

import logging
import os
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
from nexus_core.distributed.carried_logs import (
    LogRecords,
    collected_logs,
    effective_level,
    log_again,
    this_process,
)
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


def _logged(records: list[logging.LogRecord]) -> Any:
    kept = LogRecords((0, {"": logging.INFO}))
    for record in records:
        kept.add(record)
    return kept.on("tcp://w:1")


def _record(message: Any, *arguments: Any) -> logging.LogRecord:
    return logging.LogRecord("dask_runtime.nodes", logging.WARNING, __file__, 1, message, arguments, None)


@pytest.mark.parametrize("limit", [{"_MOST_RECORDS": 3}, {"_MOST_BYTES": 3500}], ids=str)
def test_a_flood_of_records_is_cut_and_counted(
    limit: dict[str, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, most in limit.items():
        monkeypatch.setattr(f"nexus_core.distributed.carried_logs.{name}", most)
    records = LogRecords((0, {"": logging.INFO, "chatty": logging.ERROR}))
    text = "x" * 300
    for number in range(12):
        records.add(logging.makeLogRecord({"name": "some", "levelno": logging.INFO, "msg": f"{number}{text}"}))
        records.add(logging.makeLogRecord({"name": "chatty.inner", "levelno": logging.INFO, "msg": "not wanted"}))
    logged = records.on("tcp://w:1")
    assert logged is not None
    assert 0 < len(logged.records) < 12
    assert logged.more == 12 - len(logged.records)
    caplog.set_level(logging.INFO)
    log_again(logged)
    *kept, last = [record.getMessage() for record in caplog.records]
    assert kept == [f"{number}{text}" for number in range(len(kept))]
    assert last == f"{logged.more} more records of a group of nodes were logged on tcp://w:1, and stay there"
    assert {record.dask_worker for record in caplog.records} == {"tcp://w:1"}  # type: ignore[attr-defined]
    assert LogRecords((0, {})).on("tcp://w:1") is None


def test_a_record_is_what_it_was_when_it_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    growing: list[Any] = [1]
    kept = LogRecords((0, {}))
    kept.add(_record("now %s", growing))
    growing.append(threading.Lock())
    logged = kept.on("tcp://w:1")
    assert logged is not None
    log_again(logged)
    assert [record.getMessage() for record in caplog.records] == ["now [1]"]


def test_a_record_that_cannot_be_read_fails_no_run(caplog: pytest.LogCaptureFixture) -> None:
    log_again(_logged([_record("before"), _record("it is %s", OnlyThere()), _record("after")]))
    before, between, after = [record.getMessage() for record in caplog.records]
    assert (before, after) == ("before", "after")
    assert "tcp://w:1 cannot be read here (ValueError('only there'))" in between
    assert "it is only there" in between


class OnlyThere:
    """What can be described, and not made again."""

    def __str__(self) -> str:
        return "only there"

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("only there")


class LogsItself:
    """What logs whenever it is described."""

    def __reduce__(self) -> Any:
        logging.getLogger("dask_runtime.nodes").warning("described %s", self)
        return str, ("logs",)


def test_what_logs_when_it_is_described_is_described_once() -> None:
    with collected_logs((0, {"": logging.WARNING})) as records:
        logging.getLogger("dask_runtime.nodes").warning("%s", LogsItself())
    logged = records.on("tcp://w:1")
    assert logged is not None
    assert len(logged.records) == 1


def test_a_worker_that_logs_less_than_all_goes_on_to_do_so() -> None:
    logger = logging.getLogger("dask_runtime.nodes.silenced")
    logger.setLevel(logging.CRITICAL + 10)
    try:
        with collected_logs((0, {"": logging.WARNING})):
            assert logger.level == logging.WARNING
        assert logger.level == logging.CRITICAL + 10
    finally:
        logger.setLevel(logging.NOTSET)


def test_a_copy_of_a_process_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = this_process()
    assert this_process() == mine
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert this_process() != mine


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
