"""``LocalRuntime`` with every node that can go in a process, for the tests that compare runtimes."""

from __future__ import annotations

from typing import Any

from nexus_core import ProcessPool
from nexus_core.runtime import LocalRuntime

_pools: list[ProcessPool] = []


def shared_pool() -> ProcessPool:
    """One pool for a whole test process."""
    if not _pools:
        _pools.append(ProcessPool(2, name="tests"))
    return _pools[0]


class ProcessRuntime(LocalRuntime):
    """As ``LocalRuntime`` is made."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, isolation="process", process_pool=shared_pool())
