"""Results that are kept, and what they are kept in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nexus_core.cache import Cache
from nexus_core.cached_runs.snapshots import Snapshot

if TYPE_CHECKING:
    from nexus_core.cache_tiers import Tier

__all__ = ["Kept", "own_store"]


class Kept:
    """A result that is kept.

    Args:
        snapshot: What is kept of it.
        seconds: What it took to compute.
        made_at: When, in seconds since the epoch.
    """

    __slots__ = ("made_at", "seconds", "snapshot")

    def __init__(self, snapshot: Snapshot, seconds: float, made_at: float) -> None:
        self.snapshot = snapshot
        self.seconds = seconds
        self.made_at = made_at

    def age(self) -> float:
        """Seconds since it was computed."""
        return max(time.time() - self.made_at, 0.0)


def own_store(
    maxsize: int | None,
    max_bytes: int | None,
    ttl: float | None,
    name: str,
    tier: Tier | None,
    secret: bytes | Sequence[bytes] | None,
) -> Any:
    """A cache for results, with a tier behind it if there is one.

    Args:
        maxsize: As for ``ResultCache``.
        max_bytes: The same.
        ttl: The same.
        name: The same.
        tier: The same.
        secret: The same.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a size or a time is negative, or a secret has no tier.
    """
    weigher: Callable[[Any, Kept], int] | None = None
    if max_bytes is not None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
            raise TypeError(f"max_bytes must be an integer or None, got {max_bytes!r}")
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0, got {max_bytes!r}")
        # Checked as a limit of its own is, since it is none of the store's.
        Cache(maxsize, name=name)
        least = -(-max_bytes // maxsize) if maxsize else max_bytes + 1 if maxsize == 0 else 0
        maxsize = max_bytes

        def weigher(_key: Any, kept: Kept) -> int:
            return max(kept.snapshot.size, least)

    if tier is None:
        if secret is not None:
            raise ValueError("a secret is for what is in a tier, and no tier is given")
        return Cache(maxsize, ttl, weigher=weigher, name=name)
    from nexus_core.tiered_cache import TieredCache

    return TieredCache(tier, maxsize=maxsize, ttl=ttl, weigher=weigher, secret=secret, name=name)
