"""Private copies of results."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["NotPrivate", "Snapshot"]


class NotPrivate(Exception):
    """A value of which no private copy can be made; the text says why."""


class Snapshot:
    """A value as it was, which nobody else can reach.

    Args:
        value: What is copied.

    Raises:
        NotPrivate: If it cannot be copied with all that belongs to it.

    Attributes:
        size: Bytes that it takes in memory, about.
    """

    __slots__ = ("_held", "size")

    def __init__(self, value: Any) -> None:
        try:
            self._held = copy.deepcopy(value)
        except Exception as refused:
            raise NotPrivate(str(refused)) from refused
        self.size = 0

    def hand_out(self) -> Any:
        """A copy for one caller.

        Raises:
            NotPrivate: If it cannot be copied any more.
        """
        try:
            return copy.deepcopy(self._held)
        except Exception as refused:
            raise NotPrivate(str(refused)) from refused
