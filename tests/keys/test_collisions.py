"""The search for collisions finds none, and would find one."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nexus_core.keys import digest

pytest.importorskip("numpy")

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "key_collisions.py"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("key_collisions", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for their module there.
    sys.modules["key_collisions"] = module
    spec.loader.exec_module(module)
    return module


def test_two_hundred_thousand_inputs_have_as_many_digests() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--count", "200000", "--seed", "7"], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    distinct, _, rest = done.stdout.partition(" distinct inputs, ")
    assert int(distinct.replace(",", "")) >= 200_000
    assert rest.startswith("0 collisions")


def test_a_digest_that_confuses_two_inputs_is_found_out() -> None:
    script = _script()

    def confuses(value: Any) -> bytes:
        # As Python's own equality does.
        told = 1.0 if type(value) is int and value == 1 else value
        return hashlib.sha256(repr((type(told), told)).encode()).digest()

    outcome = script.search(2_000, confuses)
    assert {repr(pair) for pair in outcome.collisions} == {"(1, 1.0)"}


def test_what_comes_up_twice_is_no_collision() -> None:
    script = _script()

    class Twice(script.Inputs):  # type: ignore[misc, name-defined]
        def __call__(self, number: int) -> Any:
            return super().__call__(number // 2 if number < 1_000 else number)

    original, script.Inputs = script.Inputs, Twice
    try:
        outcome = script.search(2_000, digest)
    finally:
        script.Inputs = original
    assert outcome.collisions == ()
    assert outcome.inputs - outcome.distinct >= 500
    assert outcome.distinct >= 2_000
