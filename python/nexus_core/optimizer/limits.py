"""What bounds the runs of a workflow: seconds, and how many at once; and in which order its nodes start."""

from __future__ import annotations

from collections.abc import Callable

from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.optimizer.loading import checked_order
from nexus_core.runtime.turns import Turns
from nexus_core.runtime.workflow_rules import add_rule, rule_of

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
    reason = _too_short(seconds, longest)
    if reason is not None:
        raise Refused(reason)
    ruled = rule_of(runtime, workflow).timeout
    # Another's rule may be taken back.
    if ruled is None and runtime.execution_timeout == seconds:
        return no_change(f"a run may take {seconds:g} s already")
    earlier = ruled or runtime.execution_timeout
    told = f"{earlier:g} s" if earlier else "any time"
    return Change(
        f"a run may take {seconds:g} s instead of {told}",
        lambda: add_rule(runtime, workflow, timeout=seconds),
        is_measured=True,
        judge=lambda figures: _too_short(seconds, max(figures.after.seconds)),
    )


def _too_short(seconds: float, longest: float) -> str | None:
    if longest * _MARGIN <= seconds:
        return None
    return (
        f"runs have taken up to {longest:.3g} s, so that {seconds:g} s could fail what is well; pass an "
        "execution_timeout of at least twice as much"
    )


def at_once(target: Target, limit: int) -> Change:
    """Lets so many runs of the workflow be under way at once.

    Args:
        target: The workflow.
        limit: Runs; the others wait in the order in which they come.
    """
    runtime, workflow = target.runtime, target.workflow

    def put() -> Callable[[], None]:
        turns = Turns(limit)
        forget = add_rule(runtime, workflow, turns=turns)

        def take_back() -> None:
            forget()
            turns.open()

        return take_back

    return Change(
        f"at most {limit} runs are under way at once; others wait, first come, first served", put, is_measured=True
    )


def in_topological_order(target: Target) -> Change:
    """Has the workflow's ready nodes start in topological order, whatever was learned of them.

    Args:
        target: The workflow.

    Raises:
        Refused: If it is not the engine that orders them.
    """
    checked_order(target)
    return Change(
        "ready nodes start in topological order", lambda: add_rule(target.runtime, target.workflow, in_order=True)
    )
