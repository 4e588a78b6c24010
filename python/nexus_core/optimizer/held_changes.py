"""What an optimizer has changed about an app, and takes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nexus_core.optimizer.changes import Change, Target
from nexus_core.optimizer.switches import Switch

__all__ = ["HeldChanges"]


class HeldChanges:
    """Changes in the order in which they were put in force, by what they are for and the workflow."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Change] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def workflows(self) -> set[str]:
        """The names of the workflows about which something is changed."""
        return {name for _, name in self._held}

    def replace(self, name: str, options: Iterable[str], plan: Callable[[], dict[str, Change]]) -> dict[str, Change]:
        """Takes changes of a workflow back, and holds others in their place.

        Args:
            name: The workflow's name.
            options: What the changes that are taken back are for.
            plan: Puts others in force, and returns them by what they are for. If it fails, it is as it was.
        """
        earlier = {option: change for option in options if (change := self._held.get((option, name))) is not None}
        for change in reversed(earlier.values()):
            change.take_back()
        try:
            now = plan()
        except BaseException:
            for change in earlier.values():
                change.put()
            raise
        for option in earlier:
            del self._held[option, name]
        self._held.update({(option, name): change for option, change in now.items()})
        return now

    def switch(self, strategy: str, switch: Switch, target: Target, on: bool, options: dict[str, Any]) -> str | None:
        """Switches a strategy of a workflow on or off.

        Args:
            strategy: Its name.
            switch: How.
            target: The workflow.
            on: Whether it is to be on.
            options: Those of ``enable``.

        Returns:
            What was changed; ``None`` if nothing was.

        Raises:
            Refused: If it cannot be done; it is as it was.
        """
        held = self._held.get((strategy, target.name))
        if switch.is_on(target) is on and (not options or (held is not None and held.options == options)):
            return None
        said: str | None = None

        def plan() -> dict[str, Change]:
            nonlocal said
            if switch.is_on(target) is on and not options:
                # What is taken back had switched it to what it was.
                said = None if held is None else f"as before: no longer {held.detail}"
                return {}
            change = switch.on(target, **options) if on else switch.off(target)
            if change.on is None:
                return {}
            change.options = options
            change.put()
            said = change.detail
            return {strategy: change}

        self.replace(target.name, [strategy], plan)
        return said

    def revert(self, name: str | None = None) -> dict[str, list[str]]:
        """Takes changes back, the last first.

        Args:
            name: Of this workflow, or of all.

        Returns:
            By workflow, what the changes were for.

        Raises:
            ExceptionGroup: If some could not be taken back; all others were.
        """
        reverted: dict[str, list[str]] = {}
        errors: list[Exception] = []
        for key in reversed(list(self._held)):
            option, workflow = key
            if name not in (None, workflow):
                continue
            change = self._held.pop(key)
            if change.on is None:
                continue
            reverted.setdefault(workflow, []).append(option)
            try:
                change.take_back()
            except Exception as error:
                error.add_note(f"while {option} of workflow {workflow!r} was taken back")
                errors.append(error)
        if errors:
            raise ExceptionGroup("not everything could be taken back", errors)
        return reverted
