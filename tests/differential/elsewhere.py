"""How outcomes are compared if nodes run in other processes; a plugin: ``pytest -p differential.elsewhere``.

What differs there is listed in docs/compatibility.md. Everything else has to be the same.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from .description import Description
from .observe import Comparison
from .snapshot import Picture, Snapshot

__all__ = ["ENVIRONMENT", "Apart", "told_apart"]

#: What a node does depends on what it was given before, in Kailash's cache of resolved parameters: each process has one.
ENVIRONMENT = {"KAILASH_DISABLE_PARAM_CACHE": "true"}

_MADE = re.compile(r"<types\.(\w+ object)")

#: Tests that are about this process, by their names.
_OF_ONE_PROCESS = {
    "test_a_token_cancelled_by_a_node_names_what_was_done": "a token in a node is a copy of the caller's",
    "test_progress_reports_name_their_node[subject]": "progress is reported to this process's callbacks",
    "test_wrong_runtimes_are_caught": "they are caught by what is the same object as what",
}


class Apart(Snapshot):
    """Values without regard to which of them are one object: those of other processes are not."""

    tells_sharing = False

    def _walk(self, value: Any, depth: int) -> Picture:
        # A class that was made without a module gets one on its way.
        name, *parts = super()._walk(value, depth)
        if name == "builtins.str":
            return (name, *(_MADE.sub(r"<\1", part) for part in parts))
        return (name.removeprefix("types.").removeprefix("None.") if isinstance(name, str) else name, *parts)


def told_apart(description: Description) -> str:
    """Why an outcome cannot be the same; empty if it has to be.

    Args:
        description: The workflow.
    """
    specs = description.nodes.values()
    if any("from . import" in spec.what for spec in specs):
        return "which warnings are errors is each process's own"
    return ""


def pytest_configure() -> None:
    """Only where it is asked for: a plugin is imported by whoever looks for doctests, too."""
    Comparison.picture = Apart
    Comparison.told_apart = staticmethod(told_apart)
    Comparison.sees_patched_classes = False
    os.environ.update(ENVIRONMENT)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is about one process."""
    left_out = [item for item in items if any(name in item.nodeid for name in _OF_ONE_PROCESS)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
