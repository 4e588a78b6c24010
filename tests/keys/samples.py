"""Classes that can be found under their names, as keys ask for."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass
from typing import Any


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Text(enum.StrEnum):
    ONE = "1"


@dataclass
class Point:
    x: Any
    y: Any


@dataclass(frozen=True, slots=True)
class Plain:
    x: Any
    y: Any


Pair = namedtuple("Pair", "x y")


class ListSubclass(list[Any]):
    """A list that is not exactly one."""


class DictSubclass(dict[str, Any]):
    """A dict that is not exactly one."""


class IntSubclass(int):
    """An int that is not exactly one."""


class TextSubclass(str):
    """A string that is not exactly one."""


class FloatSubclass(float):
    """A float that is not exactly one."""


class TupleSubclass(tuple[Any, ...]):
    """A tuple that is not exactly one."""


class PairSubclass(Pair):
    """A named tuple with a ``__dict__`` beside its items."""


@dataclass
class ListWithField(list[Any]):
    """A dataclass that holds more than its fields."""

    x: int = 0


class Opaque:
    """Nothing is known of it."""

    def __init__(self, held: Any = None) -> None:
        self.held = held

    def __repr__(self) -> str:
        raise AssertionError("nobody is to show it")
