"""The page of a trace in a real browser: it draws, zooms, tells, and runs nothing that a name holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nexus_core.tracing import EventColumns, NodeEvent, RunTrace, Trace, TracedThread
from servers.chromium import Tab, browser, executable

from .support import HOSTILE, made, scheduled, threads

Opened = Callable[[Trace], Tab]


@pytest.fixture(scope="module")
def _tab() -> Iterator[Tab]:
    program = executable()
    if program is None:
        pytest.skip("no Chromium is installed (on Debian and Ubuntu: apt-get install chromium)")
    with browser(program) as tab:
        yield tab


@pytest.fixture
def opened(_tab: Tab, tmp_path: Path) -> Iterator[Opened]:
    """Opens a trace's page; at the end it must not have complained, nor asked for anything but itself."""

    def open_page(trace: Trace) -> Tab:
        path = trace.write(tmp_path / "run.html")
        _tab.resize(1280, 1000)
        _tab.prefer("light")
        _tab.open(path.as_uri())
        return _tab

    _tab.complaints.clear()
    yield open_page
    assert _tab.complaints == []
    assert [url for url in _tab.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in _tab.requests if url.startswith("file:")]) == 1


# Where the canvas has pixels of a colour: their number, and the place of the middle one on the page.
PIXELS = """(() => {
  const canvas = document.getElementById("timeline"), area = canvas.getBoundingClientRect();
  // A copy: the page's own canvas is not made for being read.
  const probe = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height }).getContext("2d", { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--%s");
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  probe.drawImage(canvas, 0, 0);
  const { data, width, height } = probe.getImageData(0, 0, canvas.width, canvas.height);
  const found = [];
  for (let k = 0; k < width * height; k++) if (data[4 * k] === r && data[4 * k + 1] === g && data[4 * k + 2] === b) found.push(k);
  const middle = found[found.length >> 1] ?? 0, ratio = canvas.width / area.width;
  return { count: found.length, x: area.left + (middle %% width) / ratio, y: area.top + Math.floor(middle / width) / ratio };
})()"""


def pixels(tab: Tab, colour: str) -> Any:
    return tab.evaluate(PIXELS % colour)


def view(tab: Tab) -> tuple[float, float]:
    tab.settle()
    data = tab.evaluate("({...document.getElementById('timeline').dataset})")
    return float(data["from"]), float(data["to"])


def text(tab: Tab, selector: str) -> str:
    value: str = tab.evaluate(f"document.querySelector({selector!r}).textContent")
    return value


def press_button(tab: Tab, selector: str) -> None:
    tab.evaluate(f"document.querySelector({selector!r}).click()")
    tab.settle()


def middle(tab: Tab) -> tuple[float, float]:
    area = tab.evaluate(
        "(r => [r.left + r.width / 2, r.top + r.height / 2])(document.getElementById('timeline').getBoundingClientRect())"
    )
    return area[0], area[1]


DIAMOND = made(
    [(0, 1), (0, 2), (1, 3), (2, 3)], [0.1, 0.2, 0.5, 0.1], 2, locks=[0, 0.05, 0, 0.02], delays=[0, 0.03, 0, 0]
)


def test_it_draws_bars_the_critical_path_and_waits(opened: Opened) -> None:
    tab = opened(DIAMOND)
    for colour in ("critical", "node", "lock", "queue", "slack"):
        assert pixels(tab, colour)["count"] > 20, colour
    assert "Bounded by the critical path" in text(tab, "#bound")
    assert "a → c → d" in text(tab, "#path")
    assert "720 ms" in text(tab, "#figures")


def test_the_wheel_zooms_at_the_pointer_and_dragging_pans(opened: Opened) -> None:
    tab = opened(DIAMOND)
    from_, to = view(tab)
    x, y = middle(tab)
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    closer = view(tab)
    assert from_ < closer[0] < closer[1] < to
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=300)
    assert view(tab) == pytest.approx((from_, to))
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    before = view(tab)
    tab.mouse("mousePressed", x, y, button="left", clickCount=1)
    tab.mouse("mouseMoved", x - 100, y, button="left", buttons=1)
    tab.mouse("mouseReleased", x - 100, y, button="left", clickCount=1)
    after = view(tab)
    assert after[0] > before[0]
    assert after[1] - after[0] == pytest.approx(before[1] - before[0])
    tab.mouse("mouseWheel", x, y, deltaX=100, deltaY=0)
    assert view(tab)[0] > after[0]


