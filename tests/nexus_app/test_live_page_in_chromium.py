"""The live page in a real browser: it draws what the app does, in either light, and comes back after a restart."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_app import KEY, LiveApp
from servers.chromium import Tab, browser, executable

LIVE = "document.getElementById('state').textContent === 'live'"
# How many pixels of a chart have the colour of its first line.
DRAWN = """(() => {
  const canvas = document.querySelector('#chart-%s canvas'), style = getComputedStyle(document.documentElement);
  const probe = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height }).getContext('2d', { willReadFrequently: true });
  probe.fillStyle = style.getPropertyValue('--%s'); probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  probe.clearRect(0, 0, 1, 1); probe.drawImage(canvas, 0, 0);
  const { data } = probe.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let k = 0; k < data.length; k += 4) if (Math.abs(data[k] - r) + Math.abs(data[k + 1] - g) + Math.abs(data[k + 2] - b) < 40 && data[k + 3] > 200) count++;
  return count;
})()"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    program = executable()
    if program is None:
        pytest.skip("no Chromium is installed (on Debian and Ubuntu: apt-get install chromium)")
    with browser(program) as opened:
        yield opened


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    with LiveApp(tmp_path_factory.mktemp("busy"), "busy", "pools") as app:
        yield app


@pytest.fixture
def opened(tab: Tab, busy: LiveApp) -> Iterator[Tab]:
    tab.open("about:blank")  # the page before may still complain of an app that has gone
    tab.complaints.clear()
    tab.resize(1240, 1340)
    tab.prefer("light")
    tab.open(busy.url + "/nexus-core/")
    tab.wait_until(f"{LIVE} && document.querySelectorAll('#nodes tbody tr').length > 5")
    yield tab
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith((busy.url + "/nexus-core/", "data:"))] == []


def text(tab: Tab, selector: str) -> str:
    found: str = tab.evaluate(f"document.querySelector({selector!r}).textContent")
    return found


def test_it_draws_and_tells_in_either_light(opened: Tab) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        opened.prefer(scheme)
        opened.wait_until(f"{DRAWN % ('throughput', 'one')} > 20 && {DRAWN % ('memory', 'one')} > 20")
        grounds.append(opened.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]
    opened.evaluate("document.getElementById('theme').click()")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == grounds[0]
    opened.wait_until("/^[0-9.]+\\/s$/.test(document.getElementById('f-throughput').textContent)")
    assert text(opened, "h1").startswith("Order service <b>")
    assert "forecast" in text(opened, "#workflows") and "orders database" in text(opened, "#pools")
    assert opened.evaluate("document.getElementById('chart-cache').hidden")


def test_what_is_drawn_is_told_to_who_cannot_see_it(opened: Tab) -> None:
    labels = "[...document.querySelectorAll('canvas')].map(each => each.getAttribute('aria-label'))"
    opened.wait_until(f"{labels}.some(each => /Throughput now: runs [0-9.]+.s/.test(each))")
    assert opened.evaluate(
        "[...document.querySelectorAll('canvas')].every(each => each.getAttribute('role') === 'img')"
    )
    assert opened.evaluate("[...document.querySelectorAll('th')].every(each => each.scope === 'col')")
    assert opened.evaluate("document.documentElement.lang") == "en"
    assert opened.evaluate("document.getElementById('state').getAttribute('role')") == "status"


def test_hovering_tells_a_moment(opened: Tab) -> None:
    opened.wait_until(f"{DRAWN % ('latency', 'one')} > 20")
    x, y = opened.evaluate(
        "(r => [r.right - 12, r.top + r.height / 2])(document.querySelector('#chart-latency canvas').getBoundingClientRect())"
    )
    opened.mouse("mouseMoved", x, y)
    assert "p50" in text(opened, "#chart-latency .tip") and "p99" in text(opened, "#chart-latency .tip")
    opened.mouse("mouseMoved", 2, 2)
    assert opened.evaluate("document.querySelector('#chart-latency .tip').hidden")


def test_it_can_be_paused(opened: Tab) -> None:
    opened.evaluate("document.getElementById('pause').click()")
    assert opened.evaluate("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    opened.wait_until("document.getElementById('state').textContent !== 'live'")
    opened.evaluate("document.getElementById('pause').click()")
    opened.wait_until(LIVE)


def test_an_alert_appears_and_goes_and_is_no_markup(opened: Tab, busy: LiveApp) -> None:
    assert opened.evaluate("document.getElementById('alerts').hidden")
    busy.post("/alert", params={"severity": "critical", "message": "<img src=x onerror=alert(1)> errors"})
    opened.wait_until("!document.getElementById('alerts').hidden")
    assert "<img src=x" in text(opened, "#alerts span") and text(opened, "#alerts strong") == "critical"
    busy.post("/alert", params={"severity": "", "message": ""})
    opened.wait_until("document.getElementById('alerts').hidden")


def test_a_narrow_window(opened: Tab) -> None:
    opened.resize(420, 900)
    opened.wait_until(f"{DRAWN % ('throughput', 'one')} > 20")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 420


def test_it_comes_back_after_the_app_has_been_away(tab: Tab, tmp_path: Path) -> None:
    with LiveApp(tmp_path) as app:
        port = app.port
        tab.open(app.url + "/nexus-core/")
        tab.wait_until(LIVE)
        url = app.url
    tab.wait_until("document.getElementById('state').textContent.includes('no connection')")
    with LiveApp(tmp_path, port=port) as app:
        assert app.url == url
        tab.wait_until(LIVE)
        app.post("/detach")
        tab.wait_until("document.getElementById('state').textContent.includes('404')")
    tab.complaints.clear()


def test_behind_authentication(tab: Tab, tmp_path: Path) -> None:
    with LiveApp(tmp_path, key=True) as app:
        tab.call("Network.setExtraHTTPHeaders", headers={"X-API-Key": KEY})
        try:
            tab.open(app.url + "/nexus-core/")
            tab.wait_until(LIVE)
            tab.call("Network.setExtraHTTPHeaders", headers={})
            tab.wait_until("document.getElementById('state').textContent.includes('credentials')")
        finally:
            tab.call("Network.setExtraHTTPHeaders", headers={})
    tab.complaints.clear()


def test_a_screenshot(opened: Tab, busy: LiveApp) -> None:
    """What docs/command-line.md shows; written there when NEXUS_SCREENSHOTS names the folder."""
    folder = os.environ.get("NEXUS_SCREENSHOTS")
    if folder:
        for _ in range(150):  # a picture with something on it
            opened.evaluate("1")
            time.sleep(1)
    busy.post("/alert", params={"severity": "warning", "message": "error_rate is 2.4 %, above 2 % for 30 s"})
    opened.wait_until("!document.getElementById('alerts').hidden")
    picture = opened.screenshot()
    assert 20_000 < len(picture) < 300_000
    if folder:
        (Path(folder) / "live-page.png").write_bytes(picture)
