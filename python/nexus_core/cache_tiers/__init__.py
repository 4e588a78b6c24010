"""What may lie behind a local cache: a store that several processes share, or that outlives one.

A tier keeps bytes under digests of 32 bytes. :class:`~nexus_core.tiered_cache.TieredCache` puts a
local cache in front of it, and stands between a tier that fails and whoever asks.

>>> from nexus_core.cache_tiers import SQLiteTier
>>> from nexus_core.cache_tiers.encoding import decode, encode
>>> decode(encode({"rows": [(1, 2.5), {3}]}))
{'rows': [(1, 2.5), {3}]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_core.cache_tiers.tier import Acquired, Event, Lease, Stored, Subscription, Tier, TierFailure

if TYPE_CHECKING:
    from nexus_core.cache_tiers.redis_tier import RedisTier
    from nexus_core.cache_tiers.sqlite_tier import SQLiteTier

__all__ = [
    "Acquired",
    "Event",
    "Lease",
    "RedisTier",
    "SQLiteTier",
    "Stored",
    "Subscription",
    "Tier",
    "TierFailure",
]

_LATER = {
    "RedisTier": "nexus_core.cache_tiers.redis_tier",
    "SQLiteTier": "nexus_core.cache_tiers.sqlite_tier",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'nexus_core.cache_tiers' has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
