"""Nodes that compute for long, and do something besides that another process would not do, or not for this one."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import deque
from typing import Any

import numpy as np

from processes.nodes import Takes

total = 0
seen: list[int] = []
itself = sys.modules[__name__]


class Odd(Takes):
    """Computes for some milliseconds, and says what it has found."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        work()
        return {"result": self.odd(inputs.get("x"))}

    def odd(self, x: Any) -> Any:
        raise NotImplementedError


def work() -> None:
    end = time.thread_time() + 0.006
    while time.thread_time() < end:
        pass


class SetsGlobal(Odd):
    def odd(self, x: Any) -> Any:
        return set_total()


def set_total() -> int:
    global total
    total += 1
    return total


class FillsGlobal(Odd):
    def odd(self, x: Any) -> Any:
        seen.append(1)
        return len(seen)


record = seen.append


class FillsByMethod(Odd):
    def odd(self, x: Any) -> Any:
        return record(1)


class FillsWhatItImports(Odd):
    def odd(self, x: Any) -> Any:
        from processes.odd_nodes import Odd as Base
        from processes.odd_nodes import seen as filled

        filled.append(1)
        return isinstance(self, Base) and len(filled)


class FillsWhatItsModuleHas(Odd):
    def odd(self, x: Any) -> Any:
        import processes.odd_nodes as module

        module.seen.append(1)
        return len(module.seen)


class HandsModuleOn(Odd):
    def odd(self, x: Any) -> Any:
        filled = getattr(itself, "seen")  # noqa: B009  # its code is not to show it
        filled.append(1)
        return len(filled)


class FillsOfModuleInClass(Odd):
    module = itself

    def odd(self, x: Any) -> Any:
        self.module.seen.append(1)
        return len(seen)


class FillsOfModuleByOtherName(Odd):
    def odd(self, x: Any) -> Any:
        module = itself
        module.seen.append(1)
        return len(module.seen)


class ImportsConstants(Odd):
    """Goes."""

    def odd(self, x: Any) -> Any:
        import processes.constants
        from processes.constants import TIMES

        return [processes.constants.FACTOR] * TIMES


class Link:
    """Of a chain that is longer than calls can be nested, but is not pickled that way."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __reduce__(self) -> Any:
        return chain, ()


def chain() -> Any:
    link = None
    for _ in range(5000):
        link = Link(link)
    return link


class HoldsLongChain(Odd):
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.chain = chain()

    def odd(self, x: Any) -> Any:
        return 1


class CountsInClass(Odd):
    count = 0

    def odd(self, x: Any) -> Any:
        type(self).count += 1
        return type(self).count


class CountsInItself(Odd):
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.count = 0

    def odd(self, x: Any) -> Any:
        self.count += 1
        return self.count


class FillsWhatItWasGiven(Odd):
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.line: deque[int] = deque()

    def odd(self, x: Any) -> Any:
        self.line.append(1)
        return len(self.line)


class HoldsLock(Odd):
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.lock = threading.Lock()

    def odd(self, x: Any) -> Any:
        with self.lock:
            return 1


class Draws(Odd):
    def odd(self, x: Any) -> Any:
        return random.random()


class DrawsFromNumPy(Odd):
    def odd(self, x: Any) -> Any:
        return float(np.random.rand())


class DrawsFromItsOwn(Odd):
    def odd(self, x: Any) -> Any:
        return float(np.random.default_rng(7).normal()) + random.Random(7).random()


class Prints(Odd):
    def odd(self, x: Any) -> Any:
        print("odd")
        return 1


class ReadsEnvironment(Odd):
    def odd(self, x: Any) -> Any:
        return os.environ.get("ODD")


class ChangesInput(Odd):
    def odd(self, x: Any) -> Any:
        x += 1
        return 1


class AddsToInput(Odd):
    """Something that cannot be pickled."""

    def odd(self, x: Any) -> Any:
        x[0] = (value for value in ())
        return len(x)


class Plain(Odd):
    """Goes."""

    #: What it uses does not change.
    FACTOR = 3

    def odd(self, x: Any) -> Any:
        return self.FACTOR * sum(range(10))


def counting() -> Any:
    """A function that counts in what is around it."""
    count = 0

    def count_up(x: int = 1) -> int:
        nonlocal count
        work()
        count += x
        return count

    return count_up


def collecting() -> Any:
    """One that fills a list that is around it."""
    found: list[int] = []

    def collect(x: int = 1) -> int:
        work()
        found.append(x)
        return len(found)

    return collect


def filling() -> Any:
    """One that fills a list of a module that is around it."""
    module = itself

    def fill(x: int = 1) -> int:
        work()
        module.seen.append(x)
        return len(module.seen)

    return fill


def scaling() -> Any:
    """One that goes, with what is around it."""
    factor = 3

    def scale(x: int = 1) -> int:
        def inner() -> int:
            nonlocal factor_here
            factor_here += factor
            return factor_here

        factor_here = 0
        work()
        return inner() * x

    return scale
