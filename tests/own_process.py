"""A pytest plugin for tests that look at their whole process: its memory, its threads.

What earlier tests left running in a shared process would be seen by them too. A test that is
marked ``own_process`` runs in a pytest of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Which test a pytest was started for.
_ONLY = "NEXUS_TEST_IN_OWN_PROCESS"
#: Of last resort: less than that of a test.
_LIMIT_SECONDS = 240


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "own_process: looks at the whole process, and has one of its own")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test apart; the test itself is reached there."""
    if pyfuncitem.get_closest_marker("own_process") is None or os.environ.get(_ONLY) == pyfuncitem.nodeid:
        return None
    _run_apart(pyfuncitem.config, pyfuncitem.nodeid)
    return True


def _run_apart(config: pytest.Config, node_id: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", node_id]
    done = subprocess.run(
        command,
        cwd=config.rootpath,
        env={**os.environ, _ONLY: node_id, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode or "1 passed" not in done.stdout:
        pytest.fail(f"in a process of its own:\n{done.stdout}\n{done.stderr}", pytrace=False)
