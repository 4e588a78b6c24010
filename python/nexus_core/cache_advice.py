"""What would make a cache of results do better, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nexus_core.cache_statistics import CacheStatistics
from nexus_core.cache_what_if import WhatIf

__all__ = ["Figures", "advise", "guide_size"]

# Before so many requests for sampled keys, sizes are not compared.
_ENOUGH_SAMPLES = 200
# A size that changes the hit ratio by less is as good.
_WORTH = 0.01
_MUCH_MEMORY = 256 * 1024 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Figures:
    """What the advice is made from.

    Attributes:
        about: What each sentence begins with.
        statistics: What the cache counted.
        what_if: What other sizes would have done.
        sizes: Bytes of each result.
        unused: Results that nobody has asked for since they were kept; ``None`` if that is not known.
        seconds_saved: What the hits would have taken to compute; ``None`` if that is not known.
        not_kept: Results that were not kept, by reason.
        ambiguous: Lookups by digits that stand for several results.
    """

    about: str
    statistics: CacheStatistics
    what_if: WhatIf
    sizes: list[int]
    unused: int | None = None
    seconds_saved: float | None = None
    not_kept: Mapping[str, int] = field(default_factory=dict)
    ambiguous: int = 0


def guide_size(entries: int) -> float:
    """The size that the guide's formula gives.

    Args:
        entries: Entries that are there.
    """
    return min(entries * 1.5, 2000)


def advise(figures: Figures) -> tuple[list[str], int | None]:
    """What to change, and the size to have.

    Args:
        figures: What was measured.

    Returns:
        A sentence for each recommendation, with the figures; and a size, ``None`` where too little
        was asked for yet to tell.
    """
    texts: list[str] = []
    size = _advise_size(figures.what_if, texts)
    _advise_expiry(figures, texts)
    _advise_memory(figures, texts)
    for reason, count in figures.not_kept.items():
        texts.append(f"{_count(count, 'result')} could not be kept: {reason}")
    if figures.ambiguous:
        texts.append(
            f"Pass keys on as generate_cache_key() returns them: {_count(figures.ambiguous, 'lookup')} by digits alone "
            "stood for several results, and counted as misses"
        )
    return [figures.about + text for text in texts], size


def _advise_size(found: WhatIf, texts: list[str]) -> int | None:
    if found.samples < _ENOUGH_SAMPLES:
        return None
    now, half, twice = found.hit_ratio, found.half, found.twice
    about = f"of the last {found.requests:,} requests"
    gain = twice.hit_ratio - now
    if gain > max(_WORTH, twice.margin or 0.0):
        texts.append(
            f"Raise the size from {found.maxsize:,} to {twice.maxsize:,}: it would have found {_percent(twice.hit_ratio)} "
            f"{about}, and {_percent(now)} were found"
        )
        return twice.maxsize
    loss = now - half.hit_ratio
    if half.maxsize and loss + (half.margin or 0.0) < _WORTH:
        texts.append(
            f"Half the size, {half.maxsize:,}, would do: it would have found {_percent(half.hit_ratio)} {about}, and "
            f"{_percent(now)} were found with {found.maxsize:,}"
        )
        return half.maxsize
    return found.maxsize


def _advise_expiry(figures: Figures, texts: list[str]) -> None:
    counts = figures.statistics
    asked = counts.hits + counts.misses
    if not asked or counts.hit_ratio >= 0.5:
        return
    if counts.expired * 10 >= counts.misses:
        texts.append(
            f"Increase cache TTL for frequently accessed results: {_count(counts.expired, 'result')} expired, beside "
            f"{_count(counts.misses, 'miss')} in {_count(asked, 'request')}"
        )
    found = figures.what_if
    helps = found.twice.hit_ratio - found.hit_ratio > _WORTH
    if found.samples >= _ENOUGH_SAMPLES and not helps and counts.expired * 10 < counts.misses:
        texts.append(
            f"Consider pre-warming cache with common queries: {_percent(1 - found.hit_ratio)} of the last "
            f"{found.requests:,} requests were for what was not there, {_percent(1 - found.twice.hit_ratio)} with twice "
            "the size"
        )


def _advise_memory(figures: Figures, texts: list[str]) -> None:
    together = sum(figures.sizes)
    if together <= _MUCH_MEMORY:
        return
    entries = len(figures.sizes)
    text = (
        f"Keep fewer or smaller results: {entries:,} take {together / _MIB:,.0f} MiB, the largest "
        f"{max(figures.sizes) / _MIB:,.1f} MiB"
    )
    if figures.unused is not None:
        text += f"; {figures.unused:,} of them were never asked for again"
    if figures.seconds_saved is not None:
        text += f"; hits have saved {figures.seconds_saved:,.1f} s of computing"
    texts.append(text)


def _percent(ratio: float) -> str:
    return f"{ratio:.1%}"


def _count(number: int, what: str) -> str:
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{number:,} {what if number == 1 else plural}"
