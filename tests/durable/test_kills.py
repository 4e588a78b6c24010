"""A process that is killed in the middle of a checkpointed run is resumed by another.

`make test-crash` kills some hundreds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(("kind", "store"), [("local", "sqlite"), ("async", "disk")])
def test_what_was_checkpointed_before_a_kill_is_neither_lost_nor_run_again(kind: str, store: str) -> None:
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "durable.kill_harness", "--kills", "3", "--kind", kind, "--store", store],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 kills of \d+ runs, .*; no checkpointed node ran again", done.stdout, re.M), done.stdout