def test_two_fingers_zoom(opened: Opened) -> None:
    tab = opened(DIAMOND)
    from_, to = view(tab)
    x, y = middle(tab)
    tab.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": place, "y": y, "id": k} for k, place in enumerate(places)]
        tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    try:
        touch("touchStart", x - 40, x + 40)
        for step in range(1, 5):
            touch("touchMove", x - 40 - 20 * step, x + 40 + 20 * step)
        touch("touchEnd")
    finally:
        tab.call("Emulation.setTouchEmulationEnabled", enabled=False)
    closer = view(tab)
    assert closer[1] - closer[0] < (to - from_) / 2


def test_buttons_and_keys_zoom_move_and_fit(opened: Opened) -> None:
    tab = opened(DIAMOND)
    whole = view(tab)
    press_button(tab, "#in")
    assert view(tab)[1] - view(tab)[0] == pytest.approx((whole[1] - whole[0]) / 2)
    press_button(tab, "#fit")
    assert view(tab) == whole
    tab.evaluate("document.getElementById('timeline').focus()")
    tab.press("+")
    closer = view(tab)
    assert whole[0] < closer[0] < closer[1] < whole[1]
    tab.press("ArrowRight")
    assert view(tab)[0] > closer[0]
    tab.press("f")
    assert view(tab) == whole


def test_hovering_shows_a_node_and_a_click_keeps_it(opened: Opened) -> None:
    tab = opened(DIAMOND)
    assert tab.evaluate("document.getElementById('tip').hidden")
    place = pixels(tab, "node")
    tab.mouse("mouseMoved", place["x"], place["y"])
    tip = text(tab, "#tip")
    assert not tab.evaluate("document.getElementById('tip').hidden")
    assert tip.startswith("bCode") and "Took200 ms" in tip and "Queued30 ms" in tip and "waited 50 ms" in tip
    tab.click(place["x"], place["y"])
    detail = text(tab, "#detail")
    assert detail.startswith("b") and "Waited fora" in detail and "Awaited byd" in detail
    assert text(tab, "#said").startswith("b. Took 200 ms")
    tab.mouse("mouseMoved", 5, 5)
    assert tab.evaluate("document.getElementById('tip').hidden")


def test_a_node_can_be_reached_by_keys_alone(opened: Opened) -> None:
    tab = opened(DIAMOND)
    tab.evaluate("document.getElementById('timeline').focus()")
    tab.press("Enter")
    assert text(tab, "#said").startswith("a. ")
    tab.press("Enter")
    assert not text(tab, "#said").startswith("a. ")
    tab.press("Escape")
    assert "Click a node" in text(tab, "#detail")


def test_search_finds_by_id_and_by_type(opened: Opened) -> None:
    nodes = [("load", "Reader"), ("clean", "Code"), ("load_more", "Reader")]
    run, events = scheduled(nodes, [], [0.1, 0.2, 0.3])
    tab = opened(Trace(threads(1), [run], events))
    tab.evaluate("document.body.focus()")
    tab.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"
    for wanted, count in (("load", 2), ("CODE", 1), ("nothing like it", 0)):
        tab.evaluate(
            f"(s => {{ s.value = {wanted!r}; s.dispatchEvent(new Event('input')); }})(document.getElementById('search'))"
        )
        assert text(tab, "#found") == f"{count} found"
    tab.evaluate("(s => { s.value = 'more'; s.dispatchEvent(new Event('input')); })(document.getElementById('search'))")
    tab.press("Enter")
    assert text(tab, "#detail").startswith("load_more")
    assert text(tab, "#found") == "1 of 1"


def test_rows_are_threads_nodes_or_runs(opened: Opened) -> None:
    runs, events = [], []
    for k in range(8):
        run, own = scheduled([("x", "T"), ("y", "T")], [(0, 1)], [0.1, 0.2 + k], 2, began=10.0 * k, run=k)
        runs.append(run)
        events += own
    tab = opened(Trace(threads(2), runs, events))
    heights = {}
    for mode in ("thread", "node", "run"):
        press_button(tab, f"[data-mode={mode}]")
        assert text(tab, "[aria-pressed=true][data-mode]").lower() == mode + "s"
        assert pixels(tab, "critical")["count"] > 20
        heights[mode] = tab.evaluate("document.getElementById('timeline').getBoundingClientRect().height")
    assert heights["run"] > heights["node"]
    tab.evaluate("(s => { s.value = '2'; s.dispatchEvent(new Event('change')); })(document.getElementById('run'))")
    tab.settle()
    assert view(tab)[0] == pytest.approx(20.0, abs=0.1)
    assert "2.3 s" in text(tab, "#figures")


