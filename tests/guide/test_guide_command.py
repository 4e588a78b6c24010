"""``make guide``: the blocks of a guide are mended, run and compared with what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

GUIDE = """
# A guide of ours

## Waiting

```python
from nexus import Nexus
import time
from collections import deque

app = Nexus()

class PerformanceMonitor:
    def __init__(self, nexus_app):
        self.app = nexus_app
        self.alerts = []
        self.no_such_attribute = {}

    def get_active_alerts(self, severity_filter="info"):
        return self.alerts

    def get_performance_summary(self, time_window_minutes=10):
        summary = {}
        for metric in ("a", "b"):
            summary[metric] = {"avg": 1, "no_such_key": 2}
        return summary

    def generate_performance_report(self):
        found = self.get_performance_summary(30)
        return {"performance_summary": found, "alert_summary": {"total_alerts": 0, "nothing_of_the_kind": 1}}

    def stop_monitoring(self):
        return {"monitoring_stopped": True}

    def no_such_method(self):
        pass

class Own:
    kept = deque(maxsize=3)

monitor = PerformanceMonitor(app)
monitor.start_monitoring(60)
while not monitor.get_performance_summary():
    time.sleep(0.01)
monitor.generate_performance_report()
print("stopped:", monitor.stop_monitoring())
```

```bash
not python
```

### Asking

```python
from nexus import Nexus
import asyncio

app = Nexus()

class ParallelExecutionManager:
    def __init__(self, nexus_app):
        self.app = nexus_app

    async def execute_concurrent_workflows(self, workflow_name, input_batches):
        return {"workflow_name": workflow_name, "results": []}

manager = ParallelExecutionManager(app)

async def ask():
    given = [{"batch_id": 1}, {"batch_id": 2, "data": 3}]
    print("at", time.time() > 0, await manager.execute_concurrent_workflows("nobody-registered", batches))

# asyncio.run(ask())
```

```python
print("before")
raise ValueError("the block's own")
```

```python
while True:
    pass
```

```python
class NotThere:
    pass
raise SystemExit("it was run")
```
"""


def guide(folder: Path, *options: str) -> tuple[int, dict[int, str]]:
    """Runs the command; its status, and what it said of each block."""
    path = folder / "guide.md"
    path.write_text(GUIDE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "guide"), str(path), *options],
        capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    *parts, last = done.stdout.strip().split("\n\n")
    assert "blocks, " in last
    return done.returncode, {int(part.strip().partition(".")[0]): part for part in parts}


def test_blocks_are_mended_and_run_and_what_lacks_is_told(tmp_path: Path) -> None:
    status, told = guide(tmp_path, "--only", "2,3", "--show")
    assert status == 1
    second = told[2]
    assert second.startswith("2. Asking (line ")
    for mended in (
        "runs what is commented out", "given is batches", "imports time", "registers 'nobody-registered'",
    ):  # fmt: skip
        assert f"mended: {mended}" in second
    assert "ran in " in second and "1 calls of ParallelExecutionManager" in second
    assert "execute_concurrent_workflows(): 1 × completed" in second
    assert "1 × failed" in second  # 3 is no dict of records
    assert "lacks" not in second
    assert "| at True {'workflow_name': 'nobody-registered'" in second
    third = told[3]
    assert "FAILED in " in third and "ValueError: the block's own" in third and "| before" in third


def test_what_a_block_promises_and_the_package_lacks_is_told(tmp_path: Path) -> None:
    status, told = guide(tmp_path, "--only", "1")
    assert status == 1
    found = told[1]
    assert "mended: deque(maxsize=…) is deque(maxlen=…)" in found
    assert "ran in " in found and "calls of PerformanceMonitor" in found
    lacks = [line.strip().removeprefix("lacks: ") for line in found.splitlines() if "lacks: " in line]
    assert lacks[:2] == [
        "PerformanceMonitor.get_active_alerts(severity_filter=…) is None by default and not 'info'",
        "PerformanceMonitor.get_performance_summary(): ['registered_workflows']['no_such_key']",
    ]
    assert "PerformanceMonitor.no_such_method() is not there" in lacks
    assert "PerformanceMonitor.no_such_attribute is not there" in lacks
    of_report = [line for line in lacks if line.startswith("PerformanceMonitor.generate_performance_report(): ")]
    assert [line.partition(": ")[2] for line in of_report][-1] == "['alert_summary']['nothing_of_the_kind']"
    assert "['performance_summary']['registered_workflows']['no_such_key']" in of_report[0]
    assert not [line for line in lacks if "monitoring_stopped" in line or "['avg']" in line]


def test_a_block_of_classes_that_the_package_has_not_is_left_out(tmp_path: Path) -> None:
    status, told = guide(tmp_path, "--only", "5")
    assert status == 0
    assert "left out: nexus_core has no NotThere" in told[5]


def test_a_block_that_does_not_end_is_ended(tmp_path: Path) -> None:
    status, told = guide(tmp_path, "--only", "4", "--seconds", "2")
    assert status == 1
    assert "FAILED" in told[4] and "no end within 2 s" in told[4]
