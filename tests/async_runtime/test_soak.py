"""Thousands of runs on one runtime, a third cancelled midway and a third failing, leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("kailash")
if not Path("/proc/self/fd").exists():
    pytest.skip("accounts are taken from /proc", allow_module_level=True)

from soak import plan


@pytest.mark.timeout(plan.LIMIT + 90)
def test_runs_that_end_in_every_way_leave_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "soak.direct"],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True, text=True, timeout=plan.LIMIT + 60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert "stuck" not in report, report["stuck"]
    orders = [order for share in plan.shares() for order in share]
    expected = {
        "is fine: fine": sum(order.ending == "is fine" for order in orders),
        "fails while waiting: failed": sum(order.ending == "fails while waiting" for order in orders),
        "fails at the end: failed": sum(order.ending == "fails at the end" for order in orders),
        "is cancelled: cancelled": sum(order.cancelled for order in orders),
    }
    # A busy machine may cancel a run a little late.
    late = report["ended"].pop("is cancelled: over before it could be cancelled", 0)
    expected["is cancelled: cancelled"] -= late
    assert report["ended"] == expected
    assert late < expected["is cancelled: cancelled"]
    assert report["leaks"] == []
    assert report["growth"] is None, report["growth"]
    assert report["left_threads"] == []
