"""What can be seen of an app without changing it."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nexus_core._app_workflows import attached_runtime
from nexus_core.best_practices.workflow_facts import WorkflowFacts, facts_of

__all__ = ["AppFacts", "CacheFacts", "note_load_test"]

_RESOURCE_POOLS = "nexus-core-resource-pools"

_last_load_tests: weakref.WeakKeyDictionary[Any, tuple[float, str]] = weakref.WeakKeyDictionary()


def note_load_test(app: Any, workflow_name: str) -> None:
    """Remembers that an app was tested, for the item about reviews."""
    _last_load_tests[app] = (time.time(), workflow_name)


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What can be seen of a runtime's cache of results.

    Attributes:
        name: Its name.
        kept: What it keeps results of: workflows, and nodes as ``workflow.node``.
        why_not: Of each other workflow, why not.
    """

    name: str
    kept: tuple[str, ...]
    why_not: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppFacts:
    """What can be seen of an app.

    Attributes:
        app: The app.
        runtime: The runtime that it is attached to, or ``None``.
        workflows: Its workflows.
    """

    app: Any
    runtime: Any
    workflows: tuple[WorkflowFacts, ...]

    @classmethod
    def of(cls, app: Any) -> AppFacts:
        """Looks at an open app."""
        workflows = tuple(facts_of(name, workflow) for name, workflow in list(app._workflows.items()))
        return cls(app, attached_runtime(app), workflows)

    def parts(self, word: str) -> list[str]:
        """The names of plugins of the app that have the word in their name or class."""
        found = []
        for name, plugin in self.app._plugins.items():
            if word in name.lower() or word in type(plugin).__qualname__.lower():
                found.append(name)
        return found

    def own(self, plugin: str, attribute: str) -> Any:
        """What a plugin of ours is for; ``None`` of another's."""
        return getattr(self.app._plugins[plugin], attribute, None)

    def result_cache(self) -> CacheFacts | None:
        """The attached runtime's cache of results, if it has one."""
        from nexus_core.cached_runs.nodes import kept_nodes

        runs = getattr(self.runtime, "_cached_runs", None)
        if runs is None:
            return None
        kept: list[str] = []
        why_not: list[str] = []
        for facts in self.workflows:
            workflow = self.app._workflows.get(facts.name)
            if workflow is None:  # removed meanwhile
                continue
            said = runs.explain(self.runtime, workflow)
            if said.startswith("results are cached"):
                kept.append(facts.name)
                continue
            why_not.append(f"{facts.name}: {said}")
            kept += [f"{facts.name}.{node}" for node in kept_nodes(runs.cache, workflow, tuple(facts.nodes))]
        return CacheFacts(runs.cache.name, tuple(kept), tuple(why_not))

    def pools(self) -> tuple[list[str], list[str]]:
        """The names of its connection pools and of its thread pools."""
        membership = self.app._plugins.get(_RESOURCE_POOLS)
        if membership is None:
            return [], []
        return list(membership._manager.connection_pools), list(membership._manager.thread_pools)

    def paths(self) -> set[str]:
        """The paths that it answers at."""
        found: set[str] = set()
        for route in self.app.fastapi_app.routes:
            path = getattr(route, "path", None)
            if isinstance(path, str):
                found.add(path)
        return found

    def nodes(self) -> Iterator[tuple[WorkflowFacts, Any]]:
        """All nodes, each with its workflow."""
        for workflow in self.workflows:
            for node in workflow.nodes.values():
                yield workflow, node

    def last_load_test(self) -> tuple[float, str] | None:
        """Seconds since this process tested it, and the workflow; ``None`` if it has not."""
        found = _last_load_tests.get(self.app)
        return None if found is None else (time.time() - found[0], found[1])
