"""Search attributes go where Kailash lets them go, and nowhere else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from kailash.tracking import TaskManager
from kailash.tracking.storage.database import SQLiteStorage

from .cases import chain
from .table import OURS, STOCK

both = pytest.mark.parametrize("cls", [STOCK["LocalRuntime"], OURS["LocalRuntime"]], ids=["stock", "ours"])
ATTRIBUTES = {"customer": "c1", "amount": 3, "share": 0.5, "paid": True}


@both
@pytest.mark.parametrize("attributes", [ATTRIBUTES, {}, None, {"not a name": 1}])
def test_run_history_has_no_place_for_them_and_says_so(
    cls: type[Any], attributes: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="kailash"), cls() as runtime:
        results, run_id = runtime.execute(chain(), search_attributes=attributes)
    said = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    told = ("kailash.tracking.manager", "WARNING", "Storage backend does not support search attributes")
    assert said == ([told] if attributes else [])
    assert results["b"] == {"result": [20, 1]} and run_id


@both
@pytest.mark.parametrize("monitored", [True, False])
def test_a_task_manager_stores_them(cls: type[Any], monitored: bool, tmp_path: Path) -> None:
    storage = SQLiteStorage(str(tmp_path / "runs.db"))
    try:
        with cls(enable_monitoring=monitored) as runtime:
            _, run_id = runtime.execute(chain(), task_manager=TaskManager(storage), search_attributes=ATTRIBUTES)
        found = storage.search_runs({"customer": "c1", "amount": 3, "paid": True})
        assert [row["run_id"] if isinstance(row, dict) else row.run_id for row in found] == [run_id]
    finally:
        storage.close()


@both
def test_an_attribute_with_a_bad_name_is_logged_and_the_run_goes_on(
    cls: type[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = SQLiteStorage(str(tmp_path / "runs.db"))
    try:
        with caplog.at_level(logging.WARNING, logger="kailash"), cls(enable_monitoring=False) as runtime:
            results, _ = runtime.execute(
                chain(), task_manager=TaskManager(storage), search_attributes={"not a name": 1}
            )
    finally:
        storage.close()
    assert results["a"] == {"result": 20}
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("Failed to set search attributes: Invalid attribute name 'not a name'")


def test_they_leave_a_run_native() -> None:
    with OURS["LocalRuntime"](strict=True) as runtime:
        runtime.execute(chain(), search_attributes=ATTRIBUTES)
        assert runtime.engine_statistics()["native_runs"] == 1
