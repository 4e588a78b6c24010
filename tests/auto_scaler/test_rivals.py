"""Scalers that would scale the same thing: one of them does."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from auto_scaler.support import Boxes, until
from nexus_core import AutoScaler, ThreadPool
from nexus_core.errors import TargetError
from nexus_core.scaling import PoolTarget


def test_one_scaler_for_one_target(app: Any) -> None:
    boxes = Boxes()
    first, second = AutoScaler(app, target=boxes), AutoScaler(app, target=boxes)
    first.start_auto_scaling(3600)
    with pytest.raises(TargetError, match="another AutoScaler of the app scales that already"):
        second.start_auto_scaling(3600)
    assert AutoScaler(app).start_auto_scaling(3600)["auto_scaling_started"]
    with pytest.raises(TargetError, match="another AutoScaler of the app"):
        AutoScaler(app).start_auto_scaling(3600)
    first.stop_auto_scaling()
    assert second.start_auto_scaling(3600)["auto_scaling_started"]


def test_scalers_of_two_apps_on_one_target(make_app: Any) -> None:
    boxes, app, another = Boxes(1), make_app(), make_app()
    first, second = _eager(app, boxes), _eager(another, boxes)
    first.start_auto_scaling(3600)
    until(lambda: boxes.told == [2])
    with pytest.raises(TargetError, match="another AutoScaler of another app scales that already; stop it"):
        second.start_auto_scaling(3600)
    assert not second.is_running
    decision = second.step()
    assert (decision.outcome, boxes.told) == ("held", [2])
    assert "another AutoScaler of another app scales that already" in second.why()
    second.dry_run = True
    assert second.step().outcome == "dry_run", "who only looks on may"
    assert second.start_auto_scaling(3600)["auto_scaling_started"]
    second.stop_auto_scaling()
    second.dry_run = False
    app.close()
    assert second.step().outcome == "applied"
    assert boxes.told == [2, 3]


def test_of_two_that_run_the_one_scales_that_was_first(make_app: Any) -> None:
    """Both may have come to be started: here the second looked on at first."""
    boxes, app, another = Boxes(1), make_app(), make_app()
    first, second = _eager(app, boxes), _eager(another, boxes, dry_run=True)
    first.start_auto_scaling(3600)
    until(lambda: len(first.decisions) == 1)
    second.start_auto_scaling(3600)
    until(lambda: len(second.decisions) == 1)
    second.dry_run = False
    assert second.step().outcome == "held"
    assert first.step().outcome == "applied"
    assert boxes.told == [2, 3]


def _eager(app: Any, target: Any, **options: Any) -> AutoScaler:
    scaler = AutoScaler(app, target=target, **options)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    return scaler


def test_a_pool_that_two_scalers_were_given_is_one_target(app: Any) -> None:
    with ThreadPool(2) as pool, ThreadPool(2) as another:
        first = AutoScaler(app, target=pool)
        first.start_auto_scaling(3600)
        for given in (pool, PoolTarget(pool)):
            with pytest.raises(TargetError, match="another AutoScaler of the app scales that already"):
                AutoScaler(app, target=given).start_auto_scaling(3600)
        assert AutoScaler(app, target=another).start_auto_scaling(3600)["auto_scaling_started"]


def test_a_finaliser_may_close_a_scaler_while_they_are_looked_at() -> None:
    program = """
        import gc, logging, sys
        logging.disable(logging.CRITICAL)
        from nexus import Nexus
        from nexus_core import AutoScaler
        from nexus_core.scaling import rivals
        app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
        scaler = AutoScaler(app)
        others = [AutoScaler(app) for _ in range(5)]
        def close_one(phase, info):
            frame = sys._getframe()
            while frame is not None and frame.f_code.co_filename != rivals.__file__:
                frame = frame.f_back
            if phase == "start" and frame is not None and others:
                others.pop().close()
        gc.callbacks.append(close_one)
        gc.set_threshold(1)
        scaler.start_auto_scaling(3600)
        while others:
            AutoScaler(app).close()
        print("closed")
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.strip()) == (0, "closed"), ended.stderr
