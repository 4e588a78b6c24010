"""Who has begun what, as the scheduler knows it, for as long as it has to."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import Client
from kailash.sdk_exceptions import RuntimeExecutionError

from nexus_core.distributed import ClusterError, DaskRuntime
from nexus_core.distributed.messages import GroupTask, RunTerms
from nexus_core.distributed.tasks import run_group
from nexus_core.shipping import ship

from .nodes import counts, noting, settled

pytestmark = pytest.mark.timeout(120)


def _claims(client: Any, run: str, group: int, who: str) -> Any:
    def ask(dask_scheduler: Any) -> Any:
        return dask_scheduler.handlers["nexus_core_claim"](run=run, group=group, worker="tcp://w:1", client=who)

    return client.run_on_scheduler(ask)


def _forget(client: Any, run: str) -> None:
    client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.handlers["nexus_core_forget"](run=run))


def _open_runs(client: Any) -> int:
    def count(dask_scheduler: Any) -> int:
        return sum(known is not None for known in dask_scheduler.plugins["nexus-core-claims"]._runs.values())

    return int(client.run_on_scheduler(count))


def test_nothing_of_a_run_that_is_over_begins(client: Any, tmp_path: Path) -> None:
    with DaskRuntime(client, enable_monitoring=False) as runtime:
        runtime.execute(noting(tmp_path / "notes", {"n": {}}, []))
    assert _claims(client, "ended", 0, client.id) is None
    assert _claims(client, "ended", 0, client.id) == "tcp://w:1"
    _forget(client, "ended")
    # A task that is not cancelled yet, on the worker that it was given to when the first one was lost.
    assert _claims(client, "ended", 0, client.id) == ""
    assert _claims(client, "nobody's", 0, "Client-gone") == ""


def test_a_client_that_leaves_takes_its_runs_along(client: Any, cluster: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    settled(client)
    leaving = Client(cluster, set_as_default=False)
    with DaskRuntime(leaving, enable_monitoring=False) as runtime:

        def leave() -> None:
            while not notes.exists():
                time.sleep(0.01)
            leaving.close()

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(RuntimeExecutionError) as raised:
            runtime.execute(noting(notes, {"waits": {"does": "wait"}, "after": {}}, [("waits", "after")]))
        thread.join()
    assert isinstance(raised.value.__cause__, ClusterError)
    while _open_runs(client):
        time.sleep(0.01)
    notes.with_suffix(".gate").touch()
    assert counts(notes) == {"waits": 1}


def test_other_versions_are_told(tmp_path: Path) -> None:
    terms = RunTerms("t", "c", ("0.0.1", "0.0.2"), None, False, (), "p", (0, {}))
    task = GroupTask(terms, 0, {"n": 0})
    with pytest.raises(ClusterError, match=r"its client nexus-core 0\.0\.1 with Kailash 0\.0\.2"):
        run_group(task, ship(noting(tmp_path / "notes", {"n": {}}, [])), None, [])
    assert counts(tmp_path / "notes") == {}
