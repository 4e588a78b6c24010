"""The live view of the terminal, with Textual."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any, ClassVar, Literal

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical, VerticalScroll
from textual.events import Resize
from textual.widgets import DataTable, Footer, Label, Sparkline, Static

from nexus_core.top.figures import NODES, POOLS, WORKFLOWS, Column, Table, headline, rate, rows, seconds, share
from nexus_core.top.source import AppSource, SourceError

__all__ = ["TopApp"]

_KEPT = 300
_LONGEST_PAUSE = 10.0
_FIGURE = 20  # columns
_CHARTS = (
    ("throughput", "Runs", rate),
    ("p99", "p99", seconds),
    ("cpu", "Processor", share),
    ("failures", "Failed", rate),
)
_TABLES: tuple[tuple[str, str, Table], ...] = (
    ("workflows", "Workflows", WORKFLOWS),
    ("nodes", "Slowest nodes", NODES),
    ("pools", "Pools", POOLS),
)
_SEVERE = ("critical", "high")


def _justified(column: Column) -> Literal["left", "right"]:
    return "left" if column.is_text else "right"


class TopApp(App[None]):
    """Shows what a running app does, until it is left.

    Args:
        source: The app.
        interval: Seconds between two looks.
    """

    TITLE = "nexus-core top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; background: $primary-background; padding: 0 1; }
    #where { width: 1fr; text-style: bold; }
    #state { width: auto; }
    #state.live { color: $success; } #state.lost { color: $error; }
    #alerts { height: auto; max-height: 6; display: none; padding: 0 1; background: $error 15%; }
    #alerts.some { display: block; }
    #figures { grid-size: 5; grid-gutter: 1 1; grid-rows: 3; height: auto; padding: 1 1 0 1; }
    .figure { height: 3; }
    #charts { height: 3; padding: 0 1; margin-top: 1; }
    .chart { width: 1fr; margin-right: 1; }
    .chart Sparkline { height: 2; }
    .title { text-style: bold; padding: 0 1; margin-top: 1; }
    DataTable { height: auto; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("q", "quit", "Quit"),
        Binding("p", "pause", "Pause"),
        Binding("r", "again", "Try now"),
        Binding("t", "theme", "Light or dark"),
    ]

    def __init__(self, source: AppSource, interval: float = 1.0) -> None:
        super().__init__()
        self._source = source
        self._interval = interval
        self._samples: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._paused = False
        self._wake = asyncio.Event()

    def compose(self) -> ComposeResult:
        """The widgets."""
        with Horizontal(id="head"):
            yield Label(self._source.url, id="where", markup=False)
            yield Label("connecting", id="state", markup=False)
        yield Static(id="alerts", markup=False)
        with VerticalScroll(can_focus=False):
            yield Grid(id="figures")
            with Horizontal(id="charts"):
                for name, title, _ in _CHARTS:
                    with Vertical(classes="chart"):
                        yield Label(title, id=f"of-{name}", markup=False)
                        yield Sparkline([0.0], id=f"chart-{name}")
            for name, title, _ in _TABLES:
                yield Label(title, classes="title", id=f"title-{name}")
                yield DataTable(id=name, cursor_type="row", zebra_stripes=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to look."""
        for name, _, table in _TABLES:
            found: DataTable[Text] = self.query_one(f"#{name}", DataTable)
            found.add_columns(*(Text(column.title, justify=_justified(column)) for column in table))
        self.run_worker(self._look(), exclusive=True)

    def on_resize(self, event: Resize) -> None:
        """As many figures side by side as there is room for."""
        self.query_one("#figures", Grid).styles.grid_size_columns = max(1, min(5, event.size.width // _FIGURE))
        self.query_one("#charts").display = event.size.width >= len(_CHARTS) * _FIGURE

    async def _look(self) -> None:
        failures = 0
        while True:
            pause = self._interval
            # Before the look: what is pressed during it is heeded after it.
            self._wake.clear()
            if not self._paused:
                view, error = await self._asked()
                if not self.query("#state"):
                    return  # the view was left meanwhile
                if view is None:
                    failures += 1
                    pause = min(2.0**failures, _LONGEST_PAUSE)
                    self._tell(f"{error}; trying again", "lost")
                else:
                    failures = 0
                    self._tell(f"live · {self._source.path}", "live")
                    await self._show(view)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _asked(self) -> tuple[dict[str, Any] | None, SourceError | None]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[dict[str, Any] | None, SourceError | None]] = loop.create_future()

        def tell(view: dict[str, Any] | None, error: SourceError | None) -> None:
            if not answer.done():
                answer.set_result((view, error))

        def ask() -> None:
            view, refused = None, None
            try:
                view = self._source.view()
            except SourceError as error:
                refused = error
            with contextlib.suppress(RuntimeError):  # the view was left, and its loop is closed
                loop.call_soon_threadsafe(tell, view, refused)

        # Not a thread of the loop's own, which is waited for at the end: who leaves does not wait for the app.
        threading.Thread(target=ask, name="nexus-core top", daemon=True).start()
        return await answer

    def _tell(self, text: str, kind: str) -> None:
        if self._paused and kind:
            return  # of a look that was under way: that it is paused stays to be read
        label = self.query_one("#state", Label)
        label.update(text)
        label.set_classes(kind)

    async def _show(self, view: dict[str, Any]) -> None:
        if view.get("restarted"):
            self._samples.clear()
        self._samples.extend(view["samples"])
        last = self._samples[-1] if self._samples else None
        if view["runtime"]:
            where = f"{view['app']} · {self._source.url} · {view['runtime']} · nexus-core {view['version']}"
            self.query_one("#where", Label).update(where)
        await self._show_figures(headline(last, view["now"]))
        for name, title, unit in _CHARTS:
            values = [float(each.get(name) or 0) for each in self._samples]
            self.query_one(f"#chart-{name}", Sparkline).data = values or [0.0]
            # A sparkline goes from the least to the most of what it shows.
            reach = f" {unit(min(values))} – {unit(max(values))}" if values else ""
            self.query_one(f"#of-{name}", Label).update(title + reach)
        for name, _, table in _TABLES:
            self._show_table(name, table, rows(table, view["now"][name]))
        self._show_alerts(view["now"]["alerts"])

    async def _show_figures(self, found: list[tuple[str, str, str]]) -> None:
        grid = self.query_one("#figures", Grid)
        figures = list(grid.query(Static))
        if len(figures) != len(found):
            await grid.remove_children()
            figures = [Static(classes="figure") for _ in found]
            await grid.mount(*figures)
        for figure, (name, value, more) in zip(figures, found, strict=True):
            figure.update(Text.assemble((name, "dim"), "\n", (value, "bold"), "\n", (more, "dim")))

    def _show_table(self, name: str, columns: Table, cells: list[list[str]]) -> None:
        table: DataTable[Text] = self.query_one(f"#{name}", DataTable)
        self.query_one(f"#title-{name}").display = table.display = bool(cells)
        row, scroll = table.cursor_row, table.scroll_offset
        table.clear()
        for line in cells:
            table.add_row(*(Text(cell, justify=_justified(column)) for cell, column in zip(line, columns, strict=True)))
        if cells:
            table.move_cursor(row=min(row, len(cells) - 1), scroll=False)
            table.scroll_to(scroll.x, scroll.y, animate=False)

    def _show_alerts(self, alerts: list[dict[str, Any]]) -> None:
        lines = [
            Text.assemble(
                (alert["severity"] or "alert", "bold red" if alert["severity"] in _SEVERE else "bold yellow"),
                "  ",
                alert["message"],
            )
            for alert in alerts
        ]
        shown = self.query_one("#alerts", Static)
        shown.set_class(bool(lines), "some")
        shown.update(Text("\n").join(lines))

    def action_pause(self) -> None:
        """Looks no more, until it is pressed again."""
        self._paused = not self._paused
        if self._paused:
            self._tell("paused", "")
        self._wake.set()

    def action_again(self) -> None:
        """Looks at once."""
        self._wake.set()

    def action_theme(self) -> None:
        """Light or dark."""
        self.theme = "textual-light" if self.theme != "textual-light" else "textual-dark"
