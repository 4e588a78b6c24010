"""What is run: ten layers of nodes that compute or wait for so many milliseconds, each node with two of the layer above."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from workloads import Graph

#: Outputs stay small however deep the layers are.
MODULUS = 1_000_003

#: Nodes that wait at the same time in the bound, and the threads of the peers that can have as many.
AT_ONCE = 32

# The same loop for every peer: in a function, whose variables are cheaper than those of a module.
SPIN = """\
def spin(steps):
    found = 0
    for number in range(steps):
        found ^= number
    return found
"""
_namespace: dict[str, Any] = {}
exec(SPIN, _namespace)
spin: Callable[[int], int] = _namespace["spin"]


@dataclass(frozen=True)
class Load:
    """One kind of nodes, all alike.

    Attributes:
        kind: `compute`, which counts and holds the interpreter, or `wait`, which sleeps.
        milliseconds: Of a node.
        layers: One behind the other.
        width: Nodes of a layer.
        is_long: Takes minutes, so it only runs where that is asked for, and once.
    """

    kind: str
    milliseconds: int
    layers: int = 10
    width: int = 100
    is_long: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.milliseconds}ms"

    @property
    def title(self) -> str:
        return f"{len(self):,} nodes that {self.kind} {self.milliseconds} ms"

    @property
    def computes(self) -> bool:
        return self.kind == "compute"

    def __len__(self) -> int:
        return self.layers * self.width

    def predecessors(self) -> Iterator[tuple[int, ...]]:
        for layer in range(self.layers):
            above = (layer - 1) * self.width
            for place in range(self.width):
                yield (above + place, above + (place + 1) % self.width) if layer else ()

    def bound(self, seconds: float, slots: int) -> float:
        """Makespan of so many nodes at a time, with no overhead at all; `seconds` of a node."""
        predecessors = tuple(self.predecessors())
        return Graph(self.name, self.title, predecessors, (seconds,) * len(self), slots).bound()


LOADS = tuple(
    Load(kind, milliseconds, is_long=milliseconds >= 100)
    for kind in ("compute", "wait")
    for milliseconds in (1, 10, 100)
)


@dataclass(frozen=True)
class Work:
    """A load in this process's terms: how far nodes count.

    Attributes:
        load: The load.
        steps: How far a node counts; 0 for one that waits.
    """

    load: Load
    steps: int

    @property
    def seconds(self) -> float:
        """That a node waits."""
        return 0.0 if self.load.computes else self.load.milliseconds / 1e3

    def code(self, inputs: int, *, wrapped: bool = False) -> str:
        """A node as code for a PythonCodeNode.

        `wrapped` is for Kailash's asynchronous runtime, where an edge from `result` delivers `{"result": value}`.
        """
        part = "['result']" if wrapped else ""
        above = " + ".join(f"{name}{part}" for name in ("a", "b")[:inputs]) or "0"
        if self.load.computes:
            return f"{SPIN}result = ({above} + spin({self.steps})) % {MODULUS}"
        return f"import time\ntime.sleep({self.seconds!r})\nresult = ({above} + 1) % {MODULUS}"

    def call(self) -> tuple[Callable[..., int], float]:
        """A node as a function, and its first argument, for peers that take functions."""
        return (compute, self.steps) if self.load.computes else (wait, self.seconds)

    def workflow(self, *, wrapped: bool = False, name: str = "layered") -> Any:
        """The load as a built Kailash workflow."""
        from kailash.workflow.builder import WorkflowBuilder

        builder = WorkflowBuilder()
        for node, predecessors in enumerate(self.load.predecessors()):
            code = self.code(len(predecessors), wrapped=wrapped)
            builder.add_node("PythonCodeNode", f"n{node}", {"code": code})
            for above, keyword in zip(predecessors, ("a", "b"), strict=False):
                builder.add_connection(f"n{above}", "result", f"n{node}", keyword)
        return builder.build(name=name)

    def expected(self) -> dict[str, int]:
        """What each node must return, computed without any executor."""
        own = spin(self.steps) if self.load.computes else 1
        values: list[int] = []
        for predecessors in self.load.predecessors():
            values.append((sum(values[above] for above in predecessors) + own) % MODULUS)
        return {f"n{node}": value for node, value in enumerate(values)}

    def check(self, got: dict[str, Any], peer: str) -> None:
        """A peer that computes something else is not faster, it is wrong.

        Raises:
            AssertionError: If it does.
        """
        expected = self.expected()
        if got == expected:
            return
        wrong = [name for name in expected if got.get(name) != expected[name]][:3]
        detail = ", ".join(f"{name}: {got.get(name)!r} instead of {expected[name]!r}" for name in wrong)
        raise AssertionError(f"{peer}, {self.load.title}: wrong results ({detail or 'nodes that do not exist'})")


def compute(steps: int, *above: int) -> int:
    """What the code of a node that computes does."""
    return (sum(above) + spin(steps)) % MODULUS


def wait(seconds: float, *above: int) -> int:
    """What the code of a node that waits does."""
    time.sleep(seconds)
    return (sum(above) + 1) % MODULUS


def work_of(load: Load) -> Work:
    """A load with its steps counted out.

    Nodes count to a number instead of watching a clock: where others take the processor, they take longer.
    """
    return Work(load, _steps_of_a_millisecond() * load.milliseconds if load.computes else 0)


def _steps_of_a_millisecond() -> int:
    global _calibrated  # once a process, so that all loads count alike
    if not _calibrated:
        _calibrated = int(20_000 * 0.001 / computing(20_000))
    return _calibrated


_calibrated = 0


def computing(steps: int, samples: int = 21) -> float:
    """A node's seconds on a processor, whoever else wants it."""
    took = []
    for _ in range(samples):
        started = time.thread_time()
        spin(steps)
        took.append(time.thread_time() - started)
    return statistics.median(took)
