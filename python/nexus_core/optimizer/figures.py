"""What was measured before and after, and how it reads."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

__all__ = ["ExecutionFigures", "Side", "in_words", "interval_of_ratio"]

_MIB = 2**20

# What a run may take longer without the changes being taken back: by this share, or by so many seconds.
_MORE_SHARE, _MORE_SECONDS = 0.05, 0.0001

# Differences of resident memory below both are what a process does by itself.
_LEAST_BYTES, _LEAST_SHARE = _MIB, 0.01


def interval_of_ratio(before: Sequence[float], after: Sequence[float], samples: int = 1000) -> tuple[float, float]:
    """Where the ratio of two medians lies with 95 % confidence, by the bootstrap.

    With fewer than five measurements of a side it is the widest that they allow, and with one nothing is known.

    Args:
        before: Measurements, the denominator's.
        after: The numerator's.
        samples: Resamples, always the same ones.

    Example:
        >>> low, high = interval_of_ratio([1.0, 1.1, 0.9, 1.0], [0.5, 0.55, 0.45, 0.5])
        >>> 0.4 < low <= 0.5 <= high < 0.65
        True
    """
    fewest = min(len(before), len(after))
    if fewest < 2:
        return 0.0, math.inf
    if fewest < 5:
        return min(after) / max(before), max(after) / min(before)
    source = random.Random(2025)
    ratios = sorted(
        median(source.choices(after, k=len(after))) / max(median(source.choices(before, k=len(before))), 1e-12)
        for _ in range(samples)
    )
    return ratios[int(0.025 * samples)], ratios[int(0.975 * samples)]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        seconds: Of each run, one after the other.
        throughputs: Runs a second with ``at_once`` runs at once, each time that it was measured.
        resident_bytes: Resident memory after the runs, each time; empty where the system does not say.
        nodes_at_once: The most nodes that ran at once on the runtime.
    """

    seconds: tuple[float, ...] = field(repr=False)
    throughputs: tuple[float, ...] = field(repr=False)
    resident_bytes: tuple[int, ...] = field(repr=False)
    nodes_at_once: int

    @property
    def median_seconds(self) -> float:
        """Of a run."""
        return median(self.seconds)

    @property
    def throughput(self) -> float:
        """Runs a second."""
        return median(self.throughputs)

    @property
    def median_bytes(self) -> int | None:
        """Of resident memory."""
        return int(median(self.resident_bytes)) if self.resident_bytes else None


@dataclass(frozen=True, slots=True)
class ExecutionFigures:
    """A workflow's runs before and after it was optimized, in turns.

    Attributes:
        before: Without the changes.
        after: With them, results from the cache apart.
        at_once: Runs at once while throughput was measured.
        cached_seconds: Of a run that the cache has answered; ``None`` if results are not kept.
        time_ratio: Seconds after by seconds before, of the medians.
        time_interval: Where that lies with 95 % confidence.
        throughput_interval: The same for throughput after by before.
    """

    before: Side
    after: Side
    at_once: int
    cached_seconds: float | None
    time_ratio: float
    time_interval: tuple[float, float]
    throughput_interval: tuple[float, float]

    @classmethod
    def of(cls, before: Side, after: Side, at_once: int, cached_seconds: float | None) -> ExecutionFigures:
        """Compares two sides.

        Args:
            before: Without the changes.
            after: With them.
            at_once: Runs at once while throughput was measured.
            cached_seconds: Of a run that the cache has answered.
        """
        return cls(
            before,
            after,
            at_once,
            cached_seconds,
            after.median_seconds / before.median_seconds,
            interval_of_ratio(before.seconds, after.seconds),
            interval_of_ratio(before.throughputs, after.throughputs),
        )

    @property
    def runs(self) -> int:
        """Timed runs of each side."""
        return len(self.before.seconds)

    @property
    def difference(self) -> Literal["faster", "slower", "none"]:
        """Whether single runs have become faster, beyond what chance explains."""
        low, high = self.time_interval
        return "faster" if high < 1 else "slower" if low > 1 else "none"

    @property
    def is_worse(self) -> bool:
        """Whether runs have become slower by so much that the changes are not to be kept."""
        more = self.after.median_seconds - self.before.median_seconds
        return self.difference == "slower" and more > max(_MORE_SECONDS, _MORE_SHARE * self.before.median_seconds)

    @property
    def throughput_ratio(self) -> float:
        """Throughput after by throughput before."""
        return self.after.throughput / self.before.throughput

    @property
    def memory_share(self) -> float | None:
        """The share of resident memory that was saved; ``None`` where the system does not say."""
        before, after = self.before.median_bytes, self.after.median_bytes
        return None if before is None or after is None else (before - after) / before

    def improvement(self) -> str:
        """The guide's ``expected_improvement``."""
        medians = f"median {in_words(self.before.median_seconds)} -> {in_words(self.after.median_seconds)}, {self.runs} runs each"
        if self.difference == "none":
            low, high = self.time_interval
            said = f"no measurable difference ({medians}; the ratio lies between {low:.2f} and {high:.2f})"
        else:
            said = f"{abs(1 - self.time_ratio):.1%} {self.difference} execution ({medians})"
        if self.cached_seconds is not None:
            said += f"; a repeated run is answered from the cache in {in_words(self.cached_seconds)}"
        return said

    def memory(self) -> str:
        """The guide's ``memory_savings``."""
        before, after, share = self.before.median_bytes, self.after.median_bytes, self.memory_share
        if before is None or after is None or share is None:
            return "not measured: the system does not say how much memory is resident"
        seen = f"{before / _MIB:.1f} MiB -> {after / _MIB:.1f} MiB resident after runs"
        if abs(before - after) < max(_LEAST_BYTES, _LEAST_SHARE * before):
            return f"no measurable difference ({seen})"
        return f"{abs(share):.1%} {'reduction' if share > 0 else 'increase'} ({seen})"

    def throughput(self) -> str:
        """The guide's ``throughput_increase``."""
        seen = f"{self.before.throughput:.4g} -> {self.after.throughput:.4g} runs/s with {self.at_once} at once"
        low, high = self.throughput_interval
        if low <= 1 <= high:
            return f"no measurable difference ({seen})"
        return f"{self.throughput_ratio:.2f}x concurrent executions ({seen})"

    def as_dict(self) -> dict[str, Any]:
        """Everything as dicts and numbers."""
        return {
            **asdict(self),
            "runs": self.runs,
            "difference": self.difference,
            "throughput_ratio": self.throughput_ratio,
            "memory_share": self.memory_share,
        }


def in_words(seconds: float) -> str:
    """Seconds with a unit that suits them.

    Args:
        seconds: How many.
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
