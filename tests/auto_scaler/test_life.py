"""How a scaler begins and ends: with its app, its process, and by itself."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import pytest

from auto_scaler.support import Boxes, until
from nexus_core import AutoScaler, PerformanceMonitor
from nexus_core.errors import NexusCoreError
from performance_monitor.support import run


def test_it_checks_at_intervals_until_it_is_stopped(app: Any) -> None:
    scaler = AutoScaler(app, target=Boxes())
    scaler.start_auto_scaling(0.01)
    until(lambda: len(scaler.metrics_history) >= 3)
    assert (scaler.is_running, scaler.get_scaling_status()["check_interval"]) == (True, 0.01)
    stopped = scaler.stop_auto_scaling()
    assert stopped == {"auto_scaling_stopped": True, "was_running": True, "check_pending": False}
    count = len(scaler.metrics_history)
    assert (scaler.is_running, scaler.auto_scaling_enabled) == (False, False)
    assert scaler.scaling_thread is not None
    assert not scaler.scaling_thread.is_alive()
    assert len(scaler.metrics_history) == count
    scaler.start_auto_scaling(0.01)
    until(lambda: len(scaler.metrics_history) > count)
    assert scaler.auto_scaling_enabled


def test_started_twice_and_stopped_without_a_start(app: Any) -> None:
    scaler = AutoScaler(app)
    assert scaler.stop_auto_scaling() == {
        "auto_scaling_stopped": True, "was_running": False, "check_pending": False,
    }  # fmt: skip
    assert scaler.start_auto_scaling(3600)["already_running"] is False
    thread = scaler.scaling_thread
    assert scaler.start_auto_scaling(3600)["already_running"] is True
    assert scaler.scaling_thread is thread
    with pytest.raises(NexusCoreError, match="auto-scaling runs already, every 3600 s; stop_auto_scaling"):
        scaler.start_auto_scaling(5)
    scaler.stop_auto_scaling()
    assert scaler.start_auto_scaling(5)["already_running"] is False


@pytest.mark.parametrize(("interval", "kind"), [(0, ValueError), (float("nan"), ValueError), ("5", TypeError)])
def test_intervals_that_make_no_sense(app: Any, interval: Any, kind: type[Exception]) -> None:
    scaler = AutoScaler(app)
    with pytest.raises(kind, match=f"check_interval must be a number of seconds.*got {interval!r}"):
        scaler.start_auto_scaling(interval)
    assert scaler.scaling_thread is None


def test_those_that_come_before_others_go_leave_nothing_behind(make_app: Any) -> None:
    app = make_app()
    original = app.close
    scaler = AutoScaler(app)
    for _ in range(sys.getrecursionlimit()):
        after = AutoScaler(app)
        scaler.close()
        scaler = after
    monitor = PerformanceMonitor(app)
    scaler.close()
    monitor.close()
    assert app.close == original
    last = AutoScaler(app)
    app.close()
    assert last.closed
    assert app.close == original


def test_it_ends_with_the_app(make_app: Any) -> None:
    app = make_app()
    original = vars(app).get("close")
    scaler = AutoScaler(app, target=Boxes())
    assert "nexus-core-auto-scaler" in app._plugins
    second = AutoScaler(app)
    assert "nexus-core-auto-scaler-2" in app._plugins
    second.close()
    assert "nexus-core-auto-scaler-2" not in app._plugins
    scaler.start_auto_scaling(3600)
    app.close()
    assert (scaler.closed, scaler.is_running) == (True, False)
    assert vars(app).get("close") is original
    assert scaler.get_scaling_status()["current_instances"] == 0
    for call in (scaler.step, lambda: scaler.start_auto_scaling(5)):
        with pytest.raises(NexusCoreError, match="the scaler is closed, as its app may be; make a new one"):
            call()  # type: ignore[operator]
    scaler.close()


def test_a_users_monitor_has_the_names(app: Any) -> None:
    """The one that a scaler makes for itself is not one of the app's."""
    scaler = AutoScaler(app)
    assert not any("monitor" in name for name in app._plugins)
    PerformanceMonitor(app)
    assert "nexus-core-performance-monitor" in app._plugins
    scaler.close()
    assert scaler.monitor.closed


def test_nobody_keeps_it_alive_but_the_app(make_app: Any) -> None:
    from nexus import Nexus

    app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
    scaler = AutoScaler(app, target=Boxes())
    scaler.start_auto_scaling(3600)
    thread, gone = scaler.scaling_thread, weakref.ref(scaler)
    scaler.close()
    app.close()
    del scaler, app
    assert thread is not None
    # It holds the scaler while it checks.
    until(lambda: not thread.is_alive())
    gc.collect()
    assert gone() is None


