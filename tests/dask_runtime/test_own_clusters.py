"""Clusters that a test cannot share: one of the runtime's own, one whose memory ends, one whose scheduler is restarted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from kailash.runtime.cancellation import CancellationToken
from kailash.sdk_exceptions import RuntimeExecutionError, WorkflowCancelledError

from nexus_core.distributed import ClusterError, ClusterWorkerLost, DaskRuntime

from .nodes import counts, noting

pytestmark = pytest.mark.timeout(200)

_HERE = Path(__file__).parents[1]


def test_a_cluster_is_made_on_first_use_and_closed_with_the_runtime(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with DaskRuntime(enable_monitoring=False, cluster_options={"n_workers": 1}) as runtime:
        assert not runtime._connection.is_open
        results, _ = runtime.execute(noting(notes, {"a": {}, "b": {}}, [("a", "b")]))
        assert results["b"]["result"][0] == "b"
        cluster, client = runtime.cluster, runtime.client
        assert len(cluster.workers) == 1
    assert cluster.status.name == "closed"
    assert client.status == "closed"


def test_a_client_that_is_closed_is_opened_again_on_the_same_cluster(tmp_path: Path) -> None:
    with DaskRuntime(enable_monitoring=False, cluster_options={"n_workers": 1}) as runtime:
        cluster = runtime.cluster if runtime.client else None
        runtime.client.close()
        runtime.execute(noting(tmp_path / "notes", {"a": {}}, []))
        assert runtime.cluster is cluster
    assert cluster is not None
    assert cluster.status.name == "closed"


def test_a_cluster_may_be_of_threads_and_leaves_ctrl_c_to_this_process(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    options = {"n_workers": 1, "processes": False}
    with DaskRuntime(enable_monitoring=False, cluster_options=options) as runtime:
        runtime.execute(noting(tmp_path / "notes", {"a": {}}, []))
        assert signal.getsignal(signal.SIGINT) is before
    assert counts(tmp_path / "notes") == {"a": 1}


def test_a_run_that_waits_for_a_first_worker_can_be_cancelled(tmp_path: Path) -> None:
    workflow = noting(tmp_path / "notes", {"n": {}}, [])
    token = CancellationToken()
    with DaskRuntime(enable_monitoring=False, timeout=1000, cluster_options={"n_workers": 0}) as runtime:
        runtime.client  # noqa: B018
        timer = threading.Timer(0.3, lambda: token.cancel("enough"))
        timer.start()
        with pytest.raises(WorkflowCancelledError, match="enough"):
            runtime.execute(workflow, cancellation_token=token)
        timer.join()


def test_parameters_are_there_again_when_their_worker_is_lost(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    workflow = noting(notes, {"killer": {"does": "die", "times": 1}}, [])
    large = [f"{number:01000}" for number in range(1000)]
    with DaskRuntime(enable_monitoring=False, retry_on_worker_loss=True, cluster_options={"n_workers": 1}) as runtime:
        results, _ = runtime.execute(workflow, parameters={"killer": {"y": large}})
    assert results["killer"]["result"][2] == large
    assert counts(notes) == {"killer": 2}


_INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from dask_runtime.nodes import counts, noting
from nexus_core.distributed import DaskRuntime

def interrupt(notes):
    while not notes.exists():
        time.sleep(0.01)
    os.killpg(os.getpgid(0), signal.SIGINT)  # as a terminal does

if __name__ == "__main__":
    notes = Path(sys.argv[1]) / "notes"
    with DaskRuntime(enable_monitoring=False, timeout=20, cluster_options={"n_workers": 1}) as runtime:
        runtime.client
        thread = threading.Thread(target=interrupt, args=[notes])
        thread.start()
        try:
            runtime.execute(noting(notes, {"waits": {"does": "wait"}, "after": {}}, [("waits", "after")]))
        except KeyboardInterrupt:
            print("interrupted")
        thread.join()
        def executing(dask_worker):
            return [str(task.key) for task in dask_worker.state.executing if task.state == "executing"]
        while any(runtime.client.run(executing).values()):
            time.sleep(0.01)
        notes.with_suffix(".gate").touch()
        runtime.execute(noting(notes.with_name("more"), {"fine": {}}, []))
        print(counts(notes), counts(notes.with_name("more")))
"""


def test_ctrl_c_in_a_terminal_ends_the_run_and_leaves_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(_INTERRUPTED)
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.stdout.splitlines() == ["interrupted", "{'waits': 1} {'fine': 1}"], ended.stderr


def test_a_node_that_eats_its_workers_memory_fails_the_run(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    options = {"n_workers": 1, "memory_limit": "600MiB"}
    with DaskRuntime(enable_monitoring=False, cluster_options=options) as runtime:
        with pytest.raises(RuntimeExecutionError, match="'eats'") as raised:
            runtime.execute(noting(notes, {"eats": {"does": "eat"}}, []))
        assert isinstance(raised.value.__cause__, ClusterWorkerLost)
        assert counts(notes) == {"eats": 1}
        results, _ = runtime.execute(noting(tmp_path / "more", {"fine": {}}, []))
        assert results["fine"]["result"][0] == "fine"


def test_all_workers_restarted_meanwhile(tmp_path: Path) -> None:
    options = {"n_workers": 1}
    with DaskRuntime(enable_monitoring=False, cluster_options=options) as runtime:
        client = runtime.client
        notes = tmp_path / "notes"
        workflow = noting(notes, {"waits": {"does": "wait"}}, [])

        def restart() -> None:
            while not notes.exists():
                time.sleep(0.01)
            client.restart(timeout=60)

        restarting = threading.Thread(target=restart)
        restarting.start()
        with pytest.raises(RuntimeExecutionError, match=r"dropped|gone") as raised:
            runtime.execute(workflow)
        restarting.join()
        assert isinstance(raised.value.__cause__, ClusterError)
        notes.with_suffix(".gate").touch()
        results, _ = runtime.execute(workflow)
        assert results["waits"]["result"][0] == "waits"
        assert counts(notes) == {"waits": 2}


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
        cwd=_HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def _cluster(port: int) -> Iterator[subprocess.Popen[bytes]]:
    address = f"tcp://127.0.0.1:{port}"
    with (
        _process(
            "dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"
        ) as first,
        _process("dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", "60"),
    ):
        yield first


def test_a_scheduler_that_is_restarted(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notes = tmp_path / "notes"
    waiting = noting(notes, {"waits": {"does": "wait"}}, [])
    with DaskRuntime(f"tcp://127.0.0.1:{port}", timeout=60, enable_monitoring=False) as runtime:
        with _cluster(port) as scheduler:
            _connect(runtime)

            def kill() -> None:
                while not notes.exists():
                    time.sleep(0.01)
                scheduler.kill()

            killing = threading.Thread(target=kill)
            killing.start()
            with pytest.raises(RuntimeExecutionError) as raised:
                runtime.execute(waiting)
            killing.join()
            assert isinstance(raised.value.__cause__, ClusterError)
        notes.with_suffix(".gate").touch()
        with _cluster(port):
            _connect(runtime)
            results, _ = runtime.execute(waiting)
            assert results["waits"]["result"][0] == "waits"
            assert counts(notes) == {"waits": 2}


def _connect(runtime: Any) -> None:
    """Once the processes are up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            runtime._connection.ready()
            return
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
