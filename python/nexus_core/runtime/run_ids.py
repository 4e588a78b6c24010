"""Ids of runs: unique in all processes, in the form that Kailash gives them."""

from __future__ import annotations

import itertools
import os
import time

__all__ = ["new_run_id"]

#: Tells apart the runs of one process, and those of different ones.
_run_numbers = itertools.count()
_process_mark = os.urandom(3).hex()


def _mark_process() -> None:
    global _process_mark
    _process_mark = os.urandom(3).hex()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_process)


def new_run_id() -> str:
    """An id that no other run has: ``run_<milliseconds>_<suffix>``."""
    return f"run_{time.time_ns() // 1_000_000}_{_process_mark}{next(_run_numbers):x}"
