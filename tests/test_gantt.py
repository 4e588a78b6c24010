"""A trace drawn as a Gantt chart of text."""

from __future__ import annotations

import math
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.gantt import Span, render

BLOCKS = set("█▌▐▓")


def columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def bars(chart: str) -> dict[str, str]:
    """What stands between the bars' borders, by the row's label."""
    found = {}
    for line in chart.splitlines():
        if line.count("│") == 2:
            label, cells, _ = line.split("│")
            found[label.strip()] = cells
    return found


def test_a_bar_covers_its_share_of_the_makespan() -> None:
    rows = bars(render([("early", "main", 0.0, 1.0), ("late", "main", 1.0, 4.0)], width=80))
    cells = len(rows["early"])
    assert rows["early"].rstrip().count("█") == pytest.approx(cells / 4, abs=1)
    assert rows["late"].lstrip().count("█") == pytest.approx(cells * 3 / 4, abs=1)
    assert rows["late"].endswith("█")
    assert rows["early"].startswith("█")


def test_nodes_that_run_at_the_same_time_are_drawn_one_above_the_other() -> None:
    rows = bars(render([("a", "main", 0.0, 0.1), ("b", "worker", 0.0, 0.1)]))
    assert rows["a"] == rows["b"]
    assert set(rows["a"]) == {"█"}


def test_a_node_that_starts_when_another_ends_does_not_overlap_it() -> None:
    rows = bars(render([("a", "main", 0.0, 0.37), ("b", "main", 0.37, 1.0)]))
    for first, second in zip(rows["a"], rows["b"], strict=True):
        assert " " in (first, second) or (first, second) == ("▌", "▐")


def test_rows_are_in_order_of_start_whatever_the_order_of_the_trace() -> None:
    chart = render([("last", "t", 0.2, 0.3), ("first", "t", 0.0, 0.1), ("middle", "t", 0.1, 0.2)])
    assert list(bars(chart)) == ["first", "middle", "last"]


def test_a_node_too_short_to_see_is_still_drawn() -> None:
    rows = bars(render([("long", "main", 0.0, 10.0), ("short", "main", 5.0, 5.000001), ("end", "main", 10.0, 10.0)]))
    assert len(rows["short"].strip()) == 1
    assert len(rows["end"].strip()) == 1


def test_a_row_says_how_long_its_node_took_and_on_which_thread() -> None:
    line = render([("load", "worker-1", 0.0, 0.25)]).splitlines()[0]
    assert "250 ms" in line
    assert line.endswith("worker-1")


def test_by_thread_there_is_a_row_a_thread_with_the_names_of_its_nodes() -> None:
    trace = [("load", "main", 0.0, 0.2), ("count", "worker", 0.0, 0.1), ("join", "main", 0.2, 0.3)]
    chart = render(trace, by="thread")
    rows = bars(chart)
    assert list(rows) == ["main", "worker"]
    assert "load" in rows["main"] and "join" in rows["main"]
    assert "count" in rows["worker"] and "load" not in rows["worker"]
    assert "2 nodes" in chart.splitlines()[0] and "300 ms" in chart.splitlines()[0]
    assert chart.splitlines()[1].endswith("1 node")


def test_by_thread_neighbouring_bars_have_different_shades() -> None:
    (row,) = bars(render([("a", "main", 0.0, 0.1), ("b", "main", 0.1, 0.2)], by="thread")).values()
    assert "█" in row and "▓" in row
    assert row.index("▓") > row.rindex("█")


def test_the_scale_has_its_zero_and_times_in_a_unit_that_fits() -> None:
    *_, ticks, times, _ = render([("a", "main", 0.0, 0.3)], width=80).splitlines()
    assert ticks.count("┴") == 6
    assert times.replace(" ms", "").split() == ["0", "50", "100", "150", "200", "250", "300"]
    assert ticks.rstrip().endswith("┘") and len(times) <= len(ticks)
    assert times.split()[:3] == ["0", "50", "ms"]
    assert ticks.index("┴") == times.index("0")
    assert ticks[times.index("50 ms")] == "┴"
    seconds = render([("a", "main", 0.0, 300.0)]).splitlines()[-2]
    assert "50 s" in seconds
    micro = render([("a", "main", 0.0, 3e-5)]).splitlines()[-2]
    assert "10 µs" in micro


