"""Without Nexus there is nothing to attach; servers run in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from .support import Server, quiet_loggers

# Programs, which know what to do from their arguments.
collect_ignore_glob = ["server.py"] if find_spec("nexus") else ["*.py"]


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody reads the logs, except a test that asks for ``caplog``."""
    if "caplog" in request.fixturenames:
        yield
        return
    with quiet_loggers():
        yield


@pytest.fixture(scope="module")
def attached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose app is attached."""
    with Server("attached", tmp_path_factory.mktemp("attached")) as server:
        yield server


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same server without us."""
    with Server("stock", tmp_path_factory.mktemp("stock")) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory for a program's run history."""
    (tmp_path / ".kailash" / "tracking").mkdir(parents=True)
    return tmp_path
