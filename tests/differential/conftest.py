"""Without Kailash and hypothesis there is nothing to compare: none of the modules is imported."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

_CAN_COMPARE = bool(find_spec("kailash") and find_spec("hypothesis"))
collect_ignore_glob = [] if _CAN_COMPARE else ["*.py"]

if _CAN_COMPARE:
    from .subject import load_subject


@pytest.fixture(scope="module")
def subject() -> type[Any]:
    """The class that has to equal Kailash's."""
    return load_subject()
