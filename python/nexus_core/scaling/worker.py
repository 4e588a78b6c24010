"""What is said of one worker."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Worker"]


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of a target.

    Attributes:
        name: Tells it from the others of the target.
        started: When it was started, in seconds since 1970.
        state: ``"busy"``, ``"idle"`` or, where that is not known, ``"running"``; ``"starting"``; ``"draining"``: it
            ends when its work has.
        load: The share of its time that it was busy lately, from 0 to 1; ``None`` where that is not known.
    """

    name: str
    started: float
    state: str
    load: float | None = None
