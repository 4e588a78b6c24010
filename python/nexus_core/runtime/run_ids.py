"""Ids of runs: unique in all processes, in the form that Kailash gives them."""

from __future__ import annotations

from nexus_core._core import new_run_id

__all__ = ["new_run_id"]
