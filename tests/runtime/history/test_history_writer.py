"""Runs reach the database whatever it does, and can be read back at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("kailash", exc_type=ImportError)

from kailash.tracking.manager import TaskManager
from kailash.tracking.storage.database import SQLiteStorage

from nexus_core.runtime import history, history_queue
from nexus_core.runtime.history import HistoryWriter, history_writer

from .support import database, lock, record, rows, run_python, task


def test_what_waits_is_merged_into_one_transaction(home: Path) -> None:
    writer = history_writer()
    with writer._io:  # the thread cannot write meanwhile
        for _ in range(50):
            writer.submit(record("a", "b"))
    assert writer.flush(10)
    stats = writer.stats()
    assert stats["written_rows"] == 150
    assert stats["batches"] <= 2
    assert len(rows(home, "tasks")) == 100


def test_every_number_of_tasks_is_written_in_order(home: Path) -> None:
    sizes = [0, 1, 3, 14, 16, 59, 61, 249, 251, 1003]
    for size in sizes:
        run = record(name=str(size))
        run.tasks = [task(f"n{i}") for i in range(size)]
        if size % 2:  # one odd row, so that the run takes the general shape
            run.tasks = [*run.tasks[:-1], task(f"n{size - 1}")._replace(status="failed", error="x", duration=None)]
        history_writer().submit(run)
    assert history_writer().flush(10)
    runs = {row["run_id"]: int(row["workflow_name"]) for row in rows(home, "workflow_runs")}
    assert sorted(runs.values()) == sizes
    written: dict[str, list[str]] = {run_id: [] for run_id in runs}
    for row in rows(home, "tasks"):
        written[row["run_id"]].append(row["node_id"])
    assert written == {run_id: [f"n{i}" for i in range(size)] for run_id, size in runs.items()}


@pytest.mark.own_process
def test_many_threads_submit_and_one_thread_writes(home: Path) -> None:
    def submit() -> None:
        for _ in range(25):
            history_writer().submit(record("a"))

    threads = [threading.Thread(target=submit) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [t.name for t in threading.enumerate()].count("nexus-core-history") == 1
    assert history_writer().flush(30)
    assert len(rows(home, "workflow_runs")) == len(rows(home, "tasks")) == 800


def test_the_thread_writes_without_being_asked(home: Path) -> None:
    history_writer().submit(record())
    end = time.monotonic() + 30
    while history_writer().is_waiting() and time.monotonic() < end:
        time.sleep(0.01)
    assert len(rows(home, "workflow_runs")) == 1


def test_each_home_gets_the_runs_that_ended_under_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for i in range(20):
        monkeypatch.setenv("HOME", str(homes[i % 2]))
        history_writer().submit(record(name=str(i)))
    for number, place in enumerate(homes):
        monkeypatch.setenv("HOME", str(place))
        assert history_writer().flush(10)
        names = [int(row["workflow_name"]) for row in rows(place, "workflow_runs")]
        assert names == list(range(number, 20, 2))


def test_a_database_that_vanished_is_made_anew(home: Path) -> None:
    history_writer().submit(record(name="first"))
    assert history_writer().flush(10)
    for file in database(home).parent.iterdir():
        file.unlink()
    database(home).parent.rmdir()
    history_writer().submit(record(name="second"))
    assert history_writer().flush(10)
    assert [row["workflow_name"] for row in rows(home, "workflow_runs")] == ["second"]


def test_a_closed_writer_writes_at_once_and_is_replaced(home: Path) -> None:
    writer = history_writer()
    writer.submit(record())
    writer.close()
    assert len(rows(home, "workflow_runs")) == 1
    writer.submit(record())
    assert len(rows(home, "workflow_runs")) == 2
    assert history_writer() is not writer
    writer.close()


def test_a_run_that_sqlite_refuses_spoils_no_other(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad_run, bad_task, bad_status = record(name="run"), record("x", name="task"), record(name="status")
    bad_run.error = "\ud800"
    bad_task.tasks = [task("x")._replace(error="\ud800")]
    bad_status.status = "cancelled"
    writer = history_writer()
    with writer._io:
        for run in (record("a", name="good"), bad_run, bad_task, bad_status, record("b", name="good too")):
            writer.submit(run)
    assert writer.flush(10)
    # As stock: a run's row is committed before its tasks are tried.
    assert [row["workflow_name"] for row in rows(home, "workflow_runs")] == ["good", "task", "good too"]
    assert [row["node_id"] for row in rows(home, "tasks")] == ["a", "b"]
    assert writer.stats()["lost_rows"] == 2 + 1 + 2
    end = time.monotonic() + 30  # the thread may be the one that warns
    while len(caplog.messages) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert [m.startswith("Failed to persist deferred tracking data: ") for m in caplog.messages] == [True] * 3


# --- databases that refuse ---


def test_a_locked_database_is_waited_for(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = lock(home)
    writer = history_writer()
    for _ in range(3):
        writer.submit(record())
    assert not writer.flush(0.3)
    assert writer.is_waiting()
    holder.execute("ROLLBACK")
    holder.close()
    assert writer.flush(10)
    assert len(rows(home, "workflow_runs")) == 3
    assert caplog.messages == []


def test_a_database_locked_for_too_long_is_warned_about_and_nothing_is_lost(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_queue, "BUSY_PATIENCE", 0.2)
    holder = lock(home)
    writer = history_writer()
    writer.submit(record())
    assert not writer.flush()  # ends by itself
    end = time.monotonic() + 30
    while not caplog.messages and time.monotonic() < end:
        time.sleep(0.01)
    assert caplog.messages == ["Failed to persist deferred tracking data: database is locked"]
    assert writer.stats()["failing"] and writer.stats()["lost_rows"] == 0
    writer.submit(record())  # does not wait
    holder.execute("ROLLBACK")
    holder.close()
    assert writer.flush(10)
    assert len(rows(home, "workflow_runs")) == 2


def test_a_full_disk_is_tried_again(home: Path) -> None:
    writer = history_writer()
    writer.submit(record())
    assert writer.flush(10)
    with writer._io:
        conn = writer._connection()
        conn.execute(f"PRAGMA max_page_count={conn.execute('PRAGMA page_count').fetchone()[0]}")
        for i in range(200):
            writer.submit(record(f"n{i}"))
        assert not writer._write_batch()
    assert "full" in writer.stats()["last_error"]
    assert writer.flush(10)  # a new connection has no such limit
    assert len(rows(home, "tasks")) == 201


def test_an_unusable_home_breaks_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wall = tmp_path / "file"
    wall.write_text("not a directory")
    monkeypatch.setenv("HOME", str(wall / "home"))
    writer = history_writer()
    writer.submit(record("a"))
    assert not writer.flush()
    assert writer.stats()["waiting_rows"] == 2
    writer.close()
    assert writer.stats()["lost_rows"] == 2
    assert caplog.messages
    assert all(m.startswith("Failed to persist deferred tracking data: ") for m in caplog.messages)
    wall.unlink()
    history_writer().submit(record("a"))
    assert history_writer().flush(10)
    history_writer().close()


def test_a_full_queue_makes_submit_wait_until_there_is_room(home: Path) -> None:
    holder = lock(home)
    writer = HistoryWriter(str(database(home)), max_rows=10)
    done = threading.Event()
    most = 0

    def submit() -> None:
        nonlocal most
        for _ in range(30):
            writer.submit(record("a"))
            most = max(most, writer.stats()["waiting_rows"])
        done.set()

    thread = threading.Thread(target=submit)
    thread.start()
    assert not done.wait(0.5)
    assert writer.stats()["waiting_rows"] == 10
    holder.execute("ROLLBACK")
    holder.close()
    assert done.wait(30)
    thread.join()
    assert writer.flush(10)
    assert most <= 10
    assert len(rows(home, "workflow_runs")) == 30
    assert writer.stats()["lost_rows"] == 0


def test_waiting_bytes_are_bounded_and_one_large_run_still_passes(home: Path) -> None:
    writer = HistoryWriter(str(database(home)), max_bytes=100_000)
    large = record()
    large.tasks = [task("a", json.dumps({"result": "x" * 1_000_000}))]
    writer.submit(large)
    for i in range(5):
        run = record()
        run.tasks = [task(str(i), json.dumps({"result": "y" * 60_000}))]
        writer.submit(run)
        assert writer.stats()["waiting_bytes"] <= 100_000
    assert writer.flush(10)
    assert len(rows(home, "tasks")) == 6


def test_a_full_queue_before_a_dead_database_loses_with_a_count_instead_of_blocking(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_queue, "_ERROR_PATIENCE", 0.1)
    (tmp_path / "file").write_text("")
    writer = HistoryWriter(str(tmp_path / "file" / "tracking.db"), max_rows=4)
    for _ in range(5):
        writer.submit(record("a"))
    assert writer.stats()["waiting_rows"] == 4
    assert writer.stats()["lost_rows"] == 6
    (tmp_path / "file").unlink()
    assert writer.flush(10)
    writer.close()
    assert writer.stats()["written_rows"] == 4


# --- reading back ---


@pytest.fixture
def barrier(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    saved = {name: SQLiteStorage.__dict__[name] for name in history._BEHIND_BARRIER}
    history.install_read_barrier()
    yield
    for name, method in saved.items():
        setattr(SQLiteStorage, name, method)


@pytest.mark.usefixtures("barrier")
def test_a_run_is_visible_as_soon_as_it_is_submitted(home: Path) -> None:
    open_before = SQLiteStorage()
    for count in range(1, 30):
        run = record("a", "b")
        history_writer().submit(run)
        assert len(open_before.list_runs()) == 3 * count - 2
        history_writer().submit(run := record("c"))
        found = open_before.load_run(run.run_id)
        assert found is not None and len(found.tasks) == 1
        history_writer().submit(run := record("d"))
        assert [row.node_id for row in open_before.list_tasks(run.run_id)] == ["d"]
    history_writer().submit(record())
    open_before.clear()  # and what waited does not come back
    assert open_before.list_runs() == []
    open_before.close()
    history_writer().submit(record(name="last"))
    assert [summary.workflow_name for summary in TaskManager().list_runs()] == ["last"]


@pytest.mark.usefixtures("barrier")
def test_a_new_database_may_be_opened_while_the_thread_makes_it(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def opens(path: Path, start: threading.Barrier) -> None:
        start.wait(20)
        try:
            SQLiteStorage(str(path)).close()
        except Exception as error:
            failures.append(error)

    for number in range(20):
        start = threading.Barrier(4)
        path = tmp_path / f"{number}.db"
        threads = [threading.Thread(target=opens, args=(path, start)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not failures


@pytest.mark.usefixtures("barrier")
def test_installing_the_barrier_twice_changes_nothing(home: Path) -> None:
    once = {name: getattr(SQLiteStorage, name) for name in history._BEHIND_BARRIER}
    history.install_read_barrier()
    assert {name: getattr(SQLiteStorage, name) for name in history._BEHIND_BARRIER} == once


@pytest.mark.usefixtures("barrier")
def test_the_barrier_leaves_other_databases_alone(home: Path, tmp_path: Path) -> None:
    writer = history_writer()
    with writer._io:
        writer.submit(record())
        other = SQLiteStorage(str(tmp_path / "other" / "x.db"))
        assert other.list_runs() == []
        assert writer.is_waiting()
    other.close()


def test_a_storage_inside_its_own_transaction_is_not_held_up(tmp_path: Path) -> None:
    done = run_python(
        """
        from nexus_core.runtime import history, history_queue
        history.BUSY_PATIENCE = history_queue.BUSY_PATIENCE = 3600  # held up is forever
        history.install_read_barrier()
        storage = history.SQLiteStorage()
        storage.conn.execute("BEGIN IMMEDIATE")
        history.history_writer().submit(record())
        print(len(storage.list_runs()))
        storage.conn.rollback()
        print(len(storage.list_runs()))
        """,
        tmp_path,
    )
    assert (done.stdout.split(), done.returncode) == (["0", "1"], 0), done.stderr


def test_the_barrier_never_waits_for_the_thread_it_runs_on(tmp_path: Path) -> None:
    done = run_python(
        """
        from nexus_core.runtime import history
        history.install_read_barrier()
        for _ in range(3):  # every batch opens stock's storage on the writing thread
            history.history_writer().submit(record())
            while history.history_writer().is_waiting():
                time.sleep(0.01)
            history.history_writer().close()
        print(len(history.SQLiteStorage().list_runs()))
        """,
        tmp_path,
    )
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr
