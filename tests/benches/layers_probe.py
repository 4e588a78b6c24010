"""Measures layers of a few short nodes on everyone that takes part, and writes what came of it to a file."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

import report
from layered import plot as layered_plot
from layered import tables
from layered.loads import Load
from layered.peers import PEERS
from layered.turns import measure
from service.figures import Cell
from session import Session


def main(path: Path) -> None:
    logging.getLogger("kailash").setLevel(logging.ERROR)
    session = Session(1)
    failed: dict[str, str] = {}
    here = [peer for peer in PEERS.values() if peer.place == "here"]
    for kind, peers in (("compute", list(PEERS.values())), ("wait", here)):
        load = Load(kind, 1, layers=2, width=4)
        measured = measure(load, peers, rounds=1)
        failed |= {f"{peer}, {load.name}": repr(error) for peer, error in measured.failed.items()}
        for peer, turns in measured.turns.items():
            for number, turn in enumerate(turns):
                session.figures.add(Cell("scaling", load.name, peer), number, turn)
    outcome = {
        "failed": failed,
        "turns": {
            f"{cell.variant}, {cell.case}": list(turns.values()) for cell, turns in session.figures.rounds.items()
        },
        "terminal": "\n".join(tables.terminal(session, report.terminal_table)),
        "section": "\n".join(tables.markdown(session, report.markdown_table)),
        "summary": "\n".join(tables.summary(session, report.markdown_table)),
        "plot": layered_plot.svg(session.figures),
    }
    path.write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
