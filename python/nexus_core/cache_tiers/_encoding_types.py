"""How the standard library's types are encoded: a number for each, and both ways."""

from __future__ import annotations

import datetime
import struct
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.cache_tiers.encoding import Decoder, Encoder

__all__ = ["DECODERS", "ENCODERS"]

_COMPLEX = struct.Struct(">dd")


def _int(value: int, _: Encoder) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _datetime(value: datetime.datetime, encoder: Encoder) -> Any:
    zone = _zone(value.tzinfo, value, encoder)
    return [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.fold, zone]  # fmt: skip


def _time(value: datetime.time, encoder: Encoder) -> Any:
    zone = _zone(value.tzinfo, value, encoder)
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, zone]


def _zone(zone: datetime.tzinfo | None, value: object, encoder: Encoder) -> Any:
    if zone is not None and type(zone) not in (datetime.timezone, zoneinfo.ZoneInfo):
        raise encoder.refuse(value, f"its zone is a {type(zone).__qualname__}; take datetime.timezone or ZoneInfo")
    return zone


def _timezone(value: datetime.timezone, _: Encoder) -> Any:
    # Without a name of its own it prints its offset, and a zone with that name is another object but equal.
    return list(value.__getinitargs__())  # type: ignore[attr-defined]


def _zoneinfo(value: zoneinfo.ZoneInfo, encoder: Encoder) -> Any:
    if value.key is None:
        raise encoder.refuse(value, "a zone that was read from a file has no name")
    return value.key


def _restore_datetime(value: Any, _: Decoder) -> datetime.datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = value
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _restore_time(value: Any, _: Decoder) -> datetime.time:
    hour, minute, second, microsecond, fold, zone = value
    return datetime.time(hour, minute, second, microsecond, zone, fold=fold)


def _restore_fraction(value: Any, _: Decoder) -> Fraction:
    numerator, denominator = value
    # A text would do too, and "1e999999999" takes that many digits.
    if type(numerator) is not int or type(denominator) is not int:
        raise ValueError("a fraction is of integers")
    return Fraction(numerator, denominator)


def _restore_numpy(value: Any, decoder: Decoder) -> Any:
    from nexus_core.cache_tiers._encoding_arrays import restore_numpy

    return restore_numpy(value, decoder)


def _restore_pandas(value: Any, decoder: Decoder) -> Any:
    from nexus_core.cache_tiers._encoding_pandas import restore_pandas

    return restore_pandas(value, decoder)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("text is expected")
    return value


#: By type: the number of its extension, negative where what follows it is bytes by itself; and how it is taken apart.
ENCODERS: dict[type, tuple[int, Callable[[Any, Any], Any]]] = {
    set: (2, lambda value, _: list(value)),
    frozenset: (3, lambda value, _: list(value)),
    int: (-4, _int),
    complex: (-5, lambda value, _: _COMPLEX.pack(value.real, value.imag)),
    Decimal: (-6, lambda value, _: str(value).encode()),
    datetime.datetime: (7, _datetime),
    datetime.date: (8, lambda value, _: [value.year, value.month, value.day]),
    datetime.time: (9, _time),
    datetime.timedelta: (10, lambda value, _: [value.days, value.seconds, value.microseconds]),
    datetime.timezone: (11, _timezone),
    zoneinfo.ZoneInfo: (12, _zoneinfo),
    bytearray: (-13, lambda value, _: bytes(value)),
    uuid.UUID: (-14, lambda value, _: value.bytes),
    Fraction: (15, lambda value, _: [value.numerator, value.denominator]),
}

#: By the number: whether it takes the bytes as they are, and how it is put together.
DECODERS: dict[int, tuple[bool, Callable[[Any, Any], Any]]] = {
    2: (False, lambda value, _: set(value)),
    3: (False, lambda value, _: frozenset(value)),
    4: (True, lambda value, _: int.from_bytes(value, "big", signed=True)),
    5: (True, lambda value, _: complex(*_COMPLEX.unpack(value))),
    6: (True, lambda value, _: Decimal(value.decode("ascii"))),
    7: (False, _restore_datetime),
    8: (False, lambda value, _: datetime.date(*value)),
    9: (False, _restore_time),
    10: (False, lambda value, _: datetime.timedelta(*value)),
    11: (False, lambda value, _: datetime.timezone(*value)),
    12: (False, lambda value, _: zoneinfo.ZoneInfo(_text(value))),
    13: (True, lambda value, _: bytearray(value)),
    14: (True, lambda value, _: uuid.UUID(bytes=value)),
    15: (False, _restore_fraction),
    20: (False, _restore_numpy),
    21: (False, _restore_pandas),
}
