"""Workflows, values and errors on their way to another process and back.

>>> from nexus_core.shipping import carry, pack, restore, unpack
>>> unpack(pack({"a": [1, 2]}))
{'a': [1, 2]}
>>> restore(carry(ValueError("no")))
ValueError('no')
"""

from __future__ import annotations

from nexus_core.shipping.exceptions import Carried, RemoteError, carry, restore
from nexus_core.shipping.values import Packed, pack, unpack
from nexus_core.shipping.workflows import ShippedWorkflow, load, ship

__all__ = ["Carried", "Packed", "RemoteError", "ShippedWorkflow", "carry", "load", "pack", "restore", "ship", "unpack"]
