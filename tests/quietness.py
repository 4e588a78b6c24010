"""A fixture for whole folders of tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


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
