"""What the figures of docs/auto-scaling.md are made with: a served app under load, scaled, and nothing lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

_BENCHES = Path(__file__).resolve().parents[2] / "benches"


def test_a_served_app_is_scaled_under_load_and_loses_no_request(tmp_path: Path) -> None:
    page = tmp_path / "auto-scaling.md"
    page.write_text(
        "<!-- measured: how -->\n<!-- end -->\n<!-- measured: step -->\nstale figures\n<!-- end -->\n"
        "<!-- measured: ramp -->\nkept\n<!-- end -->\n"
    )
    paths = [str(_BENCHES), *(path for path in sys.path if path)]
    ended = subprocess.run(
        [sys.executable, str(_BENCHES / "scaling_load.py"), "step", "--http", "--faster", "12", "--into", str(tmp_path)],
        capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    written = page.read_text()
    assert "served over HTTP by a process of its own" in written
    assert "stale figures" not in written
    assert "kept" in written
    rows = re.findall(r"^\| (thresholds|target) \| (\d+) \| (\d+) \| [\d.]+ \| (\d+) \|", written, re.MULTILINE)
    assert [(name, lost) for name, _, lost, _ in rows] == [("thresholds", "0"), ("target", "0")]
    assert all(int(requests) > 50 for _, requests, _, _ in rows)
    assert any(int(changes) for *_, changes in rows)
    assert "| target, foreseen |" in written
    drawing = ElementTree.parse(tmp_path / "auto-scaling-step.svg").getroot()
    assert drawing.tag.endswith("svg")
