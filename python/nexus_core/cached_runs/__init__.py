"""Results of workflows and of single nodes, kept and handed out as private copies."""

from __future__ import annotations

from nexus_core.cached_runs.outcomes import CacheOutcome, last_cache_outcome
from nexus_core.cached_runs.policies import CachePolicy
from nexus_core.cached_runs.result_cache import ResultCache

__all__ = ["CacheOutcome", "CachePolicy", "ResultCache", "last_cache_outcome"]
