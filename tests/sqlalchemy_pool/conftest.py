"""Without SQLAlchemy there is nothing to pool; a driver that records what is done with it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from .support import Driver

collect_ignore_glob = [] if find_spec("sqlalchemy") else ["*.py"]


@pytest.fixture
def driver() -> Driver:
    """A driver without a database."""
    return Driver()