def test_a_target_that_does_not_return_holds_up_nobody(app: Any) -> None:
    go, inside = threading.Event(), threading.Event()

    class Stuck(Boxes):
        def scale(self, n: int) -> None:
            inside.set()
            go.wait(60)

    scaler = AutoScaler(app, target=Stuck(3))
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level"})
    scaler.start_auto_scaling(3600)
    assert inside.wait(60)
    began = time.monotonic()
    assert scaler.get_scaling_status()["current_instances"] == 3
    assert scaler.scaling_events == []
    scaler.configure_scaling_policy("other", {})
    app.register("quick", _code())
    assert run(app, "quick") == [None]
    scaler.close()
    assert time.monotonic() - began < 30, "it would have been held up until the target returns"
    go.set()
    thread = scaler.scaling_thread
    assert thread is not None
    until(lambda: not thread.is_alive())


def test_a_target_that_does_not_say_how_many_holds_up_nobody(app: Any) -> None:
    go, inside = threading.Event(), threading.Event()

    class Stuck(Boxes):
        is_stuck = False

        def current(self) -> int:
            if self.is_stuck:
                inside.set()
                go.wait(60)
            return self.count

    stuck = Stuck(3)
    scaler = AutoScaler(app, target=stuck)
    assert scaler.step().outcome == "held"
    assert len(scaler.instances) == 3
    stuck.is_stuck = True
    checking = threading.Thread(target=scaler.step, daemon=True)
    checking.start()
    assert inside.wait(60)
    until(lambda: scaler.why().startswith("a check is held up: the target's current() has not returned for "))
    status = scaler.get_scaling_status()
    assert (status["current_instances"], len(status["instances"])) == (3, 3)
    go.set()
    checking.join(60)
    assert scaler.why() == "3 instances stay: no policy is enabled"
    scaler.close()


def test_nothing_is_scaled_any_more_once_it_is_closed(app: Any) -> None:
    class Closes(Boxes):
        def workers(self) -> list[Any]:
            # What is called between the decision and the change.
            scaler.close()
            return []

    closes = Closes(1)
    scaler = AutoScaler(app, target=closes)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level"})
    with pytest.raises(NexusCoreError, match="the scaler is closed"):
        scaler.step()
    assert (closes.told, scaler.scaling_events) == ([], [])


def test_stopped_while_it_scales_that_is_still_done(app: Any) -> None:
    go, inside = threading.Event(), threading.Event()

    class Slow(Boxes):
        def scale(self, n: int) -> None:
            inside.set()
            go.wait(60)
            super().scale(n)

    slow = Slow(1)
    scaler = AutoScaler(app, target=slow)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    scaler.start_auto_scaling(0.01)
    assert inside.wait(60)
    stopping = threading.Thread(target=scaler.stop_auto_scaling)
    stopping.start()
    until(lambda: not scaler.is_running)
    go.set()
    stopping.join(60)
    thread = scaler.scaling_thread
    assert thread is not None
    until(lambda: not thread.is_alive())
    assert slow.told == [2]
    assert [event["total_instances"] for event in scaler.scaling_events] == [2]
    assert scaler.why().startswith("from 1 to 2 instances")


def _code() -> Any:
    from apps import code_workflow

    return code_workflow()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_child_and_the_end_of_the_interpreter() -> None:
    program = """
        import logging, os
        logging.disable(logging.CRITICAL)
        from nexus import Nexus
        import nexus_core
        from nexus_core import AutoScaler
        app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
        nexus_core.attach(app, thread_pool_size=2)
        scaler = AutoScaler(app)
        scaler.monitor.collect("level", lambda: 90)
        scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
        scaler.start_auto_scaling(0.01)
        child = os.fork()
        if child == 0:
            ok = not scaler.is_running and scaler.step().action == "scale_up"
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
    """
    ended = _run(program)
    assert (ended.returncode, ended.stdout.strip()) == (0, "0"), ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_child_that_is_forked_while_a_check_is_held_up() -> None:
    program = """
        import logging, os, threading, time
        logging.disable(logging.CRITICAL)
        from nexus import Nexus
        from nexus_core import AutoScaler
        go = threading.Event()
        class Stuck:
            def current(self):
                if threading.current_thread() is not threading.main_thread():
                    go.wait()
                return 7
            def scale(self, n): pass
        app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
        scaler = AutoScaler(app, target=Stuck())
        scaler.start_auto_scaling(3600)
        while not scaler.why().startswith("a check is held up"):
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            status = scaler.get_scaling_status()
            ok = scaler.why() == "nothing has been decided yet" and status["current_instances"] == 7
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        go.set()
        print(os.waitstatus_to_exitcode(status))
    """
    ended = _run(program)
    assert (ended.returncode, ended.stdout.strip()) == (0, "0"), ended.stderr


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
