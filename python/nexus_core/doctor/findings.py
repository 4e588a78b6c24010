"""What an examination has found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level"]

#: ``problem``: something is wrong, or will surprise; ``advice``: it works, and could do better.
Level = Literal["problem", "advice"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to change.

    Attributes:
        level: How much it matters.
        name: A short name that stays the same, for scripts.
        seen: What was seen.
        remedy: What to do.
    """

    level: Level
    name: str
    seen: str
    remedy: str
