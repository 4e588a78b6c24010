"""The runtime classes that a variant stands for, in a process that measures one of them."""

from __future__ import annotations

import importlib
from typing import Any

MODULES = {"stock": "kailash.runtime", "ours": "nexus_core.runtime"}


def runtime_class(variant: str, name: str) -> Any:
    return getattr(importlib.import_module(MODULES[variant]), name)
