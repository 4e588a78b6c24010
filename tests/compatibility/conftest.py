"""Without Kailash there is nothing to be compatible with: nothing here is imported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("kailash") else ["*.py"]


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody reads Kailash's logs, as in an ordinary program; tests of logging ask for ``caplog``."""
    if "caplog" in request.fixturenames:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)
