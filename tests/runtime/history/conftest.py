"""A home directory per test, and writers that end with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("kailash", exc_type=ImportError)

from nexus_core.runtime import history_queue


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", str(tmp_path))
    before = list(history_queue.served)
    yield tmp_path
    for writer in list(history_queue.served):
        if writer not in before:
            writer.close()
