"""The short way of runs that an event loop's own thread executes."""

from __future__ import annotations

from nexus_core._core import RunOptions, Stamp

__all__ = ["LONGEST_ON_LOOP", "FastPath"]

#: Seconds for which short runs may keep the loop before everybody else has a turn.
LONGEST_ON_LOOP = 0.001


class FastPath:
    """What a runtime remembers so that short runs on the loop need not ask again.

    Attributes:
        stamp: Holds as long as no attribute of the runtime has been set.
        options: Of quiet runs; ``None`` if something about the runtime needs more.
        on_loop: Seconds for which short runs have kept a loop since it last turned.
    """

    __slots__ = ("on_loop", "options", "stamp")

    def __init__(self) -> None:
        self.stamp = Stamp()
        self.options: RunOptions | None = None
        self.on_loop = 0.0
