"""``DaskRuntime`` on two processes has the outcomes that ``LocalRuntime`` has, and stock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CASES = Path(__file__).with_name("differential_cases.py")
#: What Dask gives its workers.
_HASH_SEED = "6640"


@pytest.mark.timeout(1800)
def test_the_differential_tests_hold_on_a_cluster() -> None:
    scheduled = os.environ.get("NEXUS_HYPOTHESIS_PROFILE") == "scheduled"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": _HASH_SEED,
        "NEXUS_HYPOTHESIS_PROFILE": "ci" if scheduled else "quick",
        "NEXUS_CASES_EVERY": "1" if scheduled else "29",
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    # Where the plugins are.
    environment["PYTHONPATH"] = os.pathsep.join([str(_CASES.parents[1]), environment.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--show-capture=no",
            "-p", "differential.elsewhere", "-p", "dask_runtime.subject", str(_CASES),
        ],
        env=environment, cwd=_CASES.parents[2], capture_output=True, text=True, timeout=1700, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{ended.stdout[-8000:]}\n{ended.stderr[-2000:]}"
    assert " passed" in ended.stdout
