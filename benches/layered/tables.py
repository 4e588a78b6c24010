"""What was measured of the layers, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from budgets import number
from layered.loads import AT_ONCE, LOADS, Load
from layered.peers import PEERS, PROCESSES
from service.figures import Cell

if TYPE_CHECKING:
    from service.figures import Figures
    from session import Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterable[str]]

COMPUTE_HEAD = ("runtime", "s", "÷ ideal", "at once", "µs a node", "µs of processors a node", "first run, s")
WAIT_HEAD = ("runtime", "s", "÷ ideal", "at once", "µs of processors a node", "first run, s")


def rows(figures: Figures, load: Load) -> Iterator[Row]:
    """Of a load's table."""
    for key, peer in PEERS.items():
        cell = Cell("scaling", load.name, key)

        def shown(name: str, scale: float = 1.0, cell: Cell = cell) -> str:
            found = figures.median(cell, name)
            return "–" if found is None else _figure(found * scale)

        if figures.median(cell, "seconds") is None:
            continue
        overhead = (shown("overhead", 1e6),) if load.computes else ()
        yield (
            peer.title,
            shown("seconds"),
            shown("ratio"),
            str(peer.slots(load)),
            *overhead,
            shown("processors", 1e6),
            shown("first"),
        )


def _figure(value: float) -> str:
    """As all tables have figures; what is below nothing by the noise too."""
    return f"−{number(-value)}" if value < 0 else number(value)


def tables(session: Session) -> Iterator[tuple[Load, Row, list[Row]]]:
    """Every load that was measured, the head of its table, and the rows."""
    for load in LOADS:
        if found := list(rows(session.figures, load)):
            yield load, COMPUTE_HEAD if load.computes else WAIT_HEAD, found


def summary(session: Session, table: Table) -> Iterator[str]:
    """For docs/scaling.md: seconds of a run and their ratio to the ideal, by runtime and load."""
    for kind, ideal in (("compute", "all cores busy"), ("wait", f"{AT_ONCE} at a time")):
        loads = [load for load in LOADS if load.kind == kind]
        found = [
            (peer.title, *(_in_short(session.figures, Cell("scaling", load.name, key)) for load in loads))
            for key, peer in PEERS.items()
        ]
        measured = [row for row in found if set(row[1:]) != {"–"}]
        if measured:
            yield from table((f"nodes that {kind}", *(f"{load.milliseconds} ms" for load in loads)), measured)
            yield from ("", f"Seconds, and times the ideal: {ideal}, no overhead.", "")


def _in_short(figures: Figures, cell: Cell) -> str:
    seconds, ratio = figures.median(cell, "seconds"), figures.median(cell, "ratio")
    return "–" if seconds is None or ratio is None else f"{number(seconds)} s, {number(ratio)}×"


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    """For the terminal."""
    for load, head, found in tables(session):
        yield f"scaling: {load.title}, in {load.layers} layers\n{table(head, found)}"


def markdown(session: Session, table: Table) -> Iterator[str]:
    """For docs/benchmarks.md."""
    found = list(tables(session))
    if not found:
        return
    yield from ("## More than one process", "")
    yield (
        f"Ten layers of 100 nodes, each waiting for two of the layer above; every run's outputs are compared with values "
        f"computed without any executor. Nodes *compute* by counting to a number in Python, which holds the interpreter, "
        f"or *wait* in `time.sleep`. *Ideal* is what list scheduling takes without any overhead: on all of the machine's "
        f"cores for nodes that compute, {AT_ONCE} at a time for those that wait. *At once* is how many nodes a row can "
        f"run at the same time: {PROCESSES} worker processes of one thread each, in which `DaskRuntime` runs nodes of a "
        f"group on threads. *µs a node* is (time × at once − the nodes' own) ÷ nodes, which counts what stood idle; "
        f"*µs of processors* is what all processes, the scheduler among them, used of processors beside the nodes' own. "
        f"Peers of one process, and those of the cluster, take turns: at 1 ms medians of three, from 10 ms on one each. "
        f"Everybody runs a small workflow of such nodes beforehand. The first run of a workflow is the one in which none of "
        f"its nodes has been measured yet; where it has no figure of its own, the one run is that. What waits 100 ms one or "
        f"two at a "
        f"time is left out, and Kailash's asynchronous runtime at 100 ms, which takes as long as the other. [scaling.md](scaling.md) says what to expect of more workers."
    )
    yield from ("", "![Time of a run over the ideal, by runtime](benchmarks-scaling.svg)", "")
    for load, head, lines in found:
        yield from (f"### {load.title.capitalize()}", "", *table(head, lines), "")
