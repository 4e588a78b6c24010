"""Commands are about apps and workflows: without Nexus there are none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("nexus") else ["*.py"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory for a program's run history."""
    folder = tmp_path / "home"
    (folder / ".kailash" / "tracking").mkdir(parents=True)
    return folder
