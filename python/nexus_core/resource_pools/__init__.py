"""The parts of ``ResourcePoolManager``: its pools, where an app sees them, and what it recommends."""

from __future__ import annotations

from nexus_core.resource_pools.connections import ManagedConnectionPool
from nexus_core.resource_pools.threads import ManagedThreadPool

__all__ = ["ManagedConnectionPool", "ManagedThreadPool"]
