"""Nothing is lost when a process ends or forks, and nothing is written twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("kailash", exc_type=ImportError)


from .support import lock, rows, run_python


def test_exit_writes_what_waits(tmp_path: Path) -> None:
    done = run_python(
        """
        from nexus_core.runtime import history_queue
        from nexus_core.runtime.history import history_writer
        history_queue._LINGER = 3600  # the thread does not get to it
        for _ in range(500):
            history_writer().submit(record())
        print(history_writer().stats()["waiting_runs"])
        """,
        tmp_path,
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("500", "", 0)
    assert len(rows(tmp_path, "workflow_runs")) == 500
    assert len(rows(tmp_path, "tasks")) == 1000


def test_runs_that_end_during_exit_are_written_too(tmp_path: Path) -> None:
    done = run_python(
        """
        import atexit
        atexit.register(lambda: history_writer().submit(record("late handler")))  # runs last
        from nexus_core.runtime.history import history_writer
        atexit.register(lambda: history_writer().submit(record("early handler")))
        def outlives_main():
            time.sleep(0.3)
            history_writer().submit(record("thread"))
        threading.Thread(target=outlives_main).start()
        history_writer().submit(record("main"))
        raise SystemExit(3)
        """,
        tmp_path,
    )
    assert (done.stderr, done.returncode) == ("", 3)
    names = [row["workflow_name"] for row in rows(tmp_path, "workflow_runs")]
    assert names == ["main", "thread", "early handler", "late handler"]


def test_exit_with_a_database_that_stays_locked_ends_and_says_so(tmp_path: Path) -> None:
    holder = lock(tmp_path)
    done = run_python(
        """
        from nexus_core.runtime import history_queue
        from nexus_core.runtime.history import history_writer
        history_queue.BUSY_PATIENCE = 0.3
        history_writer().submit(record())
        """,
        tmp_path,
    )
    holder.close()
    assert done.returncode == 0
    assert "Failed to persist deferred tracking data: database is locked" in done.stderr
    assert rows(tmp_path, "workflow_runs") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_writes_its_own_runs_and_not_its_parents(tmp_path: Path) -> None:
    done = run_python(
        """
        import warnings; warnings.simplefilter("ignore")
        from nexus_core.runtime.history import history_writer
        history_writer().submit(record("before"))
        assert history_writer().flush(10)
        for _ in range(20):
            history_writer().submit(record("parent"))
        child = os.fork()
        if child == 0:
            assert history_writer().stats()["waiting_runs"] == 0
            history_writer().submit(record("child"))
            while history_writer().is_waiting():
                time.sleep(0.01)
            assert "nexus-core-history" in [t.name for t in threading.enumerate()]
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        history_writer().submit(record("after"))
        """,
        tmp_path,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    names = [row["workflow_name"] for row in rows(tmp_path, "workflow_runs")]
    assert sorted(names) == ["after", "before", "child"] + ["parent"] * 20
    assert len(rows(tmp_path, "tasks")) == 2 * 23


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_forked_while_the_thread_sleeps_gets_a_thread_of_its_own(tmp_path: Path) -> None:
    done = run_python(
        """
        import warnings; warnings.simplefilter("ignore")
        from nexus_core.runtime import history_queue
        from nexus_core.runtime.history import history_writer
        history_writer().submit(record("parent"))
        while history_writer().is_waiting() or not history_queue.worker._asleep:
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            # SQLite forbids to carry a connection across a fork.
            assert history_writer()._storage is None
            history_writer().submit(record("child"))
            while history_writer().is_waiting():
                time.sleep(0.01)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        tmp_path,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert [row["workflow_name"] for row in rows(tmp_path, "workflow_runs")] == ["parent", "child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_forking_while_threads_submit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    done = run_python(
        """
        import warnings; warnings.simplefilter("ignore")
        from nexus_core.runtime.history import history_writer
        def submit():
            for _ in range(300):
                history_writer().submit(record("parent"))
        threads = [threading.Thread(target=submit) for _ in range(4)]
        for t in threads: t.start()
        children = []
        for _ in range(15):
            child = os.fork()
            if child == 0:
                history_writer().submit(record("child"))
                os._exit(0 if history_writer().flush(20) else 1)
            children.append(child)
        for t in threads: t.join()
        assert all(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) == 0 for c in children)
        """,
        tmp_path,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    names = [row["workflow_name"] for row in rows(tmp_path, "workflow_runs")]
    assert (names.count("parent"), names.count("child")) == (1200, 15)
    assert len(rows(tmp_path, "tasks")) == 2 * 1215


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_multiprocessing_child_writes_before_it_ends(tmp_path: Path) -> None:
    done = run_python(
        """
        import multiprocessing, warnings; warnings.simplefilter("ignore")
        from nexus_core.runtime import history_queue
        from nexus_core.runtime.history import history_writer
        history_queue._LINGER = 3600
        def child():
            history_writer().submit(record("child"))
        context = multiprocessing.get_context("fork")
        process = context.Process(target=child)
        process.start(); process.join(30)
        assert process.exitcode == 0
        """,
        tmp_path,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert [row["workflow_name"] for row in rows(tmp_path, "workflow_runs")] == ["child"]
