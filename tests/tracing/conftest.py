"""Traces are of runs of the drop-in: without Kailash there are none."""

from __future__ import annotations

from importlib.util import find_spec

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("kailash") else ["*.py"]
