"""The options of native runs: one object for each combination."""

from __future__ import annotations

import functools
from typing import Any

from nexus_core._core import RunOptions

__all__ = ["run_options"]


@functools.lru_cache(maxsize=512)
def run_options(**options: Any) -> RunOptions:
    """The options for a run, made when they are first asked for.

    Args:
        **options: As :class:`RunOptions` takes them.
    """
    return RunOptions(**options)
