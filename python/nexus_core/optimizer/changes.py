"""Changes of an app that can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nexus_core.errors import NexusCoreError

if TYPE_CHECKING:
    from nexus_core.optimizer.figures import ExecutionFigures

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
        on: Puts it in force, or changes nothing if that fails; returns what takes it back, in whatever order
            others take back theirs. ``None`` for what is in force already, and stays.
        is_measured: Whether it is taken back and put in force again to measure what it does.
        judge: Says of what was measured why it must not be kept; ``None`` if it may.
        options: What it was asked for with.
    """

    detail: str
    on: Callable[[], Callable[[], object]] | None
    is_measured: bool = False
    judge: Callable[[ExecutionFigures], str | None] = lambda _: None
    options: dict[str, Any] = field(default_factory=dict)
    _undo: Callable[[], object] | None = None

    def put(self) -> None:
        """Puts it in force; if that fails, nothing is changed."""
        if self._undo is None and self.on is not None:
            self._undo = self.on()

    def take_back(self) -> None:
        """Takes it back."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()


def no_change(detail: str) -> Change:
    """What is in force already, and stays.

    Args:
        detail: What it is, in words.
    """
    return Change(detail, None)
