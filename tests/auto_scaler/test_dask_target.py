"""A real Dask cluster as a target: scaled up, and down without a task that is lost or runs twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from auto_scaler.support import until
from nexus_core import AutoScaler
from nexus_core.errors import TargetError
from nexus_core.scaling import DaskTarget, dask_target
from performance_monitor.support import run

distributed = pytest.importorskip("distributed")

# Dask leaves sockets and event loops to the collector of garbage when it closes.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
    ) as made:  # fmt: skip
        yield made


def _waits(folder: str, number: int) -> int:
    """Says that it has begun, and goes on when the test lets it."""
    with open(f"{folder}/began", "a") as began:
        began.write(f"{number}\n")
    deadline = time.monotonic() + 60
    while not Path(folder, f"go-{number}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return number


def test_workers_that_go_drain(cluster: Any, tmp_path: Path) -> None:
    began = tmp_path / "began"

    def begun() -> list[int]:
        return sorted(int(line) for line in began.read_text().split()) if began.exists() else []

    target = DaskTarget(cluster)
    with distributed.Client(cluster, set_as_default=False) as client:
        assert target.current() == 3
        futures = client.map(_waits, [str(tmp_path)] * 6, range(6), pure=False)
        until(lambda: len(begun()) == 3)
        target.scale(1)
        assert target.current() == 1
        # The scheduler hears of what its workers do a little later.
        until(lambda: sorted(worker.state for worker in target.workers()) == ["busy", "draining", "draining"])
        until(lambda: target.queued() == 3)
        assert len(begun()) == 3, "those that drain get nothing else"
        for number in range(6):
            (tmp_path / f"go-{number}").touch()
        assert client.gather(futures) == list(range(6))
        until(lambda: len(target.workers()) == 1)
        assert begun() == list(range(6)), "none was lost, and none ran twice"
        until(lambda: len(client.scheduler_info()["workers"]) == 1)
        target.scale(2)
        until(lambda: target.current() == 2)
        until(lambda: [worker.state for worker in target.workers()] == ["idle", "idle"])
    target.close()


def test_what_drains_when_it_is_closed_drains_on(cluster: Any, tmp_path: Path) -> None:
    began = tmp_path / "began"
    target = DaskTarget(cluster)
    with distributed.Client(cluster, set_as_default=False) as client:
        futures = client.map(_waits, [str(tmp_path)] * 3, range(3), pure=False)
        until(lambda: began.exists() and len(began.read_text().split()) == 3)
        target.scale(1)
        target.close()
        with pytest.raises(TargetError, match="the target is closed"):
            target.scale(3)
        with pytest.raises(TargetError, match="the target is closed"):
            target.current()
        assert len(client.scheduler_info()["workers"]) == 3, "none was ended while it works"
        for number in range(3):
            (tmp_path / f"go-{number}").touch()
        assert client.gather(futures) == [0, 1, 2]
        until(lambda: len(client.scheduler_info()["workers"]) == 1)
        until(lambda: target._client.status == "closed")
        assert len(began.read_text().split()) == 3, "none ran twice"


@contextmanager
def _silent(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A scheduler that answers nothing meanwhile."""
    monkeypatch.setattr(dask_target, "_TIMEOUT", 0.3)
    go, stuck = threading.Event(), threading.Event()

    def hold() -> None:
        stuck.set()
        go.wait(60)

    cluster.loop.add_callback(hold)
    try:
        assert stuck.wait(60)
        yield
    finally:
        go.set()
        monkeypatch.undo()


def test_a_scheduler_that_does_not_answer_holds_up_nobody(
    cluster: Any, app: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps import code_workflow

    app.register("quick", code_workflow())
    scaler = AutoScaler(app, target=cluster, clock=clock)
    scaler.monitor.collect("jobs", lambda: 40)
    scaler.configure_scaling_policy("jobs", {"metric": "jobs", "target_per_instance": 10})
    with _silent(cluster, monkeypatch):
        decision = scaler.step()
        assert decision.outcome == "held"
        assert "the Dask scheduler at 'inproc://" in decision.reason
        assert "does not answer: nothing within 0.3 s" in decision.reason
        assert scaler.get_scaling_status()["current_instances"] == 0
        assert run(app, "quick") == [None]
        asking = threading.Thread(target=scaler._controller.target().workers, daemon=True)
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        asking.start()
        scaler.close()
        asking.join(60)
        assert not asking.is_alive()
    until(lambda: len(cluster.scheduler_info["workers"]) == 3)


def test_a_scheduler_that_listens_and_says_nothing(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_target, "_TIMEOUT", 0.3)

    class Silent:
        def __init__(self, address: str) -> None:
            self.scheduler_address = address

        def scale(self, n: int) -> None:
            raise AssertionError(n)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(TargetError, match=rf"the Dask scheduler at 'tcp://127\.0\.0\.1:{port}' does not answer"):
            AutoScaler(app, target=Silent(f"tcp://127.0.0.1:{port}"))


def test_a_scaler_scales_it(cluster: Any, app: Any, clock: Any) -> None:
    scaler = AutoScaler(app, target=cluster, clock=clock)
    jobs = [40]
    scaler.monitor.collect("jobs", lambda: jobs[0])
    scaler.configure_scaling_policy("jobs", {"metric": "jobs", "target_per_instance": 10, "cooldown_period": 0})
    assert scaler.step().after == 4
    until(lambda: len(scaler.instances) == 4)
    assert {each["policy"] for each in scaler.instances.values()} == {None, "jobs"}
    assert {each["worker"] for each in scaler.instances.values()} == {"0", "1", "2", "3"}
    jobs[0] = 9
    clock.pass_(1)
    assert scaler.step().after == 1
    until(lambda: len(scaler.instances) == 1)
    with pytest.raises(ValueError, match="does not tell how busy its workers are"):
        scaler.configure_scaling_policy("busy", {"metric": "utilization"})
    scaler.close()


def test_workers_that_could_not_be_told_to_go_are_still_there(cluster: Any) -> None:
    target = DaskTarget(cluster)
    retire = target._client.retire_workers

    def refuse(**_: Any) -> None:
        raise OSError("the scheduler is busy")

    target._client.retire_workers = refuse
    with pytest.raises(TargetError, match="the scheduler is busy"):
        target.scale(1)
    assert target.current() == 3
    assert [worker.state for worker in target.workers()] == ["idle"] * 3
    target._client.retire_workers = retire
    target.scale(1)
    until(lambda: len(target.workers()) == 1)
    target.close()


def test_a_client_stands_for_its_cluster(cluster: Any) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        target = DaskTarget(client)
        assert target.current() == 3
        target.close()


def test_a_cluster_that_does_not_answer(cluster: Any, app: Any, clock: Any) -> None:
    class Elsewhere:
        """The address of a scheduler that is not there."""

        scheduler_address = "tcp://127.0.0.1:9"
        told: tuple[int, ...] = ()

        def scale(self, n: int) -> None:
            self.told = (*self.told, n)

    elsewhere = Elsewhere()
    with pytest.raises(TargetError, match=r"the Dask scheduler at 'tcp://127\.0\.0\.1:9' does not answer"):
        AutoScaler(app, target=elsewhere)
    assert elsewhere.told == ()
    assert "nexus-core-auto-scaler" not in app._plugins

    scaler = AutoScaler(app, target=cluster, clock=clock)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level"})
    cluster.close()
    decision = scaler.step()
    assert decision.outcome == "held"
    assert "is clos" in decision.reason
    with pytest.raises(TargetError, match="is clos"):
        scaler.start_auto_scaling(60)
    scaler.close()
