"""Where a workflow runs on a cluster, and why not otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kailash.workflow.credentials import get_credential_store

from nexus_core._node_names import unknown_node
from nexus_core.cached_runs.nodes import may_read_context
from nexus_core.errors import ClusterError
from nexus_core.runtime.compiler import CompiledWorkflow

__all__ = [
    "METADATA_KEY",
    "Placement",
    "Where",
    "annotations_of",
    "check_names",
    "checked_annotations",
    "may_run_again",
    "needs_this_process",
    "stays_together",
    "together",
]

#: Where a workflow says which of its nodes may run again when a worker is lost: ids, or ``True`` for all.
METADATA_KEY = "retry_on_worker_loss"


class Where(Enum):
    """How much of a workflow goes to one worker."""

    GROUPS = "groups of nodes"
    WHOLE = "the whole workflow on one worker"
    HERE = "this process"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a workflow runs.

    Attributes:
        where: The place.
        reason: Why not in groups on the cluster; empty if it does.
    """

    where: Where
    reason: str = ""


def needs_this_process(runtime: Any, plan: CompiledWorkflow) -> str | None:
    """Why a workflow cannot leave the process; ``None`` if it can, as far as its nodes can be described.

    Args:
        runtime: The runtime.
        plan: The workflow's plan.
    """
    if runtime.debug:
        return "debug=True: what is logged of each node is read here"
    if runtime._progress_registry._callbacks:
        return "progress is reported to callbacks of this process"
    if runtime._hook_registry.subscriber_count > 0:
        return "completions are told to subscribers of this process"
    if runtime.secret_provider is not None:
        return "its secret provider belongs to this process"
    if get_credential_store()._store:
        return "credentials were registered with this process"
    for node, explanation in zip(plan.instances, plan.explanations, strict=True):
        if explanation.is_refused:
            # Those of a worker may be others.
            return f"the rules of this process refuse the code of node {explanation.node_id!r}"
        if may_read_context(node, explanation.program):
            return f"node {explanation.node_id!r} may read the workflow context of its run, which is this process's"
    return None


def stays_together(plan: CompiledWorkflow) -> str | None:
    """Why all nodes go to one worker; ``None`` if they can be divided.

    Args:
        plan: The workflow's plan.
    """
    if plan.cycles is not None:
        return "it has cycles: each iteration decides whether another one comes"
    if plan.switch_count:
        return "it has switches: what they decide is known to whoever runs them"
    return None


def may_run_again(given: bool | Collection[str], workflow: Any, plan: CompiledWorkflow) -> tuple[bool, ...]:
    """Which nodes may begin a second time, by their places.

    Args:
        given: What the runtime was told: all or none, ids, or ``"workflow/node"``.
        workflow: The workflow, whose metadata may say so too.
        plan: Its plan, whose nodes may have an attribute that says so.
    """
    said = workflow.metadata.get(METADATA_KEY)
    if not (said is None or isinstance(said, (bool, list, tuple, set, frozenset))):
        raise TypeError(f"workflow.metadata[{METADATA_KEY!r}] must be a bool or hold node ids, got {said!r}")
    name = getattr(workflow, "name", "")

    def is_among(node_id: str, ids: Any) -> bool:
        if ids is None or isinstance(ids, bool):
            return bool(ids)
        return node_id in ids or f"{name}/{node_id}" in ids

    return tuple(
        is_among(node_id, given) or is_among(node_id, said) or getattr(node, METADATA_KEY, False) is True
        for node_id, node in zip(plan.node_ids, plan.instances, strict=True)
    )


#: What Dask is told of single tasks.
_KNOWN = frozenset({"priority", "resources", "retries", "workers", "allow_other_workers"})


def checked_annotations(given: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """Annotations by node id, each one that Dask knows.

    Args:
        given: As given to the runtime.

    Raises:
        TypeError: If it is no mapping of mappings.
        ValueError: If Dask has no such annotation.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"annotations must be a mapping of node ids to Dask annotations, got {given!r}")
    checked = {}
    for node_id, annotation in given.items():
        if not isinstance(annotation, Mapping):
            raise TypeError(f"annotations[{node_id!r}] must be a mapping such as {{'priority': 1}}, got {annotation!r}")
        unknown = sorted(set(annotation) - _KNOWN)
        if unknown:
            known = ", ".join(sorted(_KNOWN))
            raise ValueError(f"annotations[{node_id!r}] has {unknown[0]!r}, which Dask does not know: use {known}")
        checked[node_id] = dict(annotation)
    return checked


def check_names(runtime: Any, workflow: Any, plan: CompiledWorkflow) -> None:
    """Finds out whether the nodes are there of which a runtime or a workflow says something.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.

    Raises:
        ClusterError: If one is not.
    """
    for what, names in (
        ("annotations", runtime._annotations),
        (METADATA_KEY, runtime.retry_on_worker_loss),
        (f"workflow.metadata[{METADATA_KEY!r}]", workflow.metadata.get(METADATA_KEY)),
    ):
        if not names or not isinstance(names, Collection) or isinstance(names, str):
            continue
        wrong = unknown_node(what, map(str, names), getattr(workflow, "name", "") or "", plan.node_ids)
        if wrong is not None:
            raise ClusterError(wrong)


def annotations_of(
    workflow: Any, plan: CompiledWorkflow, annotations: Mapping[str, Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """What Dask is told of each node, by their places.

    Args:
        workflow: The workflow.
        plan: Its plan.
        annotations: By node id, or ``"workflow/node"``.
    """
    name = getattr(workflow, "name", "") or ""
    return [annotations.get(f"{name}/{node_id}", annotations.get(node_id, {})) for node_id in plan.node_ids]


def together(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What Dask is told of nodes that are one task: whatever any of them needs.

    Args:
        told: Of each node.

    Raises:
        ClusterError: If they are to be on different workers.
    """
    found: dict[str, Any] = {}
    resources: dict[str, float] = {}
    for each in told:
        for name, amount in (each.get("resources") or {}).items():
            resources[name] = max(amount, resources.get(name, amount))
    if resources:
        found["resources"] = resources
    if priorities := [each["priority"] for each in told if "priority" in each]:
        found["priority"] = max(priorities)
    if all(each.get("retries") for each in told):  # a node that nothing is said of is not tried again
        found["retries"] = min((each["retries"] for each in told), default=0)
    placed = [each for each in told if each.get("workers")]
    for each in placed:
        if each["workers"] != placed[0]["workers"]:
            raise ClusterError(
                f"the workflow is one task, and its nodes are annotated with different workers: "
                f"{placed[0]['workers']!r} and {each['workers']!r}; name the same ones"
            )
    if placed:
        found["workers"] = placed[0]["workers"]
        found["allow_other_workers"] = all(each.get("allow_other_workers", False) for each in placed)
    return found
