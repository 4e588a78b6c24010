"""What instances of Kailash's nodes hold."""

from __future__ import annotations

__all__ = ["KAILASHS_OWN"]

#: What every node holds for Kailash's own purposes, or of the run that a runtime has begun with it: nothing that its
#: outputs depend on.
KAILASHS_OWN = frozenset(
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
        "_workflow_context",
        "logger",
    }
)
