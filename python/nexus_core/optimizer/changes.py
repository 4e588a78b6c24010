"""Changes of an app that can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nexus_core.errors import NexusCoreError

__all__ = ["Change", "Refused", "StrategyRefused", "Target", "no_change"]


class StrategyRefused(NexusCoreError):
    """A strategy that cannot be switched on or off for a workflow, or is not safe for it.

    Attributes:
        strategy: The strategy.
        workflow: The workflow's name.
    """

    def __init__(self, strategy: str, workflow: str, reason: str) -> None:
        self.strategy = strategy
        self.workflow = workflow
        super().__init__(f"{strategy} of workflow {workflow!r}: {reason}")


class Refused(Exception):
    """Why something is not changed, as a clause."""


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow of an attached app.

    Attributes:
        app: The app.
        attachment: How it is attached.
        runtime: The runtime that it is attached to.
        name: The name that the workflow is registered under.
        workflow: The workflow.
    """

    app: Any
    attachment: Any
    runtime: Any
    name: str
    workflow: Any

    @property
    def api(self) -> Any:
        """What answers the workflow's routes; ``None`` if nothing does."""
        return getattr(self.attachment._gateway, "_workflow_apis", {}).get(self.name)


@dataclass(slots=True)
class Change:
    """Something about an app, put in force or taken back.

    Attributes:
        detail: What it is, in words.
        on: Puts it in force.
        off: Takes it back: everything is as it was before it was last put in force.
        is_measured: Whether it is taken back and put in force again to measure what it does.
        is_on: Whether it is in force.
    """

    detail: str
    on: Callable[[], object]
    off: Callable[[], object]
    is_measured: bool = False
    is_on: bool = False

    def put(self) -> None:
        """Puts it in force; if that fails, nothing is changed."""
        if not self.is_on:
            self.on()
            self.is_on = True

    def take_back(self) -> None:
        """Takes it back."""
        if self.is_on:
            self.is_on = False
            self.off()


def no_change(detail: str) -> Change:
    """What is in force already, and stays.

    Args:
        detail: What it is, in words.
    """
    return Change(detail, lambda: None, lambda: None)
