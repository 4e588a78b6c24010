"""Without Kailash there are no workflows to keep results of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("kailash") else ["*.py"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Kailash warns of ways to build a workflow that are of no interest here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="kailash")
        warnings.filterwarnings("ignore", message="Instance-based API usage")
        yield


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Runtimes of a test are closed after it."""
    from .workflows import close_runtimes

    yield
    close_runtimes()
