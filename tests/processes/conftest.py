"""Without Kailash there are no nodes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("kailash") and find_spec("hypothesis") else ["*.py"]


@pytest.fixture(scope="session")
def pool() -> Iterator[Any]:
    """Two workers."""
    from nexus_core import ProcessPool

    with ProcessPool(2, name="tests") as made:
        yield made
