"""What workflows had come to some time ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from nexus_core.metrics.totals import WorkflowTotals

__all__ = ["WorkflowHistory"]

# The time that it covers is exact up to such a part of it.
_PARTS = 30


class WorkflowHistory:
    """Keeps a few states of a runtime's workflows, so that it is known what was added in the last while.

    Args:
        seconds: How far it goes back.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: deque[tuple[float, Mapping[str, WorkflowTotals]]] = deque()

    def begin(self, moment: float, workflows: Mapping[str, WorkflowTotals]) -> None:
        """Has it begin with this state.

        Args:
            moment: When, by a clock that is never set.
            workflows: By name what they had come to.
        """
        self._kept.clear()
        self._kept.append((moment, workflows))

    def add(self, moment: float, workflows: Mapping[str, WorkflowTotals]) -> None:
        """Tells it of a later state, which is kept unless there is one that is hardly older."""
        if moment - self._kept[-1][0] >= self._seconds / _PARTS:
            self._kept.append((moment, workflows))
        self._forget(moment)

    def since(self, moment: float, workflows: Mapping[str, WorkflowTotals]) -> dict[str, WorkflowTotals]:
        """What was added to a state that is known from as long ago as it goes back, or from its beginning.

        Args:
            moment: Now.
            workflows: What they have come to now.
        """
        self._forget(moment)
        before = self._kept[0][1]
        return {name: totals.since(before.get(name, WorkflowTotals())) for name, totals in workflows.items()}

    def _forget(self, moment: float) -> None:
        while len(self._kept) > 1 and self._kept[1][0] <= moment - self._seconds:
            self._kept.popleft()
