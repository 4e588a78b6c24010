"""One cluster of two processes for all tests of the area."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

_CAN_RUN = all(map(find_spec, ("kailash", "distributed", "hypothesis")))
collect_ignore_glob = [] if _CAN_RUN else ["*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as started:
        yield started


@pytest.fixture(scope="session")
def client(cluster: Any) -> Iterator[Any]:
    from distributed import Client

    with Client(cluster, set_as_default=False) as connected:
        yield connected


@pytest.fixture(scope="session")
def subject(client: Any) -> type[Any]:
    """The class that has to equal Kailash's, on the cluster."""
    from nexus_core.distributed import DaskRuntime

    class LocalRuntime(DaskRuntime):
        def __init__(self, **options: Any) -> None:
            super().__init__(client, **options)

    LocalRuntime.__qualname__ = "LocalRuntime"
    return LocalRuntime
