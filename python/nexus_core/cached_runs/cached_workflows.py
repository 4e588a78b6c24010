"""What a runtime knows of a workflow whose results it may keep."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from nexus_core._core import DigestWatch, _run_key
from nexus_core._key_reductions import reduction
from nexus_core.cached_runs.policies import CachePolicy
from nexus_core.cached_runs.result_cache import ResultCache
from nexus_core.cached_runs.run_options import RuntimeOptions
from nexus_core.cached_runs.snapshots import is_apart
from nexus_core.cached_runs.watched_digest import WatchedDigest
from nexus_core.errors import NotKeyable
from nexus_core.keys import digest
from nexus_core.runtime.compiler import CompiledWorkflow

__all__ = ["CachedWorkflow", "NotCached", "WorkflowKeys", "call_workflow", "names_of", "uncall_workflow"]

_MARKED = ["name", "workflow_id", "metadata"]

#: The names under which workflows are registered with apps, by the workflow's address.
_names: dict[int, tuple[weakref.ref[Any], tuple[str, ...]]] = {}


def call_workflow(workflow: Any, name: str, *, first: bool = False) -> None:
    """Remembers a name under which policies may be given for a workflow.

    Args:
        workflow: A built workflow.
        name: As it is registered with an app.
        first: Whether a policy under it comes before those under other names.
    """
    known = names_of(workflow)
    if name in known:
        return
    number = id(workflow)

    # A module's own names may be gone already, when the interpreter ends.
    def forget(_: object, names: dict[int, Any] = _names) -> None:
        entry = names.get(number)
        if entry is not None and entry[0]() is None:
            names.pop(number, None)

    _names[number] = (weakref.ref(workflow, forget), (name, *known) if first else (*known, name))


def uncall_workflow(workflow: Any, name: str) -> None:
    """Forgets such a name.

    Args:
        workflow: A built workflow.
        name: As it was given to :func:`call_workflow`.
    """
    left = tuple(known for known in names_of(workflow) if known != name)
    entry = _names.get(id(workflow))
    if entry is not None and entry[0]() is workflow:
        # Another object, so that whoever watches sees that something has changed.
        _names[id(workflow)] = (entry[0], left)


def names_of(workflow: Any) -> tuple[str, ...]:
    """The names that :func:`call_workflow` has given a workflow.

    Args:
        workflow: A built workflow.
    """
    entry = _names.get(id(workflow))
    return entry[1] if entry is not None and entry[0]() is workflow else ()


class NotCached(Exception):
    """A run that is not cached.

    Args:
        reason: Why; one of few, so that it can be counted.
        detail: More about it, for the caller.
    """

    def __init__(self, reason: str, detail: str | None = None) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail or reason)


class CachedWorkflow:
    """A workflow, and what is kept of its results.

    Args:
        workflow: A built workflow.
        cache: Where its results are kept.
        gone: Called with the workflow's address when it is gone.

    Raises:
        TypeError: If what it says of being cacheable is no policy.

    Attributes:
        policy: What is kept; ``None`` if nothing.
        keys: What its runs' keys are made with, once it is known.
    """

    __slots__ = ("_marks", "_workflow", "keys", "policy")

    def __init__(self, workflow: Any, cache: ResultCache, gone: Callable[[int], None]) -> None:
        number = id(workflow)
        self._workflow = weakref.ref(workflow, lambda _: gone(number))
        names = (*names_of(workflow), workflow.name, workflow.workflow_id)
        marked: list[Any] = [
            (vars(workflow), _MARKED),
            (workflow.metadata, ["cacheable"]),
            (_names, [number]),
            (cache._workflows, list(names)),
        ]
        self._marks = DigestWatch(marked, [], [], [], [], [])
        self.policy: CachePolicy | None = cache.policy_of_workflow(names, workflow.metadata.get("cacheable"))
        self.keys: WorkflowKeys | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the workflow is not there any more."""
        return self._workflow() is None

    def is_of(self, workflow: Any) -> bool:
        """Whether this is about a workflow, whose policy nobody has changed since."""
        return self._workflow() is workflow and self._marks.is_current()

    def for_answers(self, options: RuntimeOptions, runtime: Any, results: Any) -> Any:
        """What a native look goes by; ``None`` if changes have to be looked for more closely.

        Args:
            options: The runtime's.
            runtime: The runtime.
            results: The cache of this process that has the results.
        """
        keys, methods = self.keys, runtime._method_watch()
        if keys is None or keys.varies or keys.watch is None or methods is None:
            return None
        return SimpleNamespace(
            workflow=self._workflow,
            marks=self._marks,
            digest=keys.watch,
            options=options.watch,
            methods=methods,
            plan=keys.plan.plan,
            prefix=keys.prefix,
            hooks=runtime._hook_registry,
            results=results,
            figures=runtime._figures,
        )


