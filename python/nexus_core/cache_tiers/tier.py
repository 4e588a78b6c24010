"""What a tier is: bytes under digests, leases, and word of what others changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from nexus_core.errors import NexusCoreError

__all__ = ["Acquired", "Event", "Lease", "Stored", "Subscription", "Tier", "TierFailure"]


class TierFailure(NexusCoreError):
    """What a tier could not do. Callers of a tiered cache never see it: they are served locally.

    Attributes:
        kind: What went wrong in one word, as it is counted, such as ``"timeout"`` or ``"full"``.
        concerns: What will fail too until it is over: ``"all"`` operations, ``"writes"``, or
            only those on this ``"key"``.
    """

    def __init__(self, kind: str, detail: str = "", concerns: Literal["all", "writes", "key"] = "all") -> None:
        self.kind = kind
        self.detail = detail
        self.concerns: Literal["all", "writes", "key"] = concerns
        super().__init__(f"the cache's tier failed: {kind}{': ' if detail else ''}{detail}")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a tier had under a key.

    Attributes:
        data: The bytes.
        ttl: Seconds that it lives on; ``None`` for no limit.
    """

    data: bytes
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute a key's value, for a while.

    Attributes:
        key: The key's digest.
        token: What nobody else has.
        state: What the tier has to know of the moment when it was granted.
    """

    key: bytes
    token: str
    state: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Acquired:
    """The answer to who wants to compute.

    Attributes:
        lease: The lease, or ``None`` where somebody else has it or the value is there.
        found: The value, where it is there by now.
        seconds_left: How long the lease of somebody else lasts, unless it is renewed.
    """

    lease: Lease | None = None
    found: Stored | None = None
    seconds_left: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did to a tier.

    Attributes:
        kind: ``"key"`` was written anew or removed, ``"done"``: a key's computation ended, ``"tag"``
            was removed, ``"clear"``, or ``"gap"``: what happened up to now may have been missed.
        origin: Who did it; empty for a gap.
        key: The digest, for ``"key"`` and ``"done"``.
        tag: The tag, for ``"tag"``.
    """

    kind: Literal["key", "done", "tag", "clear", "gap"]
    origin: bytes = b""
    key: bytes = field(default=b"")
    tag: str = ""


class Subscription(Protocol):
    """What keeps telling of events until it is closed."""

    def wait_ready(self, timeout: float) -> bool:
        """Waits until nothing is missed any more.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether it is so.
        """

    def close(self) -> None:
        """Ends it; the listener is not called any more after a moment."""


@runtime_checkable
class Tier(Protocol):
    """A store behind a local cache. What it cannot do it says by :class:`TierFailure`.

    Its methods are called by threads that are there for it, several at once, and never by an
    event loop's. Each call ends by itself soon after `interrupt()`.
    """

    @property
    def kind(self) -> str:
        """What it is, in statistics."""

    @property
    def timeout(self) -> float:
        """Seconds within which an operation ends or has failed."""

    @property
    def max_connections(self) -> int:
        """How many operations may be under way at once."""

    def get(self, key: bytes) -> Stored | None:
        """What is kept under a key, unless its time is over or a tag of it was removed."""

    def set(
        self, key: bytes, data: bytes, *, ttl: float | None, tags: tuple[str, ...], lease: Lease | None, origin: bytes
    ) -> bool:
        """Keeps bytes under a key.

        Args:
            key: The digest.
            data: The bytes.
            ttl: Seconds that they live; ``None`` for no limit.
            tags: What they can be removed by.
            lease: With one, nothing is kept unless it is held still, and nothing that it depends
                on was removed since it was granted; it ends. Without one, everybody's lease ends.
            origin: Who does it.

        Returns:
            Whether they were kept.
        """

    def delete(self, key: bytes, *, origin: bytes) -> bool:
        """Removes a key and ends its lease; whether it was there."""

    def delete_tag(self, tag: str, *, origin: bytes) -> None:
        """Removes what has a tag, and what is being computed with it."""

    def clear(self, *, origin: bytes) -> None:
        """Removes everything, and what is being computed."""

    def acquire(self, key: bytes, token: str, seconds: float, tags: tuple[str, ...]) -> Acquired:
        """Asks for the lease of a key, for so many seconds."""

    def renew(self, lease: Lease, seconds: float) -> bool:
        """Lets a lease last so many seconds from now; whether it is held still."""

    def release(self, lease: Lease, *, origin: bytes) -> bool:
        """Ends a lease without a value; whether it was held still."""

    def subscribe(self, listener: Callable[[Event], None]) -> Subscription:
        """Has a listener told of everything that happens, also of what this process does."""

    def interrupt(self, thread: int) -> None:
        """Has what a thread is doing in here fail at once.

        Args:
            thread: The thread's `threading.get_ident()`.
        """

    def close(self) -> None:
        """Lets go of connections and files."""
