"""The short way of runs that an event loop's own thread executes."""

from __future__ import annotations

import asyncio

from nexus_core._core import RunOptions, Stamp

__all__ = ["FastPath"]

#: Seconds for which short runs may keep the loop before everybody else has a turn.
_LONGEST_ON_LOOP = 0.001


class FastPath:
    """What a runtime remembers so that short runs on the loop need not ask again.

    Attributes:
        stamp: Holds as long as no attribute of the runtime has been set.
        options: Of quiet runs; ``None`` if something about the runtime needs more.
    """

    __slots__ = ("_on_loop", "options", "stamp")

    def __init__(self) -> None:
        self.stamp = Stamp()
        self.options: RunOptions | None = None
        self._on_loop = 0.0

    def spent(self, seconds: float) -> None:
        """Counts how long runs have kept a loop."""
        self._on_loop += seconds

    async def let_others_in(self) -> None:
        """Lets the loop turn once short runs in a row have kept it for long."""
        if self._on_loop >= _LONGEST_ON_LOOP:
            self._on_loop = 0.0
            await asyncio.sleep(0)
