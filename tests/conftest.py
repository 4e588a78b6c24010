"""Hypothesis profiles, a home directory of the test session's own, and a database server.

Kailash writes its run history under ``~/.kailash``; a test run must neither read
nor grow the history of the person who runs it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.postgres import PostgresServer
    from servers.redis import RedisServer

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the tests that use hypothesis skip themselves
    pass
else:
    # Hypothesis repeats the whole profile for every test function, so the counts
    # here are per function; the differential suite has a handful of functions.
    _COMMON = {
        "deadline": None,
        "print_blob": True,
        "suppress_health_check": [
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.function_scoped_fixture,
        ],
    }
    settings.register_profile("ci", max_examples=60, stateful_step_count=12, derandomize=True, database=None, **_COMMON)
    # For a second run of what a first one has tested well: with another version of Kailash.
    settings.register_profile(
        "quick", max_examples=10, stateful_step_count=6, derandomize=True, database=None, **_COMMON
    )
    settings.register_profile("scheduled", max_examples=1500, stateful_step_count=25, **_COMMON)
    settings.load_profile(os.environ.get("NEXUS_HYPOTHESIS_PROFILE", "ci"))


#: In ``own_process.py``: the mark of that name.
pytest_plugins = ["own_process"]

_HOME = tempfile.TemporaryDirectory(prefix="nexus-core-tests-")


def pytest_configure(config: pytest.Config) -> None:
    """Give the tests, and what they start, the same environment everywhere.

    The home directory is not the user's. Under ``CI`` Kailash leaves scipy out and warns
    of it at every code node: the tests that are about that set it themselves.
    """
    os.environ["HOME"] = _HOME.name
    os.environ.pop("CI", None)
    (Path(_HOME.name) / ".kailash" / "tracking").mkdir(parents=True, exist_ok=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary home directory."""
    _HOME.cleanup()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything is installed, a test that skips itself is one that is switched off."""
    if not os.environ.get("NEXUS_SKIPS_FAIL") or hasattr(session.config, "workerinput"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} tests were skipped, and NEXUS_SKIPS_FAIL is set", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module", autouse=True)
def _what_a_module_leaves_is_reported_there() -> Iterator[None]:
    """Collect what a module's tests left, so that a warning about it names that module.

    An application or a runtime that nobody closed is usually part of a cycle. Its warning
    would otherwise fail whichever later test happens to collect garbage.
    """
    yield
    gc.collect()
    # Kailash's AsyncPythonCodeNode puts one that takes no name in its place, and leaves it there
    # where two nodes were under way at once. Dask, for one, cannot do without names.
    asyncio.create_task = asyncio.tasks.create_task


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    # Imported here: tests that need no server need no driver either.
    from servers.postgres import PostgresServer

    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres(_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A real PostgreSQL, running: one for all tests of a worker process."""
    yield _postgres
    # A test that failed while it was stopped is not to fail the others.
    _postgres.start()


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    from servers.redis import RedisServer

    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture
def redis_server(_redis: RedisServer) -> Iterator[RedisServer]:
    """A real Redis, running and empty: one for all tests of a worker process."""
    _redis.start()
    with _redis.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    yield _redis
