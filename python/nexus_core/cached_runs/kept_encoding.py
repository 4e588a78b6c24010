"""Kept results as bytes, for a tier that processes share."""

from __future__ import annotations

import math
from typing import Any

from nexus_core.cache_tiers._encoding_types import DECODERS, ENCODERS
from nexus_core.cached_runs.kept import Kept
from nexus_core.cached_runs.snapshots import Snapshot

__all__ = ["teach"]

#: The number of the extension; the form that its content has.
_CODE = 30
_FORM = 1


def teach() -> None:
    """Has tiers know kept results as a type of their own."""
    ENCODERS[Kept] = (_CODE, _taken_apart)
    DECODERS[_CODE] = (False, _put_together)


def _taken_apart(kept: Kept, encoder: Any) -> list[Any]:
    snapshot = kept.snapshot
    if not snapshot.is_apart():
        # It would be in each of them by itself afterwards, which shows when it is changed.
        raise encoder.refuse(kept, "something in the result is in two places of it")
    return [_FORM, kept.made_at, kept.seconds, snapshot.held]


def _put_together(parts: Any, _: Any) -> Kept:
    form, made_at, seconds, held = parts
    if form != _FORM or not all(type(number) is float and math.isfinite(number) for number in (made_at, seconds)):
        raise ValueError("no kept result of this form")
    return Kept(Snapshot.of_own(held), seconds, made_at)
