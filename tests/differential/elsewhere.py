"""How outcomes are compared if nodes run in other processes; a plugin: ``pytest -p differential.elsewhere``."""

from __future__ import annotations

from typing import Any

from .observe import Comparison
from .snapshot import Picture, Snapshot

__all__ = ["Apart"]


class Apart(Snapshot):
    """Values without regard to which of them are one object: those of other processes are not."""

    tells_sharing = False

    def _walk(self, value: Any, depth: int) -> Picture:
        # A class that was made without a module gets one on its way.
        name, *parts = super()._walk(value, depth)
        return (name.removeprefix("types.").removeprefix("None.") if isinstance(name, str) else name, *parts)


def pytest_configure() -> None:
    """Only where it is asked for: a plugin is imported by whoever looks for doctests, too."""
    Comparison.picture = Apart
