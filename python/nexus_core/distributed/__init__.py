"""Workflows on a Dask ``distributed`` cluster.

Needs the extra ``dask``: ``pip install 'nexus-core-rs[dask]'``.
"""

from __future__ import annotations

from nexus_core.distributed.runtime import DaskRuntime
from nexus_core.errors import ClusterError, ClusterUnreachable, ClusterWorkerLost

__all__ = ["ClusterError", "ClusterUnreachable", "ClusterWorkerLost", "DaskRuntime"]
