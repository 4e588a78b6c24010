"""Results of single workflows kept in the runtime's cache, which is made where there is none."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from nexus_core.cached_runs.cached_workflows import call_workflow, names_of, uncall_workflow
from nexus_core.cached_runs.policies import CachePolicy, as_policy
from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.optimizer.figures import ExecutionFigures, in_words

__all__ = ["is_cached", "keep", "keep_none"]

_numbers = itertools.count(1)

#: By caches that were made for what was optimized, how often each attachment uses it.
_made: WeakKeyDictionary[Any, WeakKeyDictionary[Any, int]] = WeakKeyDictionary()
_changing = threading.RLock()

#: In the names under which policies are given here.
_LABEL = " (optimizer "

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
    # Its own names in their own order, as a run goes by them.
    return runs.cache.policy_of_workflow(_names(target.workflow), says) is not None


def keep(target: Target, cacheable: bool | CachePolicy | None = None) -> Change:
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
        known = (target.name, *_names(workflow))
        forbidden = next((name for name in known if runs.cache._workflows.get(name, 0) is None), None)
        if forbidden is not None and _is_label(forbidden):
            raise Refused("workflow_caching was disabled for it; enable it first")
        if forbidden is not None:
            raise Refused(f"the runtime's cache was told that {forbidden!r} must not be cached")
        # Another optimizer's policy may be taken back.
        by_another = any(_is_label(name) and name in runs.cache._workflows for name in names_of(workflow))
        if is_cached(target) and not (isinstance(cacheable, CachePolicy) or by_another):
            return no_change(f"results are kept already, in {runs.cache.name!r}")
    if workflow.metadata.get("cacheable") is False:
        raise Refused("it says itself that it must not be cached")
    if says is None and not cacheable:
        raise Refused(_NOT_DECLARED)
    policy = cacheable if isinstance(cacheable, CachePolicy) else says or CachePolicy()
    kept = "for the cache's time" if policy.ttl is None else f"for {policy.ttl:g} s"
    made = "" if runs is not None else ", in a cache that the runtime is given"
    return _change(target, policy, f"results are kept {kept}{made}")


def keep_none(target: Target) -> Change:
    """Keeps no results of a workflow, whatever else says.

    Args:
        target: The workflow.
    """
    return _change(target, False, "no results are kept")


def _slower(figures: ExecutionFigures) -> str | None:
    seconds, run = figures.cached_seconds, figures.after.median_seconds
    if seconds is None or seconds < run:
        return None
    return f"an answer from the cache takes {in_words(seconds)}, and a run {in_words(run)}"


def _change(target: Target, policy: CachePolicy | bool, detail: str) -> Change:
    # A name that no other workflow has: the cache may serve other apps.
    label = f"{target.name}{_LABEL}{next(_numbers)})"

    def put() -> Callable[[], None]:
        cache = _begin(target)

        def take_back() -> None:
            uncall_workflow(target.workflow, label)
            cache.set_policy(label, None)
            _end(target, cache)

        try:
            cache.set_policy(label, policy)
            call_workflow(target.workflow, label, first=True)
        except BaseException:
            take_back()
            raise
        return take_back

    return Change(detail, put, judge=_slower)


def _is_label(name: str) -> bool:
    return _LABEL in name


def _begin(target: Target) -> Any:
    """The runtime's cache, which is made where there is none."""
    from nexus_core.cached_runs.cached_runs import CachedRuns
    from nexus_core.cached_runs.result_cache import ResultCache

    with _changing:
        runtime, attachment = target.runtime, target.attachment
        runs = runtime._cached_runs
        if runs is None:
            runs = runtime._cached_runs = CachedRuns(ResultCache())
            _made[runs.cache] = WeakKeyDictionary()
        users = _made.get(runs.cache)
        if users is not None:
            if attachment not in users:
                try:
                    attachment.tell_of_cache()
                except BaseException:
                    attachment.stop_telling_of_cache()
                    if not users:
                        del _made[runs.cache]
                        runtime._cached_runs = None
                    raise
            users[attachment] = users.get(attachment, 0) + 1
        return runs.cache


def _end(target: Target, cache: Any) -> None:
    """A cache that was made goes with its last user."""
    with _changing:
        users = _made.get(cache)
        if users is None:
            return
        users[target.attachment] -= 1
        if not users[target.attachment]:
            del users[target.attachment]
            target.attachment.stop_telling_of_cache()
        if not users:
            del _made[cache]
            runs = target.runtime._cached_runs
            if runs is not None and runs.cache is cache:
                target.runtime._cached_runs = None
