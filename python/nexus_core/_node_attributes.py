"""What a node of Kailash's holds, apart from what every node does for its own purposes."""

from __future__ import annotations

from typing import Any

__all__ = ["NOT_ITS_OWN", "attributes_of"]

#: What every node holds for its own purposes.
NOT_ITS_OWN = frozenset(
    {
        "_cache_enabled",
        "_cache_evictions",
        "_cache_hits",
        "_cache_max_size",
        "_cache_misses",
        "_cached_params",
        "_node_id",
        "_node_metadata",
        "_param_cache",
        "_param_cache_lock",
        "_temp_param_definitions",
        # Of the run that a runtime has begun with it.
        "_workflow_context",
        "logger",
    }
)


def attributes_of(node: Any) -> dict[str, Any]:
    """What a node holds that may matter to what it does.

    Args:
        node: The node.
    """
    return {name: value for name, value in vars(node).items() if name not in NOT_ITS_OWN}
