"""Without Kailash there is no registry."""

from __future__ import annotations

from importlib.util import find_spec

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("kailash") else ["test_registry.py"]
