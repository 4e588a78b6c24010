"""The digests' part of docs/benchmarks.md, and the same rows for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from digests import INPUTS, PEERS
from service.figures import Cell
from service.tables import ms, number
from session import Key, Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterator[str]]

HEAD = ("input, digest", "time", "MB/s", "÷ nexus_core digest", "longest that nobody else ran")


def _time(seconds: float) -> str:
    return ms(seconds) if seconds >= 1e-3 else f"{number(seconds * 1e6)} µs"


def rows(session: Session) -> Iterator[Row]:
    for given in INPUTS.values():
        for peer in PEERS.values():
            key = Key("digest", given.name, peer.key)
            seconds = session.seconds(key)
            if seconds is None:
                continue
            ratio = session.ratio(key, Key("digest", given.name, "nexus_core"))
            stall = session.figures.median(Cell("digest", f"stall_{given.name}", peer.key), "stall")
            yield (
                f"{given.title}, {given.usual_title if peer.key == 'usual' else peer.title}",
                _time(seconds),
                number(given.size / seconds / 1e6),
                "–" if ratio is None else number(ratio.median),
                "–" if stall is None else _time(stall),
            )


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    if found := list(rows(session)):
        yield f"digests of inputs\n{table(HEAD, found)}"


def markdown(session: Session, table: Table) -> Iterator[str]:
    if not (found := list(rows(session))):
        return
    yield from ("## Digests of inputs", "")
    yield (
        "`nexus_core.keys.digest`, 256 bits, beside what people write for the same purpose. `json.dumps` with sorted keys "
        'takes `1` and `"1"` as dict keys, or a tuple and a list, for the same; sha256 of an array\'s memory knows neither '
        "its shape nor its type; `hash_pandas_object` gives 64 bits a row. The last column is how late another thread came "
        "that wanted to run every 0.2 ms: arrays and frames are hashed with the interpreter's lock held, so that the "
        "digest is of one moment; texts and bytes, which nobody can change, without."
    )
    yield ""
    yield from table(HEAD, found)
    yield ""
