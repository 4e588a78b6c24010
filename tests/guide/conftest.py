"""Apps; without Nexus there are none."""

from __future__ import annotations

from importlib.util import find_spec

from apps import app, make_app  # noqa: F401 - fixtures
from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("nexus") else ["*.py"]
