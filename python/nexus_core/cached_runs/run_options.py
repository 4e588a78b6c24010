"""What a runtime adds to the keys of its runs, and why some of them are not cached."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from kailash.workflow.credentials import get_credential_store

from nexus_core._core import DigestWatch
from nexus_core.keys import digest

__all__ = ["RuntimeOptions", "mark_of", "why_not_this_runtime"]

#: Options that can change what a run comes to.
_IN_KEY = (
    "enable_async",
    "enable_cycles",
    "conditional_execution",
    "content_aware_success_detection",
    "connection_validation",
    "enable_analysis",
    "execution_timeout",
    "debug",
)

#: What decides whether runs are cached at all.
_DECISIVE = (
    "user_context",
    "secret_provider",
    "_retry_policy_engine",
    "_circuit_breaker",
    "_checkpoint_store",
    "_checkpoint_after_each_node",
    "_classification_policy",
    "_tracing",
    "cyclic_executor",
    "resource_registry",
    "enable_security",
    "enable_audit",
    "enable_resource_limits",
    "enable_monitoring",
    "_audit_generator",
    "_trust_verification_mode",
    "_trust_context",
)

_WATCHED = [*_IN_KEY, *_DECISIVE]

_marks: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()
_marking = threading.Lock()


class RuntimeOptions:
    """A runtime's options as they are now.

    Args:
        runtime: The runtime.

    Attributes:
        digest: Of the options that can change what a run comes to.
        registry: Stands for its resources; empty if it has none.
        reason: Why its runs are not cached; ``None`` if they are.
    """

    __slots__ = ("_watch", "digest", "reason", "registry")

    def __init__(self, runtime: Any) -> None:
        own = vars(runtime)
        self._watch = DigestWatch([(own, _WATCHED)], [], [], [], [], [])
        self.reason = _reason(runtime)
        self.digest = digest(
            ("nexus_core run options", _kind(runtime), {name: own.get(name) for name in _IN_KEY}),
            name="the runtime's options",
        )
        self.registry = mark_of(own.get("resource_registry"))

    @property
    def watch(self) -> DigestWatch:
        """What notices changes of them."""
        return self._watch

    def is_current(self) -> bool:
        """Whether none of them has been set since."""
        return self._watch.is_current()


def _reason(runtime: Any) -> str | None:
    own = vars(runtime)
    if type(runtime).__module__.partition(".")[0] != "nexus_core":
        return "the runtime is of a subclass, which may run workflows in its own way"
    if own.get("user_context") is not None:
        return "the runtime runs for a user"
    if own.get("secret_provider") is not None:
        return "the runtime provides secrets"
    if own.get("_retry_policy_engine") is not None or own.get("_circuit_breaker") is not None:
        return "the runtime has retry policies or circuit breakers"
    if own.get("_checkpoint_store") is not None or own.get("_checkpoint_after_each_node"):
        return "the runtime is durable"
    if own.get("_classification_policy") is not None:
        return "the runtime classifies what nodes return"
    if own.get("_tracing"):
        return "the run is traced"
    return None


def why_not_this_runtime(runtime: Any) -> str | None:
    """Why runs that begin now are not cached, for what no option says.

    Args:
        runtime: The runtime.
    """
    if runtime._hook_registry.subscriber_count:
        return "somebody is told of every node"
    if get_credential_store()._store:
        return "credentials are given for the run"
    return None


def _kind(runtime: Any) -> str:
    return f"{type(runtime).__module__}:{type(runtime).__qualname__}"


def mark_of(registry: Any) -> bytes:
    """Stands for one registry of resources, and is never that of another one.

    Args:
        registry: The registry, or ``None``.
    """
    if registry is None:
        return b""
    with _marking:
        mark = _marks.get(registry)
        if mark is None:
            mark = _marks[registry] = os.urandom(16)
        return mark
