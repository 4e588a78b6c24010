"""What a cache of another size would have done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["SizeEstimate", "WhatIf"]


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """What is estimated of one size.

    Attributes:
        maxsize: The size.
        hit_ratio: The share of the requests that would have been hits.
        margin: The true ratio is within so much of it about nineteen times in twenty, as far as
            the choice of the sampled keys goes; ``None`` where that is not known.
        policy: What it is about: the cache's own policy, or ``"lru"``.
    """

    maxsize: int
    hit_ratio: float
    margin: float | None
    policy: Literal["tinylfu", "lru"]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What other sizes of a cache would have done with what it was asked lately.

    Attributes:
        maxsize: The cache's own size.
        hit_ratio: What it did itself, exactly, in the same time.
        half: What half the size would have done, by the cache's own policy.
        twice: The same of twice the size.
        sizes: What LRU would have done at the sizes that were asked about. Sizes over four times the cache's
            own are told as if they were that.
        requests: The requests that the figures are about; those longer ago count less.
        samples: How many of them were for sampled keys. Below some thousands the estimates
            say little.
        sampling_rate: The share of the keys that is sampled.
    """

    maxsize: int
    hit_ratio: float
    half: SizeEstimate
    twice: SizeEstimate
    sizes: tuple[SizeEstimate, ...]
    requests: int
    samples: int
    sampling_rate: float

    def as_dict(self) -> dict[str, Any]:
        """The same as plain dicts, for a log or a metrics endpoint."""
        return asdict(self)