def test_what_is_drawn_can_be_chosen(opened: Opened) -> None:
    tab = opened(DIAMOND)
    for what, colour in (("slack", "slack"), ("queue", "queue"), ("lock", "lock")):
        assert pixels(tab, colour)["count"] > 20
        press_button(tab, f"[data-shows={what}]")
        assert pixels(tab, colour)["count"] == 0, what
    press_button(tab, "[data-shows=critical]")
    assert pixels(tab, "critical")["count"] < 400  # the rows' names and a failed node's colour stay


def test_it_follows_the_system_s_colours_and_can_be_switched(opened: Opened) -> None:
    tab = opened(DIAMOND)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.prefer("dark")
    dark = tab.evaluate(ground)
    assert light != dark
    assert pixels(tab, "critical")["count"] > 20
    press_button(tab, "#theme")
    assert tab.evaluate(ground) == light


def test_hostile_names_are_inert(opened: Opened) -> None:
    run = RunTrace(HOSTILE, HOSTILE, 0, 2, "failed", [(HOSTILE, HOSTILE), ("b", HOSTILE)], [(0, 1)], note=HOSTILE)
    events = [NodeEvent(0, 0, 0, 0, 0, 1), NodeEvent(0, 1, 0, 1, 1, 2, 0.0, "failed", HOSTILE)]
    tab = opened(Trace([TracedThread(HOSTILE, 1)], [run], events))
    place = pixels(tab, "critical")
    tab.click(place["x"], place["y"])
    assert text(tab, "#detail strong") == HOSTILE
    assert text(tab, "#nodes td") == HOSTILE
    assert tab.evaluate("typeof window.hacked") == "undefined"
    assert tab.evaluate("document.querySelectorAll('img, iframe, object, #detail script').length") == 0


def test_the_policy_forbids_what_is_not_the_page_s_own(_tab: Tab, tmp_path: Path) -> None:
    _tab.open(DIAMOND.write(tmp_path / "run.html").as_uri())
    _tab.complaints.clear()
    _tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked = 3'}))"
    )
    _tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">')")
    assert _tab.evaluate("typeof window.hacked") == "undefined"
    _tab.settle()
    assert any("Content Security Policy" in each for each in _tab.complaints)
    _tab.complaints.clear()


def test_a_hundred_thousand_events(opened: Opened) -> None:
    count, width = 100_000, 8
    events = EventColumns(
        NodeEvent(k // 1000, k % 1000, k % width, k / 1e5, k / 1e5, (k + width * 0.9) / 1e5) for k in range(count)
    )
    nodes = tuple((f"node_{k}", "T") for k in range(1000))
    runs = [RunTrace("w", f"r{k}", k / 100, (k + 1) / 100, "completed", nodes, ()) for k in range(100)]
    tab = opened(Trace(threads(width), runs, events))
    assert "100,000" in text(tab, "#figures")
    assert pixels(tab, "node")["count"] > 10_000
    x, y = middle(tab)
    for _ in range(40):
        tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    from_, to = view(tab)
    assert to - from_ < 1e-4
    assert pixels(tab, "node")["count"] + pixels(tab, "critical")["count"] > 1000
    for mode in ("node", "run", "thread"):
        press_button(tab, f"[data-mode={mode}]")
    press_button(tab, "#fit")
    assert pixels(tab, "node")["count"] > 10_000


@pytest.mark.parametrize(
    "trace", [Trace(), Trace([], [RunTrace("w", "r", 0, 1, note="delegated")])], ids=["empty", "delegated"]
)
def test_a_trace_without_nodes(opened: Opened, trace: Trace) -> None:
    tab = opened(trace)
    assert "No node was executed" in text(tab, "#detail")
    x, y = middle(tab)
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    tab.press("Enter")


def test_a_narrow_window(opened: Opened) -> None:
    tab = opened(DIAMOND)
    tab.resize(420, 900)
    tab.settle()
    assert pixels(tab, "critical")["count"] > 20
    assert tab.evaluate("document.documentElement.scrollWidth") <= 420


def test_a_screenshot(opened: Opened) -> None:
    """What docs/traces.md shows; written there when NEXUS_SCREENSHOTS names the folder."""
    from .example import nightly

    tab = opened(nightly())
    tab.resize(1240, 1190)
    assert pixels(tab, "critical")["count"] > 1000
    picture = tab.screenshot()
    assert 20_000 < len(picture) < 300_000
    if folder := os.environ.get("NEXUS_SCREENSHOTS"):
        (Path(folder) / "trace.png").write_bytes(picture)
