"""Looks for two different inputs with one digest, among millions that look alike.

    python scripts/key_collisions.py --count 10000000

Every other input is of a series (a number as an integer, float, text, bytes, Decimal, date, in containers of every kind,
and texts cut in two at every place), the others are random nested containers of leaves that look alike. An input can be
made again from its number, so that only the beginnings of the digests are kept: 8 bytes an input, and some five times as
much while they are sorted. Inputs whose digests begin alike are made again and compared.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np

FIRST_DAY = dt.date(1, 1, 1).toordinal()
DAYS = dt.date(9999, 12, 31).toordinal() - FIRST_DAY

#: What a number may look like. No two give the same value for any two numbers.
SERIES: tuple[Callable[[int], Any], ...] = (
    lambda n: n,
    lambda n: -n - 1,
    lambda n: n << 64,
    float,
    lambda n: -float(n),
    lambda n: n + 0.5,
    lambda n: complex(n, 1),
    str,
    lambda n: f"{n:09}x",
    lambda n: f"{n}.0",
    lambda n: str(n).encode(),
    lambda n: bytearray(str(n).encode()),
    lambda n: n.to_bytes(8, "little"),
    Decimal,
    lambda n: Decimal(f"{n}.0"),
    lambda n: Decimal(f"{n}.00"),
    Fraction,
    lambda n: UUID(int=n),
    lambda n: dt.timedelta(microseconds=n),
    lambda n: dt.datetime(2026, 1, 1) + dt.timedelta(seconds=n),
    lambda n: dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n),
    lambda n: dt.date.fromordinal(FIRST_DAY + n) if n < DAYS else ("day", n),
    lambda n: [n],
    lambda n: (n,),
    lambda n: {n},
    lambda n: frozenset([n]),
    lambda n: [[n]],
    lambda n: [n, None],
    lambda n: [None, n],
    lambda n: ([], n),
    lambda n: ((), n),
    lambda n: [str(n)],
    lambda n: [float(n)],
    lambda n: {n: None},
    lambda n: {None: n},
    lambda n: {"key": n},
    lambda n: {"key": str(n)},
    lambda n: {str(n): "key"},
    lambda n: {"a": n, "b": -n - 1},
    lambda n: {"b": n, "a": -n - 1},
    lambda n: {"a": {"b": n}},
    lambda n: {"a": [{"b": n}]},
    lambda n: [divmod(n, 1000)],
    lambda n: list(divmod(n, 1000)),
    lambda n: cut(n),
    lambda n: list(cut(n)),
    lambda n: dict([cut(n)]),
    lambda n: np.int64(n),
    lambda n: np.array(n),
    lambda n: np.array([n]),
    lambda n: np.array([n], "<i4"),
    lambda n: np.array([n], ">i8"),
    lambda n: np.array([[n, 0]]),
    lambda n: np.array([0, n]),
)

LEAVES: tuple[Callable[[random.Random], Any], ...] = (
    lambda draw: draw.choice((None, True, False, ..., (), "", b"", -0.0, 0.0)),
    lambda draw: draw.randrange(-3, 256),
    lambda draw: draw.getrandbits(draw.choice((8, 31, 63, 64, 65, 128))),
    lambda draw: float(draw.randrange(256)),
    lambda draw: draw.random(),
    lambda draw: str(draw.randrange(1000)),
    lambda draw: str(draw.randrange(1000)).encode(),
    lambda draw: "".join(draw.choices("ab1é\0\u0100", k=draw.randrange(6))),
    lambda draw: Decimal(draw.randrange(1000)).scaleb(-draw.randrange(4)),
    lambda draw: dt.date.fromordinal(FIRST_DAY + draw.randrange(DAYS)),
)


def cut(number: int) -> tuple[str, str]:
    """A text cut in two: for each text every place in turn."""
    text = f"{number // 9:08}"
    return text[: number % 9], text[number % 9 :]


def nested(draw: random.Random, depth: int = 3) -> Any:
    """Containers of containers."""
    size = draw.randrange(1, 5)
    inner = [leaf(draw) if depth == 0 or draw.random() < 0.6 else nested(draw, depth - 1) for _ in range(size)]
    match draw.randrange(5):
        case 0:
            return inner
        case 1:
            return tuple(inner)
        case 2:
            return {f"{name}": each for name, each in zip("abcd", inner, strict=False)}
        case 3:
            return {leaf(draw): each for each in inner}
        case _:
            return frozenset(leaf(draw) for _ in inner)


def leaf(draw: random.Random) -> Any:
    return draw.choice(LEAVES)(draw)


class Inputs:
    """Inputs by number; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draw = random.Random()

    def __call__(self, number: int) -> Any:
        half = number >> 1
        if number & 1:
            self._draw.seed((self._seed << 40) + half)
            return nested(self._draw)
        return SERIES[half % len(SERIES)](half // len(SERIES))


def form(value: Any) -> Any:
    """Equal for exactly those values that no program can tell apart, order of dicts and sets aside."""
    name = type(value).__name__
    match value:
        case list() | tuple():
            return name, tuple(form(item) for item in value)
        case set() | frozenset():
            return name, frozenset(form(item) for item in value)
        case dict():
            return name, frozenset((form(key), form(held)) for key, held in value.items())
        case np.ndarray():
            return name, value.dtype.str, value.shape, value.tobytes()
        case bytearray():
            return name, bytes(value)
        case _:
            return name, repr(value)


@dataclass(frozen=True)
class Outcome:
    inputs: int
    distinct: int
    """Those that came up again by chance left out."""
    collisions: tuple[tuple[Any, Any], ...]


def search(
    count: int, digest: Callable[[Any], bytes], *, seed: int = 1, say: Callable[[int], None] = lambda done: None
) -> Outcome:
    """Digests at least so many distinct inputs, and compares those whose digests are equal."""
    inputs = Inputs(seed)
    beginnings = np.empty(0, "<u8")
    repeats = 0
    while len(beginnings) - repeats < count:
        # What came up twice is made good for by more.
        first = len(beginnings)
        beginnings = np.resize(beginnings, first + max(1_000, count - first + repeats))
        for number in range(first, len(beginnings)):
            beginnings[number] = int.from_bytes(digest(inputs(number))[:8], "little")
            if number % 100_000 == 0:
                say(number)
        repeats = 0
        collisions = []
        for numbers in alike(beginnings):
            found: dict[bytes, dict[Any, Any]] = {}
            for number in numbers:
                value = inputs(number)
                same = found.setdefault(digest(value), {})
                told = form(value)
                repeats += told in same
                same.setdefault(told, value)
            collisions += [tuple(same.values())[:2] for same in found.values() if len(same) > 1]
        if collisions:
            break
    return Outcome(len(beginnings), len(beginnings) - repeats, tuple((one, other) for one, other in collisions))


def alike(beginnings: Any) -> Iterator[list[int]]:
    """The numbers of the inputs whose digests begin alike."""
    order = np.argsort(beginnings, kind="stable").astype("<u4")
    ordered = beginnings[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])
    starts = np.flatnonzero(is_first)
    lengths = np.diff(np.append(starts, len(ordered)))
    for start, length in zip(starts[lengths > 1], lengths[lengths > 1], strict=True):
        yield [int(number) for number in order[start : start + length]]


def main() -> int:
    from nexus_core.keys import digest

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000_000, help="how many distinct inputs (default 10,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random ones (default 1)")
    options = parser.parse_args()
    if not 1 <= options.count < 2**31:
        parser.error(f"--count must be between 1 and {2**31 - 1}, got {options.count}")
    began = time.monotonic()

    def say(done: int) -> None:
        print(
            f"{done:,} inputs for {options.count:,} distinct ones, {time.monotonic() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    outcome = search(options.count, digest, seed=options.seed, say=say)
    for one, other in outcome.collisions:
        print(f"COLLISION: {one!r} and {other!r} have one digest")
    took = time.monotonic() - began
    print(f"{outcome.distinct:,} distinct inputs, {len(outcome.collisions)} collisions, {took:.0f} s")
    return 1 if outcome.collisions else 0


if __name__ == "__main__":
    sys.exit(main())
