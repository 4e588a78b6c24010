"""Pools as resources of Kailash's registry: ``await get_resource('db')`` in a workflow's nodes.

Needs Kailash: ``pip install nexus-core-rs[nexus]``.
"""

from __future__ import annotations

try:
    import kailash.resources  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "nexus_core.resources needs Kailash, which is not installed: pip install nexus-core-rs[nexus]"
    ) from missing

from nexus_core.connection_factories import (
    ConnectionFactory,
    asyncpg_factory,
    httpx_factory,
    psycopg_factory,
    sqlite_factory,
)
from nexus_core.resources.factory import PooledResourceFactory
from nexus_core.resources.lent import LentConnectionPool, LentThreadPool, lend

__all__ = [
    "ConnectionFactory",
    "LentConnectionPool",
    "LentThreadPool",
    "PooledResourceFactory",
    "asyncpg_factory",
    "httpx_factory",
    "lend",
    "psycopg_factory",
    "sqlite_factory",
]
