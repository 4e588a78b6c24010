"""Runs of one runtime, answered from a cache where it has the results."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from nexus_core._core import Answers, WorkflowPlan
from nexus_core.cached_runs.answers import answers
from nexus_core.cached_runs.cached_workflows import CachedWorkflow, NotCached, WorkflowKeys
from nexus_core.cached_runs.outcomes import DetailedReason, note_outcome, noted_outcome
from nexus_core.cached_runs.policies import CachePolicy
from nexus_core.cached_runs.result_cache import Handed, ResultCache, is_nested
from nexus_core.cached_runs.run_options import RuntimeOptions, why_not_this_runtime
from nexus_core.cached_runs.snapshots import NotPrivate, Snapshot

__all__ = ["CachedRuns", "ReadyRun", "as_result_cache"]

#: What a run needs to be computed: called with its own copy of the inputs.
Compute = Callable[[dict[str, Any]], Any]

_FAILED = "the run failed"
_NOT_CACHEABLE = "the workflow does not say that it may be cached"


class ReadyRun:
    """A run that is cached: its key, and inputs that are nobody else's."""

    __slots__ = ("inputs", "key", "keys", "policy", "workflow")

    def __init__(self, workflow: Any, keys: WorkflowKeys, policy: CachePolicy, inputs: Any) -> None:
        self.workflow = workflow
        self.keys = keys
        self.policy = policy
        try:
            # Those of the caller may change while the run goes; the key is of what it is given.
            self.inputs: dict[str, Any] = Snapshot(inputs).held
        except NotPrivate as refused:
            raise NotCached("the inputs cannot be copied", f"the inputs cannot be copied: {refused}") from refused
        self.key = keys.key(self.inputs)

    def why_not(self, results: Any) -> str | None:
        """Why the results of this run must not be kept."""
        if not self.keys.are_of(self.workflow):
            return "the workflow changed while it ran"
        if type(results) is not dict:
            return "it came to no results"
        if any(map(_says_failed, results.values())):
            return "a node failed"
        return None


def _says_failed(output: Any) -> bool:
    """Whether a node has failed, or says that it did not succeed."""
    if type(output) is not dict:
        return False
    if output.get("failed") is True or output.get("success") is False:
        return True
    result = output.get("result")
    return type(result) is dict and result.get("success") is False


