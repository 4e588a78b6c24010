"""When a workflow is read into a plan: at its first run, or ahead of it."""

from __future__ import annotations

from nexus_core.optimizer.changes import Change, Refused, Target

__all__ = ["Loading", "is_read", "read"]


def is_read(target: Target) -> bool:
    """Whether there is a plan of a workflow as it is now.

    Args:
        target: The workflow.
    """
    from nexus_core.runtime.compiler import known

    return known(target.workflow, target.runtime._awaits()) is not None


def read(target: Target) -> str | None:
    """Makes the plan of a workflow, and what its cached results are found by.

    Args:
        target: The workflow.

    Returns:
        Why Kailash will run it, which takes no plan; ``None`` if it will not.
    """
    runtime = target.runtime
    plan = runtime._async_plan_for(target.workflow, {}, None)
    if isinstance(plan, tuple):
        return str(plan[0])
    if runtime._cached_runs is not None:
        runtime._cached_runs.read(runtime, target.workflow)
    return None


class Loading:
    """The workflows that are read ahead; all others are when they are first run."""

    def __init__(self) -> None:
        self._ahead: set[str] = set()

    def is_lazy(self, target: Target) -> bool:
        """Whether a workflow is read at its first run only.

        Args:
            target: The workflow.
        """
        return target.name not in self._ahead

    def ahead(self, target: Target) -> Change:
        """Reads a workflow now.

        Args:
            target: The workflow.

        Raises:
            Refused: If there is nothing to read, because Kailash will run it.
        """
        refused = read(target)
        if refused is not None:
            raise Refused(f"it has no plan, since Kailash runs it: {refused}")
        return Change(
            "its plan was made ahead of its first run",
            lambda: self._ahead.add(target.name),
            lambda: self._ahead.discard(target.name),
        )
