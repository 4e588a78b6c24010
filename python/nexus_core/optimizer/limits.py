"""What bounds the runs of a workflow: seconds, and how many at once; and in which order its nodes start."""

from __future__ import annotations

from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.runtime.turns import Turns
from nexus_core.runtime.workflow_rules import rule_of, set_rule

__all__ = ["at_once", "in_topological_order", "time_limit"]

# A time-out below this many times the longest run that was seen would fail runs that are well.
_MARGIN = 2.0


def time_limit(target: Target, seconds: float) -> Change:
    """Lets a run of the workflow take so long.

    Args:
        target: The workflow.
        seconds: For a run, without what it waits for its turn.

    Raises:
        Refused: If runs have taken about as long.
    """
    runtime, workflow = target.runtime, target.workflow
    seen = runtime.metrics().workflows.get(workflow.name)
    longest = 0.0 if seen is None or not seen.duration.count else seen.duration.max
    if longest * _MARGIN > seconds:
        raise Refused(
            f"runs have taken up to {longest:.3g} s, so that {seconds:g} s could fail what is well; pass an "
            "execution_timeout of at least twice as much"
        )
    before = rule_of(runtime, workflow).timeout
    if (before or runtime.execution_timeout) == seconds:
        return no_change(f"a run may take {seconds:g} s already")
    earlier = before or runtime.execution_timeout
    told = f"{earlier:g} s" if earlier else "any time"
    return Change(
        f"a run may take {seconds:g} s instead of {told}",
        lambda: set_rule(runtime, workflow, timeout=seconds),
        lambda: set_rule(runtime, workflow, timeout=before),
        is_measured=True,
    )


def at_once(target: Target, limit: int) -> Change:
    """Lets so many runs of the workflow be under way at once.

    Args:
        target: The workflow.
        limit: Runs; the others wait in the order in which they come.
    """
    runtime, workflow = target.runtime, target.workflow
    before = rule_of(runtime, workflow).turns
    if before is not None and before.limit == limit:
        return no_change(f"at most {limit} runs are under way at once already")
    turns: list[Turns] = []

    def put() -> None:
        turns.append(Turns(limit))
        set_rule(runtime, workflow, turns=turns[-1])

    def take_back() -> None:
        set_rule(runtime, workflow, turns=before)
        turns.pop().open()

    return Change(
        f"at most {limit} runs are under way at once; others wait, first come, first served",
        put,
        take_back,
        is_measured=True,
    )


def in_topological_order(target: Target) -> Change:
    """Has the workflow's ready nodes start in topological order, whatever was learned of them.

    Args:
        target: The workflow.
    """
    return Change(
        "ready nodes start in topological order",
        lambda: set_rule(target.runtime, target.workflow, in_order=True),
        lambda: set_rule(target.runtime, target.workflow, in_order=False),
    )
