"""Without Kailash and hypothesis there is nothing to compare: none of the modules is imported."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("kailash") and find_spec("hypothesis") else ["*.py"]
