"""The drop-in: Kailash's runtimes on the Rust core.

``from kailash.runtime import LocalRuntime`` becomes
``from nexus_core.runtime import LocalRuntime``; nothing else changes.
"""

from __future__ import annotations

try:
    import kailash  # noqa: F401
except ModuleNotFoundError as missing:
    if missing.name != "kailash":  # it is there, and something that it needs is not
        raise
    raise ImportError(
        "nexus_core.runtime needs Kailash, which is not installed: pip install nexus-core-rs[nexus]"
    ) from missing

from nexus_core.runtime.events import (
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
)
from nexus_core.runtime.explain import DelegationError, Explanation, NodeExplanation
from nexus_core.versions import untested

try:
    from nexus_core.runtime.async_local import AsyncLocalRuntime
    from nexus_core.runtime.local import LocalRuntime
except (ImportError, AttributeError):
    if not untested("kailash"):
        raise
    # Parts of Kailash that the engine is built on are not there in this version.
    from nexus_core.runtime.unknown_kailash import (
        AsyncLocalRuntime,
        LocalRuntime,
    )

__all__ = [
    "AsyncLocalRuntime",
    "DelegationError",
    "Explanation",
    "LocalRuntime",
    "NodeExplanation",
    "NodeFailed",
    "NodeFinished",
    "NodeSkipped",
    "NodeStarted",
    "RunEvent",
    "RunFailed",
    "RunFinished",
    "RunStarted",
]
