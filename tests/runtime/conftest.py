"""Without Kailash there is no drop-in: nothing here is imported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("kailash") else ["*.py", "*/*.py"]


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody reads Kailash's logs, as in an ordinary program.

    Pytest's own handlers read all of them, and the runtime then does more work so
    that they say what stock says. Tests of logging ask for ``caplog``.
    """
    if "caplog" in request.fixturenames:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@pytest.fixture
def runtime() -> Iterator[Any]:
    """A runtime that refuses to delegate, without run history."""
    from nexus_core.runtime import LocalRuntime

    with LocalRuntime(enable_monitoring=False, strict=True) as made:
        yield made
