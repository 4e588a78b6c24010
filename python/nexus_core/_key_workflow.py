"""Keys of workflows: what decides their results, beside the inputs."""

from __future__ import annotations

import sys
from typing import Any

from nexus_core._core import __version__
from nexus_core._key_code import CodeReduction, root_version
from nexus_core._key_reductions import Reduction
from nexus_core._node_attributes import KAILASHS_OWN

__all__ = ["WorkflowReduction", "is_workflow", "parts_of", "versions"]

#: What says nothing about the results.
_NOT_IN_METADATA = frozenset({"author", "cacheable_nodes", "created_at", "description", "name"})


def is_workflow(value: object) -> bool:
    """Whether a value is a built workflow of Kailash's.

    Args:
        value: Any object.
    """
    return all(hasattr(value, name) for name in ("graph", "nodes", "connections", "_node_instances"))


def versions() -> dict[str, Any]:
    """The versions of what runs a workflow."""
    return {
        "python": (sys.implementation.name, *sys.version_info[:2]),
        "kailash": root_version("kailash"),
        "nexus_core": __version__,
    }


def parts_of(workflow: Any) -> dict[str, Any]:
    """What a workflow's results depend on.

    Args:
        workflow: A built workflow.
    """
    metadata = {key: value for key, value in workflow.metadata.items() if key not in _NOT_IN_METADATA}
    return {
        "versions": versions(),
        "version": workflow.version,
        "metadata": metadata,
        "nodes": {
            name: {
                "type": node.node_type,
                "config": node.config,
                "node": workflow._node_instances.get(name),
            }
            for name, node in workflow.nodes.items()
        },
        # Where two lead to the same input, the later one decides.
        "connections": [{**vars(connection), "type": type(connection).__name__} for connection in workflow.connections],
        "edges": [(source, target, dict(data)) for source, target, data in workflow.graph.edges(data=True)],
    }


class WorkflowReduction(CodeReduction):
    """Reduces nodes by their class, configuration and attributes; the rest as code is reduced."""

    def __call__(self, value: Any) -> Reduction:
        """What a value in a workflow is made of.

        Args:
            value: One whose type the native walk does not know.
        """
        if hasattr(type(value), "get_parameters") and hasattr(value, "_node_metadata"):
            state = {key: held for key, held in vars(value).items() if key not in KAILASHS_OWN}
            version = value._node_metadata.version
            return "node", {"class": type(value), "version": version, **{f"its {key}": state[key] for key in state}}
        if is_workflow(value):
            # One that a node holds.
            return "workflow", parts_of(value)
        return super().__call__(value)
