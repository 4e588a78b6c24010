"""``DaskRuntime`` on two worker processes, for the tests that compare runtimes; a plugin, too.

``-p dask_runtime.subject`` ends the cluster with the tests, and says where runs went.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from distributed import Client, LocalCluster

from differential import elsewhere
from differential.description import Description
from differential.observe import Comparison
from nexus_core.distributed import DaskRuntime

_clusters: list[tuple[LocalCluster, Client]] = []
placements: Counter[str] = Counter()


def shared_client() -> Client:
    """Of one cluster for a whole test process: two workers of one thread."""
    if not _clusters:
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=False
        )
        _clusters.append((cluster, Client(cluster, set_as_default=False)))
    return _clusters[0][1]


class ClusterRuntime(DaskRuntime):
    """As ``LocalRuntime`` is made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(shared_client(), **options)

    def close(self) -> None:
        """Counts where its runs went."""
        if self._ref_count == 1:
            placements.update(self.engine_statistics()["placements"])
        super().close()


ClusterRuntime.__name__ = ClusterRuntime.__qualname__ = "LocalRuntime"


def close() -> None:
    """Ends the cluster."""
    while _clusters:
        cluster, client = _clusters.pop()
        client.close()
        cluster.close()


#: Nodes that tell of what they have kept.
_OF_A_WORKER = frozenset({"StatefulNode", "KeepsState", "CleanupNode", "SelfConfiguringNode"})


def told_apart(description: Description) -> str:
    """Why an outcome cannot be the same; empty if it has to be.

    Args:
        description: The workflow.
    """
    if description.runs > 1 and not _OF_A_WORKER.isdisjoint(spec.what for spec in description.nodes.values()):
        return "what nodes keep in themselves from run to run is each worker's own"
    return elsewhere.told_apart(description)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """What is another thing on a cluster."""
    Comparison.node_state = False
    # The history gets its rows from the workers; no task manager is told of each node.
    Comparison.unread = ("kailash.tracking.manager",)
    Comparison.told_apart = staticmethod(told_apart)
    # Hypothesis means the strategies; it is Dask's thread that draws while they do.
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


def pytest_unconfigure() -> None:
    """Ends the cluster."""
    close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where runs went."""
    for where, count in placements.most_common():
        terminalreporter.write_line(f"{count} runs: {where}")
