"""Real workers under the guide's names: ``nexus-1``, ``nexus-2`` and so on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["InstanceBook"]

_STARTING = frozenset({"starting", "created"})
_DRAINING = frozenset({"draining", "closing", "stopping", "retiring", "closing_gracefully", "leaving"})


@dataclass(slots=True)
class _Entry:
    number: int
    created_at: float
    policy: str | None


class InstanceBook:
    """Gives each worker a number that it keeps; the numbers of workers that are gone are given out again."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self.policy: str | None = None
        """Whose decision new workers are owed to; ``None`` for those that were there, or were added by somebody else."""

    def seen(self, workers: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """What there is now.

        Args:
            workers: With the attributes of ``scaling.Worker``, at least ``name`` and ``started``.

        Returns:
            By the guide's names, the oldest first: ``status`` (``"running"``, ``"starting"``, ``"draining"``),
            ``created_at``, ``policy``, ``worker`` (its own name), ``state`` and ``load``.
        """
        found = sorted(workers, key=lambda worker: worker.started)
        names = {worker.name for worker in found}
        for gone in self._entries.keys() - names:
            del self._entries[gone]
        taken = {entry.number for entry in self._entries.values()}
        free = (number for number in itertools.count(1) if number not in taken)
        for worker in found:
            if worker.name not in self._entries:
                self._entries[worker.name] = _Entry(next(free), worker.started, self.policy)
        replies = {}
        for worker in found:
            entry = self._entries[worker.name]
            state = str(getattr(worker, "state", "running"))
            status = "starting" if state in _STARTING else "draining" if state in _DRAINING else "running"
            replies[f"nexus-{entry.number}"] = {
                "status": status,
                "created_at": entry.created_at,
                "policy": entry.policy,
                "worker": worker.name,
                "state": state,
                "load": getattr(worker, "load", None),
            }
        return replies
