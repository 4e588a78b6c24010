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
    """Two workers of one thread, each a process."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as started:
        yield started


@pytest.fixture(scope="session")
def client(cluster: Any) -> Iterator[Any]:
    """A client of the cluster."""
    from distributed import Client

    with Client(cluster, set_as_default=False) as connected:
        yield connected
