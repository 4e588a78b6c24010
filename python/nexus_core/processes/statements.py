"""What workflows and nodes say themselves of running in processes."""

from __future__ import annotations

from typing import Any

__all__ = ["ISOLATION_KEY", "RETRY_KEY", "what_is_said"]

#: What a node's attribute and an entry of a workflow's metadata are called.
ISOLATION_KEY = "process_isolation"
RETRY_KEY = "retry_on_worker_loss"


def what_is_said(workflow: Any, node_ids: tuple[str, ...], key: str) -> dict[str, Any]:
    """What a workflow and its nodes say themselves; not checked yet.

    Args:
        workflow: A built workflow.
        node_ids: Its nodes.
        key: What of.

    Returns:
        What is said, by node id; under the empty string, what the workflow says.
    """
    said = {}
    if (listed := workflow.metadata.get(key)) is not None:
        said[""] = listed
    for node_id in node_ids:
        says = getattr(workflow._node_instances[node_id], key, None)
        if says is not None:
            said[node_id] = says
    return said
