"""Apps with a manager; without Nexus there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("nexus") else ["*.py"]

if TYPE_CHECKING:
    from nexus_core.resource_pool_manager import ResourcePoolManager


@pytest.fixture
def make_app() -> Iterator[Callable[[], Any]]:
    """Makes apps that listen nowhere, and closes them."""
    from nexus import Nexus

    made: list[Any] = []

    def make() -> Any:
        made.append(Nexus(enable_auth=False, rate_limit=None, enable_durability=False))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(make_app: Callable[[], Any]) -> Any:
    """An app that is attached."""
    import nexus_core

    made = make_app()
    nexus_core.attach(made)
    return made


@pytest.fixture
def manager(app: Any, tmp_path: Path) -> ResourcePoolManager:
    """Its manager."""
    from nexus_core.resource_pool_manager import ResourcePoolManager

    return ResourcePoolManager(app, data_path=tmp_path / "data" / "app.db")
