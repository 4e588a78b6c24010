"""``nexus-core trace run.json``: what a trace shows, in the terminal or as a page."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

from nexus_core.commands.printing import print_text
from nexus_core.commands.refusal import refuse
from nexus_core.commands.waiting import waiting

if TYPE_CHECKING:
    from nexus_core.tracing import Trace

__all__ = ["add_to"]

#: Columns of a chart.
_NARROWEST, _WIDEST = 32, 10_000

_DESCRIPTION = "Shows a trace that runtime.trace() or `nexus-core run --trace` has written: a Gantt chart, what bounds \
the makespan, and what would change it."


def add_to(commands: Any) -> None:
    """Makes the command known.

    Args:
        commands: The subparsers of ``nexus-core``.
    """
    parser = commands.add_parser(
        "trace", help="show a trace: Gantt chart, analysis, HTML page", description=_DESCRIPTION
    )
    parser.add_argument("file", help="the trace, .json or .json.gz")
    parser.add_argument("--html", metavar="OUT", help="write it as a page for the browser")
    parser.add_argument("--gantt", action="store_true", help="draw the Gantt chart only")
    parser.add_argument("--analyze", action="store_true", help="print the analysis only")
    parser.add_argument("--json", action="store_true", help="print the analysis as JSON")
    parser.add_argument("--run", type=int, metavar="N", help="draw this run, from 1 (default: the longest)")
    parser.add_argument("--by", choices=("node", "thread"), default="node", help="a row a node, or a row a thread")
    parser.add_argument(
        "--threads", type=_threads, nargs="+", metavar="N", default=[], help="what if there were N threads"
    )
    parser.add_argument(
        "--faster", type=_faster, nargs="+", metavar="NODE=X", help="what if the node were X times as fast (default 2)"
    )
    parser.add_argument("--width", type=int, metavar="COLUMNS", help="of the Gantt chart (default: the terminal's)")
    parser.set_defaults(handle=_show)


def _show(given: argparse.Namespace) -> int:
    from nexus_core.tracing import Trace

    # A terminal may have fewer characters than a chart is drawn with.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        with waiting(f"reading {given.file}"):
            trace = Trace.read(given.file)
        if given.html is not None:
            if not given.html.endswith((".html", ".htm")):
                return refuse(2, f"--html writes a page: name it .html, not {given.html!r}")
            with waiting(f"writing {given.html}"):
                trace.write(given.html)
            if sys.stderr is not None:
                print(f"wrote {given.html}", file=sys.stderr)  # noqa: T201
        text = _text(trace, given)
    except OSError as error:
        return refuse(1, f"{error.filename or given.file}: {error.strerror or error}")
    except (ValueError, IndexError) as error:
        return refuse(2, str(error))
    except MemoryError:
        return refuse(1, f"{given.file} does not fit into memory")
    return print_text(text)


def _text(trace: Trace, given: argparse.Namespace) -> str:
    if given.run is not None and not 1 <= given.run <= len(trace.runs):
        raise ValueError(f"--run must be from 1 to {len(trace.runs)}, not {given.run}: that many runs are in the trace")
    everything = not (given.gantt or given.analyze or given.json or given.html)
    parts = []
    if given.gantt or everything:
        parts.append(_gantt(trace, given))
    if given.analyze or given.json or everything:
        with waiting("analysing"):
            analysis = trace.analyze(given.threads, dict(given.faster) if given.faster else None)
        parts.append(json.dumps(analysis.as_dict(), indent=2) if given.json else str(analysis))
    return "\n\n".join(parts)


def _gantt(trace: Trace, given: argparse.Namespace) -> str:
    width = given.width
    if width is None:
        width = min(max(shutil.get_terminal_size((100, 24)).columns, _NARROWEST), _WIDEST)
    if width > _WIDEST:
        raise ValueError(f"width must be at most {_WIDEST:,} columns, not {width}")
    if len(trace.runs) < 2:
        return trace.gantt(width, by=given.by)
    longest = max(range(len(trace.runs)), key=lambda number: trace.runs[number].makespan)
    number = longest if given.run is None else given.run - 1
    which = f"Run {number + 1} of {len(trace.runs):,}" + (", the longest:" if given.run is None else ":")
    return f"{which}\n{trace.gantt(width, run=number, by=given.by)}"


def _threads(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"threads must be a whole number of at least 1, not {text!r}")
    return int(text)


def _faster(text: str) -> tuple[str, float]:
    node, separator, factor = text.rpartition("=")
    if not separator:
        return text, 2.0
    try:
        return node, float(factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NODE=FACTOR, such as load=2, not {text!r}") from None
