"""What ``attach`` has reached, and what it has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["AttachReport", "ChannelProblem"]


@dataclass(frozen=True, slots=True)
class ChannelProblem:
    """A channel, and why it does not run on the attached runtime.

    Attributes:
        channel: The channel's name.
        reason: Why, in words.
    """

    channel: str
    reason: str

    def __str__(self) -> str:
        return f"{self.channel}: {self.reason}"


@dataclass(frozen=True, slots=True)
class AttachReport:
    """What ``attach`` has done; ``print`` shows it as text.

    Attributes:
        runtime: The runtime that the app's channels execute on.
        owns_runtime: Whether ``attach`` made it; then ``detach``, or closing the app, closes it.
        attached: The channels that execute on it.
        absent: Channels that this app does not have.
        failures: Channels that could not be attached, and go on as they were.
        versions: Versions of the packages involved; ``None`` where one is not installed.
    """

    runtime: Any
    owns_runtime: bool
    attached: tuple[str, ...]
    absent: tuple[ChannelProblem, ...]
    failures: tuple[ChannelProblem, ...]
    versions: dict[str, str | None]

    def __str__(self) -> str:
        made = "made by attach" if self.owns_runtime else "given"
        lines = [f"attached to {type(self.runtime).__name__} ({made})"]
        lines += [f"  on it: {name}" for name in self.attached]
        lines += [f"  not there: {problem}" for problem in self.absent]
        lines += [f"  NOT attached: {problem}" for problem in self.failures]
        shown = ", ".join(f"{name} {number or 'not installed'}" for name, number in self.versions.items())
        return "\n".join([*lines, f"  with {shown}"])
