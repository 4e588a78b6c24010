"""The benchmarks of layers run, on everyone that takes part, and what they write is whole."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("kailash", "distributed", "psutil"))), reason="needs Kailash, Dask and psutil"
)

HERE = ("stock", "stock_async", "local")
PEERS = (*HERE, "processes", "dask", "dask_singles", "dask_plain")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a few short nodes, measured in a process of its own."""
    folder = tmp_path_factory.mktemp("layers")
    probe, written = Path(__file__).with_name("layers_probe.py"), folder / "outcome.json"
    done = subprocess.run(
        [sys.executable, str(probe), str(written)],
        env=os.environ | {"HOME": str(folder), "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return found


@pytest.mark.timeout(600)
def test_everyone_is_measured(outcome: dict[str, Any]) -> None:
    assert outcome["failed"] == {}
    expected = {f"{peer}, compute_1ms" for peer in PEERS} | {f"{peer}, wait_1ms" for peer in HERE}
    assert set(outcome["turns"]) == expected
    for name, turns in outcome["turns"].items():
        assert len(turns) == 1, name
        assert all(turn["seconds"] > 0 and turn["ratio"] > 0 and turn["slots"] >= 1 for turn in turns), name
        assert turns[0]["first"] > 0, f"{name}: everybody's first run is left out of the others, or nobody's"
        assert all(("overhead" in turn) == ("compute" in name) for turn in turns), name
        assert all(math.isfinite(figure) for turn in turns for figure in turn.values()), name


@pytest.mark.timeout(600)
def test_everyone_is_in_the_tables_and_the_plot(outcome: dict[str, Any]) -> None:
    titles = ("Kailash's LocalRuntime", "LocalRuntime, 2 processes", "DaskRuntime, 2 processes, groups", "Dask alone")
    for where in (outcome["terminal"], outcome["section"], outcome["summary"], outcome["plot"]):
        for title in titles:
            assert title in where
    assert outcome["section"].startswith("## ")
    assert ElementTree.fromstring(outcome["plot"]).tag.endswith("svg")