class WorkflowKeys:
    """Makes the keys of a workflow's runs on one runtime, for as long as neither changes.

    Args:
        workflow: The workflow.
        plan: How the runtime runs it.
        options: The runtime's.
        policy: What is kept of it.

    Raises:
        NotCached: If the workflow has no key.
    """

    __slots__ = ("_digest", "_options", "_prefix", "_vary", "plan")

    def __init__(self, workflow: Any, plan: CompiledWorkflow, options: RuntimeOptions, policy: CachePolicy) -> None:
        try:
            self._digest = WatchedDigest(workflow)
        except NotKeyable as refused:
            raise NotCached(f"the workflow holds a {refused.type_name}, which has no key", str(refused)) from refused
        except Exception as strange:
            # Of something that it holds, whose own code was asked.
            raise NotCached("the workflow cannot be read", f"the workflow cannot be read: {strange!r}") from strange
        registry = options.registry if plan.needs_loop else b""
        # The workflow does not say what Kailash's rules say of it now.
        held_back = [node.node_id for node in plan.explanations if node.is_refused]
        self._prefix = digest(("nexus_core run", self._digest.digest, options.digest, registry, *held_back))
        self._options = options
        self._vary = policy.vary
        self.plan = plan

    def are_current(self, options: RuntimeOptions) -> bool:
        """Whether neither the workflow nor the runtime has changed.

        Args:
            options: The runtime's.
        """
        return self._options is options and self._digest.is_current() and self.plan.plan.is_current()

    @property
    def watch(self) -> DigestWatch | None:
        """What notices changes of the workflow; ``None`` if nothing can."""
        return self._digest.watch

    @property
    def prefix(self) -> bytes:
        """What all keys depend on beside the inputs."""
        return self._prefix

    @property
    def varies(self) -> bool:
        """Whether a function has a say in the keys."""
        return self._vary is not None

    @property
    def are_watched(self) -> bool:
        """Whether changes of the workflow are noticed without computing its digest again."""
        return self._digest.is_watched

    def are_of(self, workflow: Any) -> bool:
        """Whether a workflow is now, after a run, what it was when these were made."""
        if self._digest.is_watched:
            return self._digest.is_current()
        try:
            return WatchedDigest(workflow).digest == self._digest.digest
        except Exception:
            # It had a key before.
            return False

    def key(self, inputs: Mapping[str, Any]) -> bytes:
        """The key of a run.

        Args:
            inputs: The run's inputs or parameters.

        Raises:
            NotCached: If they have no key.
        """
        try:
            key = _run_key(self._prefix, inputs, "inputs", reduction, False)
            if key is None:
                if not is_apart(inputs):
                    raise NotCached("objects in the inputs refer to one another")
                key = cast(bytes, _run_key(self._prefix, inputs, "inputs", reduction, True))
        except NotKeyable as refused:
            raise NotCached(f"the inputs hold a {refused.type_name}, which has no key", str(refused)) from refused
        except NotCached:
            raise
        except Exception as strange:
            raise NotCached("the inputs cannot be read", f"the inputs cannot be read: {strange!r}") from strange
        if self._vary is None:
            return key
        try:
            return digest((key, self._vary(inputs)), name="what vary returned")
        except NotKeyable as refused:
            raise NotCached("what vary returned has no key", str(refused)) from refused
        except Exception as failed:
            raise NotCached(f"vary raised a {type(failed).__qualname__}", f"vary raised {failed!r}") from failed
