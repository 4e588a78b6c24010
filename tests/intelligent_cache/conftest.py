"""A real app, and an ``IntelligentCache`` of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("nexus")

from nexus_core import IntelligentCache


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    from nexus import Nexus

    with Nexus(enable_durability=False, enable_auth=False, rate_limit=None, auto_discovery=False) as made:
        yield made


@pytest.fixture
def cache(app: Any) -> IntelligentCache:
    return IntelligentCache(app)
