"""A module that holds nothing that could change."""

from __future__ import annotations

FACTOR = 3
TIMES = 2
