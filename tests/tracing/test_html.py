"""The page of a trace, as a file: it holds all it needs, and what it holds is data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from array import array
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given

from nexus_core.tracing import NodeEvent, RunTrace, Trace, TracedThread

from .support import HOSTILE, made, threads, traces


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def script(self, name: str) -> str:
        position = [attributes.get("id") for attributes in self.all("script")].index(name)
        return self.texts["script"][position]


def page(trace: Trace, folder: Path) -> Page:
    return Page(trace.write(folder / "run.html").read_text(encoding="utf-8"))


def test_only_its_own_style_and_script_are_allowed(tmp_path: Path) -> None:
    found = page(made([(0, 1)], [0.1, 0.2]), tmp_path)
    (policy,) = [each["content"] for each in found.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(each.strip().split(" ", 1) for each in (policy or "").split(";"))
    run = [text for text, attributes in zip(found.texts["script"], found.all("script"), strict=True) if not attributes]
    (script,), (style,) = run, found.texts["style"]

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "style-src": digest(style),
        "script-src": digest(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # The policy comes before all that it is about.
    tags = [tag for tag, _ in found.elements]
    assert tags.index("meta") < tags.index("style") < tags.index("script")


def test_nothing_is_fetched(tmp_path: Path) -> None:
    text = made([(0, 1)], [0.1, 0.2]).write(tmp_path / "run.html").read_text(encoding="utf-8")
    found = Page(text)
    assert not re.search(r"https?://|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|eval\(|innerHTML", text)
    for _, attributes in found.elements:
        assert "src" not in attributes and "style" not in attributes
        assert attributes.get("href", "data:,") == "data:,"
        assert not [name for name in attributes if name.startswith("on")]


def test_hostile_names_add_no_element(tmp_path: Path) -> None:
    """With the same structure but other names, the page has the same elements."""
    pages = []
    for name in (HOSTILE, "plain"):
        run = RunTrace(name, name, 0, 2, "failed", [(name, name), ("\ud800" + name, name)], [(0, 1)], note=name)
        events = [NodeEvent(0, 0, 0, 0, 0, 1), NodeEvent(0, 1, 0, 1, 1, 2, 0.0, "failed", name)]
        pages.append(page(Trace([TracedThread(name, 1)], [run], events), tmp_path))
    hostile, plain = pages
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    about = json.loads(hostile.script("about"))
    # Browsers end a script, or change what ends it, at more than the parser above knows.
    assert not set("<>&") & set(hostile.script("about"))
    assert about["workflows"][0]["nodes"][0] == [HOSTILE, HOSTILE]
    assert HOSTILE in hostile.texts["title"][0] + hostile.texts["h1"][0]


@given(traces())
def test_the_columns_are_the_trace_s(trace: Trace) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = page(trace, Path(folder))

    def column(name: str, kind: str) -> list[float]:
        values = array(kind)
        values.frombytes(base64.b64decode(found.script("column-" + name)))
        return list(values)

    assert column("start", "d") == list(trace.events.start)
    assert column("end", "d") == list(trace.events.end)
    assert column("node", "I") == list(trace.events.node)
    assert column("run", "I") == list(trace.events.run)
    analysis = trace.analyze()
    critical = {node.event for run in analysis.runs for node in run.nodes if node.is_critical}
    assert [i for i, flag in enumerate(column("critical", "B")) if flag] == sorted(critical)
    about = json.loads(found.script("about"))
    assert [run["began"] for run in about["runs"]] == [run.began for run in trace.runs]


def test_of_many_runs_the_longest_can_be_chosen(tmp_path: Path) -> None:
    nodes = (("a", "T"),)
    runs = [RunTrace("w", f"r{k}", k, k + k / 1000, nodes=nodes) for k in range(500)]
    found = page(Trace(threads(1), runs, [NodeEvent(k, 0, 0, k, k, k + k / 1000) for k in range(500)]), tmp_path)
    about = json.loads(found.script("about"))
    assert about["choices"] == list(range(300, 500))
    assert set(about["summaries"]) == {"all", *map(str, range(300, 500))}


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    trace = made([], [0.1])
    found = page(Trace(trace.threads, trace.runs, trace.events, dropped=1234), tmp_path)
    assert any("1,234 executions are missing" in text for text in found.texts["p"])