class CachedRuns:
    """Answers the runs of one runtime.

    Args:
        cache: Where results are kept.
    """

    __slots__ = ("_answers", "_known", "_options", "cache")

    def __init__(self, cache: ResultCache) -> None:
        self.cache = cache
        self._answers = answers(cache.runs.hits)
        self._known: dict[int, CachedWorkflow] = {}
        self._options: RuntimeOptions | None = None

    # --- looking ----------------------------------------------------------------------------

    def attempt(self, runtime: Any, workflow: Any, inputs: Any) -> tuple[Any, Any] | None:
        """Results and id of a run that is in the cache, in one native call; ``None`` if more has to be asked.

        Args:
            runtime: The runtime.
            workflow: What is to run.
            inputs: Its inputs.
        """
        return self._answers.attempt(runtime, workflow, inputs, runtime._gives_ids)

    def find(self, runtime: Any, workflow: Any, inputs: Any) -> Handed | None:
        """The results of a run that is in the cache, quickly; ``None`` if more has to be asked.

        Args:
            runtime: The runtime.
            workflow: What is to run.
            inputs: Its inputs.
        """
        known, options = self._known.get(id(workflow)), self._options
        if known is None or (keys := known.keys) is None or options is None:
            return None
        if (
            options.reason is not None
            or not options.is_current()
            or not known.is_of(workflow)
            or not keys.are_current(options)
            or why_not_this_runtime(runtime) is not None
            or runtime._reasons_to_delegate(workflow, inputs)
            or "workflow_context" in inputs
        ):
            return None
        try:
            key = keys.key(inputs)
        except NotCached:
            return None
        found = self.cache.look(key)
        if found is not None:
            self.note(found, key)
            if not self.cache.is_tiered:
                seen = known.for_answers(options, runtime, self.cache.store)
                if seen is not None:
                    self._answers.know(workflow, seen)
        return found

    def plan_of(self, workflow: Any) -> WorkflowPlan | None:
        """What a workflow is computed with that was looked at before; ``None`` if that is not known.

        Args:
            workflow: The workflow.
        """
        known = self._known.get(id(workflow))
        if known is None or known.keys is None or not known.is_of(workflow):
            return None
        return known.keys.plan.plan

    def ready(self, runtime: Any, workflow: Any, inputs: Any, reason: str | None = None) -> ReadyRun | None:
        """What is needed to run and keep a workflow; ``None``, counted, if it is not cached.

        Args:
            runtime: The runtime.
            workflow: What is to run.
            inputs: Its inputs.
            reason: Why the call is not cached, if that is known already.
        """
        try:
            if reason is not None:
                raise NotCached(reason)
            known, keys = self._read(runtime, workflow, inputs)
            if keys is None or known.policy is None:
                raise NotCached(_NOT_CACHEABLE)
            return ReadyRun(workflow, keys, known.policy, inputs)
        except NotCached as refused:
            self.cache.runs.add("bypass", refused.reason)
            note_outcome("bypass", DetailedReason(str(refused), refused.reason), None, None)
            return None

    def is_read(self, workflow: Any) -> bool:
        """Whether a workflow was read before, so that to see whether it has changed takes no time.

        Args:
            workflow: What is to run.
        """
        known = self._known.get(id(workflow))
        return known is not None and (known.policy is None or known.keys is not None)

    def read(self, runtime: Any, workflow: Any) -> None:
        """Reads a workflow on a thread, for an event loop that goes on meanwhile.

        Args:
            runtime: The runtime.
            workflow: What is to run.
        """
        # What is wrong with it is found again, and told, by whoever needs the keys.
        with contextlib.suppress(NotCached):
            self._read(runtime, workflow, {})

    def _read(self, runtime: Any, workflow: Any, inputs: Any) -> tuple[CachedWorkflow, WorkflowKeys | None]:
        known = self._known_of(workflow)
        if known.policy is None:
            return known, None
        options = self._options
        if options is None or not options.is_current():
            options = self._options = RuntimeOptions(runtime)
        reason = options.reason or why_not_this_runtime(runtime)
        if reason is not None:
            raise NotCached(reason)
        if type(inputs) is not dict:
            raise NotCached("the inputs are not a dict")
        if "workflow_context" in inputs:
            raise NotCached("the caller gives a workflow context")
        plan = runtime._plan_to_cache(workflow, inputs)
        if isinstance(plan, tuple):
            raise NotCached(f"Kailash runs it: {plan[0]}")
        keys = known.keys
        if keys is None or keys.plan is not plan or not keys.are_current(options):
            keys = known.keys = WorkflowKeys(workflow, plan, options, known.policy)
        return known, keys

    def _known_of(self, workflow: Any) -> CachedWorkflow:
        number = id(workflow)
        known = self._known.get(number)
        if known is not None and known.is_of(workflow):
            return known
        if not isinstance(getattr(workflow, "metadata", None), dict):
            raise NotCached("it is not a built workflow")
        known = self._known[number] = CachedWorkflow(workflow, self.cache, forgetting(self._known, self._answers))
        return known

    # --- running ----------------------------------------------------------------------------

    def run(self, run: ReadyRun, compute: Compute, *, refresh: bool, alone: bool) -> Handed:
        """The results of a run, for a thread that waits for them.

        Args:
            run: The run.
            compute: Computes its results.
            refresh: Whether they are computed anew in any case.
            alone: Whether the caller has limits of its own.
        """
        try:
            handed = self.cache.get_or_compute(
                run.key,
                run.policy,
                lambda: compute(run.inputs),
                refresh=refresh,
                alone=alone or is_nested(),
                why_not=run.why_not,
            )
        except Exception:
            self._note_failure(run.key)
            raise
        self.note(handed, run.key)
        return handed

    async def arun(
        self, run: ReadyRun, compute: Callable[[dict[str, Any]], Awaitable[Any]], *, refresh: bool, alone: bool
    ) -> Handed:
        """As :meth:`run`, for a task."""
        try:
            handed = await self.cache.aget_or_compute(
                run.key,
                run.policy,
                lambda: compute(run.inputs),
                refresh=refresh,
                alone=alone or is_nested(),
                why_not=run.why_not,
            )
        except Exception:
            self._note_failure(run.key)
            raise
        self.note(handed, run.key)
        return handed

    def _note_failure(self, key: bytes) -> None:
        self.cache.runs.add("miss", _FAILED)
        note_outcome("miss", _FAILED, None, key)

    def note(self, handed: Handed, key: bytes) -> None:
        """Counts how a run was answered, and remembers it for the caller."""
        self.cache.runs.add(handed.status, handed.not_kept)
        note_outcome(handed.status, handed.not_kept, handed.age, key)

    @staticmethod
    def last_outcome() -> tuple[Any, ...] | None:
        """How the last run of the caller was answered, as the arguments of a ``CacheOutcome``."""
        return noted_outcome()

    @staticmethod
    def note_again(noted: tuple[Any, ...] | None) -> None:
        """Remembers, for the caller, how a run was answered that it had another task do."""
        if noted is not None:
            note_outcome(*noted)

    # --- what users ask about ---------------------------------------------------------------

    def explain(self, runtime: Any, workflow: Any) -> str:
        """Whether results of a workflow are kept, in a sentence.

        Args:
            runtime: The runtime.
            workflow: A built workflow.
        """
        try:
            known, keys = self._read(runtime, workflow, {})
        except NotCached as refused:
            return f"results are not cached: {refused}"
        if keys is None or known.policy is None:
            return f"results are not cached: {_NOT_CACHEABLE}"
        ttl = known.policy.ttl if known.policy.ttl is not None else self.cache.ttl
        kept = "until they are evicted" if ttl is None else f"for {ttl:g} s"
        slow = "" if keys.are_watched else "; its key is computed anew for every run: changes of it go unnoticed"
        return f"results are cached {kept}, in {self.cache.name!r}{slow}"


def forgetting(known: dict[int, CachedWorkflow], native: Answers) -> Callable[[int], None]:
    """Forgets workflows that are gone, without keeping anything else alive."""

    def forget(number: int) -> None:
        native.forget(number)
        entry = known.get(number)
        # Another may have its address by now.
        if entry is not None and entry.is_gone:
            known.pop(number, None)

    return forget


def as_result_cache(given: Any) -> ResultCache:
    """What a runtime's ``cache`` argument stands for.

    Args:
        given: ``True``, a :class:`ResultCache`, something with one under
            ``results``, or a cache to keep results in.

    Raises:
        TypeError: If it is something else.
    """
    from nexus_core.cache import Cache

    if given is True:
        return ResultCache()
    if isinstance(given, ResultCache):
        return given
    inner = getattr(given, "results", None)
    if isinstance(inner, ResultCache):
        return inner
    if isinstance(given, Cache) or (hasattr(given, "aget_or_set") and hasattr(given, "invalidate_tag")):
        return ResultCache(store=given)
    raise TypeError(f"cache must be True, a ResultCache, an IntelligentCache, a Cache or a TieredCache, got {given!r}")