def test_the_summary_counts_nodes_threads_and_how_many_ran_at_once() -> None:
    last = render([("a", "x", 0.0, 0.1), ("b", "y", 0.0, 0.1), ("c", "x", 0.1, 0.2)]).splitlines()[-1]
    assert last == "3 nodes on 2 threads in 200 ms, 1.5 at once on average"


def test_entries_may_be_objects_with_the_same_names() -> None:
    times: dict[str, Any] = {"start_seconds": 0.0, "end_seconds": 0.5}
    entry = SimpleNamespace(node_id="a", thread_name="main", **times)
    assert render([entry]) == render([("a", "main", 0.0, 0.5)]) == render([Span("a", "main", 0.0, 0.5)])


def test_threads_of_a_pool_stay_distinguishable_when_their_names_are_cut() -> None:
    chart = render([(f"n{i}", f"a-pool-with-a-long-name-worker-{i}", 0.0, 0.1) for i in range(3)])
    assert [line.split()[-1][-9:] for line in chart.splitlines()[:3]] == [f"-worker-{i}" for i in range(3)]


def test_an_empty_trace_says_so() -> None:
    assert render([]) == "no node ran"


def test_a_run_of_no_duration_is_drawn() -> None:
    chart = render([("a", "main", 0.0, 0.0)])
    assert bars(chart)["a"].strip() in BLOCKS
    assert chart.splitlines()[-1] == "1 node on 1 thread in 0 ns"


def test_rows_beyond_the_limit_are_counted() -> None:
    chart = render([(f"n{i}", "main", float(i), i + 1.0) for i in range(50)], max_rows=8)
    assert len(bars(chart)) == 8
    assert "… and 42 more nodes" in chart


def test_a_long_id_is_cut_and_control_characters_cannot_break_the_line() -> None:
    chart = render([("x" * 200, "main", 0.0, 1.0), ("two\nlines\x1b[31m", "main", 0.0, 1.0)])
    assert "x…" in chart
    assert "two\\nlines\\x1b[31m" in chart
    assert len(bars(chart)) == 2


def test_wide_characters_keep_the_columns_aligned() -> None:
    lines = render([("読み込み", "main", 0.0, 1.0), ("load", "main", 0.0, 1.0)]).splitlines()
    borders = [columns(line[: line.index("│")]) for line in lines[:2]]
    assert borders[0] == borders[1]


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (0.0, math.nan)])
def test_impossible_times_are_refused_and_name_the_node(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="node 'odd' is said to run from"):
        render([("fine", "main", 0.0, 1.0), ("odd", "main", start, end)])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"width": 31}, "at least 32"), ({"by": "day"}, "'node' or 'thread'"), ({"max_rows": 0}, "at least 1")],
)
def test_impossible_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        render([("a", "main", 0.0, 1.0)], **options)


times = st.floats(0, 1e6, allow_subnormal=False)
spans = st.tuples(st.text(max_size=60), st.text(max_size=60), times, times).map(
    lambda s: (s[0], s[1], min(s[2:]), max(s[2:]))
)


@given(st.lists(spans, min_size=1, max_size=12), st.integers(32, 200), st.sampled_from(["node", "thread"]))
def test_no_line_is_wider_than_asked_and_every_row_has_a_bar(trace: list[Any], width: int, by: Any) -> None:
    chart = render(trace, width=width, by=by)
    lines = chart.splitlines()
    assert max(map(columns, lines)) <= width
    rows = [line for line in lines if BLOCKS & set(line.partition("│")[2])]
    assert len(rows) >= (len(trace) if by == "node" else 1)
    assert len({columns(line[: line.index("│")]) for line in rows if line.count("│") == 2}) <= 1
