"""Results of single workflows kept in the runtime's cache, which is made where there is none."""

from __future__ import annotations

import itertools
from typing import Any

from nexus_core.cached_runs.cached_workflows import call_workflow, names_of, uncall_workflow
from nexus_core.cached_runs.policies import CachePolicy, as_policy
from nexus_core.optimizer.changes import Change, Refused, Target, no_change

__all__ = ["CacheUse", "is_cached"]

_numbers = itertools.count(1)

_NOT_DECLARED = (
    "it does not say that it may be cached, and what a node does beside its result would not happen again: "
    "builder.build(cacheable=True) says so, or pass cacheable=True, if equal inputs always give equal results "
    "and a run has no side effects"
)


def _names(workflow: Any) -> tuple[str, ...]:
    return (*names_of(workflow), workflow.name, workflow.workflow_id)


def is_cached(target: Target) -> bool:
    """Whether the runtime keeps results of a workflow.

    Args:
        target: The workflow.
    """
    runs = target.runtime._cached_runs
    if runs is None:
        return False
    says = target.workflow.metadata.get("cacheable")
    return runs.cache.policy_of_workflow((target.name, *_names(target.workflow)), says) is not None


class CacheUse:
    """The runtime's cache, as far as it is there for what was optimized."""

    def __init__(self) -> None:
        self._users = 0
        self._made: Any = None

    def keep(self, target: Target, cacheable: bool | CachePolicy | None) -> Change:
        """Keeps the results of a workflow.

        Args:
            target: The workflow.
            cacheable: That it may be, if it does not say so itself, or the policy.

        Raises:
            Refused: If it must not be cached.
        """
        runtime, workflow = target.runtime, target.workflow
        runs = runtime._cached_runs
        says = as_policy("the workflow's 'cacheable'", workflow.metadata.get("cacheable"))
        if cacheable is False:
            raise Refused("cacheable=False was given")
        if runs is not None:
            forbidden = [
                name for name in (target.name, *_names(workflow)) if runs.cache._workflows.get(name, 0) is None
            ]
            if forbidden:
                raise Refused(f"the runtime's cache was told that {forbidden[0]!r} must not be cached")
            if is_cached(target) and not isinstance(cacheable, CachePolicy):
                return no_change(f"results are kept already, in {runs.cache.name!r}")
        if workflow.metadata.get("cacheable") is False:
            raise Refused("it says itself that it must not be cached")
        if says is None and not cacheable:
            raise Refused(_NOT_DECLARED)
        policy = cacheable if isinstance(cacheable, CachePolicy) else says or CachePolicy()
        kept = "for the cache's time" if policy.ttl is None else f"for {policy.ttl:g} s"
        made = "" if runs is not None else ", in a cache that the runtime is given"
        return self._change(target, policy, f"results are kept {kept}{made}")

    def keep_none(self, target: Target) -> Change:
        """Keeps no results of a workflow, whatever else says.

        Args:
            target: The workflow.
        """
        return self._change(target, False, "no results are kept")

    def _change(self, target: Target, policy: CachePolicy | bool, detail: str) -> Change:
        # A name that no other workflow has: the cache may serve other apps.
        label = f"{target.name} (optimizer {next(_numbers)})"

        cache: Any = None

        def take_back() -> None:
            uncall_workflow(target.workflow, label)
            cache.set_policy(label, None)
            self._end(target)

        def put() -> None:
            nonlocal cache
            cache = self._begin(target)
            try:
                cache.set_policy(label, policy)
                call_workflow(target.workflow, label, first=True)
            except BaseException:
                cache.set_policy(label, None)
                self._end(target)
                raise

        return Change(detail, put, take_back)

    def _begin(self, target: Target) -> Any:
        from nexus_core.cached_runs.cached_runs import CachedRuns
        from nexus_core.cached_runs.result_cache import ResultCache

        runtime = target.runtime
        if runtime._cached_runs is None:
            self._made = runtime._cached_runs = CachedRuns(ResultCache())
            try:
                target.attachment.tell_of_cache()
            except BaseException:
                self._made = runtime._cached_runs = None
                target.attachment.stop_telling_of_cache()
                raise
        self._users += 1
        return runtime._cached_runs.cache

    def _end(self, target: Target) -> None:
        self._users -= 1
        if not self._users and self._made is not None:
            made, self._made = self._made, None
            if target.runtime._cached_runs is made:
                target.attachment.stop_telling_of_cache()
                target.runtime._cached_runs = None
