"""Apps, and a clock that tests set; without Nexus there are none."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from apps import app, make_app  # noqa: F401 - fixtures
from auto_scaler.support import Clock
from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("nexus") else ["*.py"]


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()
