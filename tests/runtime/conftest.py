"""Without Kailash there is no drop-in: nothing here is imported."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("kailash") else ["*.py", "*/*.py"]


@pytest.fixture
def runtime() -> Iterator[Any]:
    """A runtime that refuses to delegate, without run history."""
    from nexus_core.runtime import LocalRuntime

    with LocalRuntime(enable_monitoring=False, strict=True) as made:
        yield made
