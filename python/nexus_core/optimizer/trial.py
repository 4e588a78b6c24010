"""The options of a workflow applied, measured, and kept or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from nexus_core._other_thread import await_on_thread
from nexus_core.errors import NexusCoreError
from nexus_core.optimizer.changes import Change, Refused, Target
from nexus_core.optimizer.measuring import Comparison, compare

__all__ = ["Trial"]

_log = logging.getLogger("nexus_core.optimizer")

_NOT_MEASURED = "not measured: pass sample_inputs"


class Trial:
    """Applies options to a workflow.

    Args:
        target: The workflow.
        plans: For each option what plans its change, or why it is not wanted.

    Attributes:
        applied: The changes that are in force, by option.
        refused: Why others are not.
    """

    def __init__(self, target: Target, plans: Mapping[str, Callable[[Target], Change] | str]) -> None:
        self._target = target
        self._compared: Comparison | None = None
        self._warnings: list[str] = []
        self.applied: dict[str, Change] = {}
        self.refused: dict[str, str] = {}
        try:
            for option, plan in plans.items():
                self._apply(option, plan)
        except BaseException:
            self.take_back()
            raise

    def _apply(self, option: str, plan: Callable[[Target], Change] | str) -> None:
        if isinstance(plan, str):
            self.refused[option] = plan
            return
        try:
            change = plan(self._target)
        except Refused as reason:
            self.refused[option] = str(reason)
        else:
            change.put()
            self.applied[option] = change

    def take_back(self) -> None:
        """Takes everything back."""
        for option in reversed(list(self.applied)):
            self.applied.pop(option).take_back()

    def measure(self, samples: list[Mapping[str, Any]], runs: int, at_once: int) -> None:
        """Executes the workflow with the changes and without, and keeps what may be kept.

        Args:
            samples: Inputs of runs.
            runs: Timed runs of each side.
            at_once: Runs at once for throughput.

        Raises:
            NexusCoreError: If the app was detached meanwhile.
        """
        self._warnings += _side_effects(self._target)
        for warning in self._warnings:
            _log.warning("measuring workflow %r: %s", self._target.name, warning)
        changes, caches = list(self.applied.values()), self.applied.get("enable_caching")
        self._compared = await_on_thread(lambda: compare(self._target, changes, samples, runs, at_once, caches))
        if not self._target.attachment.active:
            raise NexusCoreError("the app was detached or closed while its workflow was measured; nothing is changed")
        self._judge(self._compared)

    def _judge(self, compared: Comparison) -> None:
        figures = compared.figures
        reason = compared.problem
        if reason is None and figures is not None and figures.is_worse:
            reason = f"with all of them together, {figures.improvement()}"
        if not compared.is_repeatable:
            self._warnings.append(
                "equal inputs gave different results: only nodes and errors were compared, not values"
            )
        for option in reversed(list(self.applied)):
            why_not = reason
            if why_not is None and option == "enable_caching" and not compared.is_repeatable:
                why_not = "equal inputs gave different results"
            if why_not is None and figures is not None:
                why_not = self.applied[option].judge(figures)
            if why_not is not None:
                self.applied.pop(option).take_back()
                self.refused[option] = why_not

    def reply(self) -> dict[str, Any]:
        """What ``optimize_workflow_execution`` returns."""
        compared = self._compared
        figures = None if compared is None else compared.figures
        reason = _NOT_MEASURED
        if compared is not None and figures is None:
            reason = f"not measured: {compared.problem}"
        return {
            "workflow_name": self._target.name,
            "optimizations_applied": list(self.applied),
            "expected_improvement": reason if figures is None else figures.improvement(),
            "memory_savings": reason if figures is None else figures.memory(),
            "throughput_increase": reason if figures is None else figures.throughput(),
            "details": {option: change.detail for option, change in self.applied.items()},
            "not_applied": self.refused,
            "warnings": self._warnings,
            "figures": figures,
            "executions": 0 if compared is None else compared.runs,
        }


def _side_effects(target: Target) -> list[str]:
    """What the runs that measure do beside their results, as far as it can be seen."""
    from nexus_core.best_practices.workflow_facts import facts_of

    nodes = facts_of(target.name, target.workflow).nodes.values()
    outside = [node.name for node in nodes if node.is_external or node.reaching_out]
    if not outside:
        return []
    return [f"{', '.join(outside)} reach outside, and did so in every measured run"]
