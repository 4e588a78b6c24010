"""Limits of time that a run of ``LocalRuntime`` has overstepped."""

from __future__ import annotations

from typing import Any

from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded

__all__ = ["raise_if_too_late"]


def raise_if_too_late(limits: Any, token: Any) -> None:
    """A deadline that passed while the last node ran counts.

    Args:
        limits: What Kailash's ``arm_time_limits`` returned.
        token: The run's cancellation token.

    Raises:
        HardTimeLimitExceeded: If the hard one has passed.
        SoftTimeLimitExceeded: If the soft one has.
    """
    if limits.hard_deadline_reached:
        raise HardTimeLimitExceeded(
            f"workflow exceeded hard time limit (time_limit={limits.time_limit}s + "
            f"grace_seconds={limits.grace_seconds}s)"
        )
    if token.is_cancelled and limits.soft_time_limit is not None:
        raise SoftTimeLimitExceeded(f"workflow exceeded soft time limit (soft_time_limit={limits.soft_time_limit}s)")
