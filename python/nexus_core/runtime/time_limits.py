"""Limits of time that a run of ``LocalRuntime`` has overstepped."""

from __future__ import annotations

from typing import Any

from kailash.runtime.cancellation import CancellationToken
from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded, WorkflowCancelledError

__all__ = ["LimitedToken", "NodeEnded", "ends_nodes", "has_ended_nodes", "raise_if_too_late"]


class LimitedToken(CancellationToken):
    """Is cancelled when time has run out.

    Attributes:
        limits: What Kailash's ``arm_time_limits`` returned for it.
    """

    limits: Any = None


class NodeEnded(WorkflowCancelledError):
    """A node in another process was ended, because nobody waits for it any longer."""


def has_ended_nodes(error: BaseException) -> bool:
    """Whether a run has failed because of that.

    Args:
        error: What it has raised.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, NodeEnded):
        found = found.__cause__
    return found is not None


def ends_nodes(token: Any) -> bool:
    """Whether nodes that can be ended are not waited for any longer: the hard limit has passed.

    A token that is cancelled alone lets nodes end that are running, as Kailash says.

    Args:
        token: A run's cancellation token.
    """
    limits = getattr(token, "limits", None)
    return limits is not None and bool(limits.hard_deadline_reached)


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
