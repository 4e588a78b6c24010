"""``nexus-core top``: what a running app does, from its live page or its metrics."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import math
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from live_app import KEY, LIMIT, LiveApp
from nexus_core.commands import main
from nexus_core.top.answers import as_view
from nexus_core.top.prometheus_text import parse, reading_of
from nexus_core.top.screen import TopApp
from nexus_core.top.snapshot import as_text
from nexus_core.top.source import AppSource, SourceError, checked_url

from .support import command, environment


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    with LiveApp(tmp_path_factory.mktemp("busy"), "busy", "pools") as app:
        yield app


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """Without the live page."""
    with LiveApp(tmp_path_factory.mktemp("plain"), "plain", "pools", "cache") as app:
        yield app


# --- the address and the answers -----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("https://example.org/app/", "https://example.org/app"),
        ("http://[::1]:80/metrics", "http://[::1]:80"),
        ("example.org/nexus-core/", "http://example.org"),
    ],
)
def test_addresses_as_people_type_them(given: str, expected: str) -> None:
    assert checked_url(given) == expected


@pytest.mark.parametrize(
    "given",
    ["", "ftp://x", "file:///etc/passwd", "http://", "localhost:99999", "a b", "x?y=1", "http://a..b", "http://[::1"],
)
def test_what_is_no_address_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="app"):
        checked_url(given)
    assert main(["top", "--once", "--", given]) == 2
    assert capsys.readouterr().err.startswith("nexus-core: ")


def test_credentials_in_an_address_are_refused_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "http://me:hunter2@localhost:1", "--once"]) == 2
    shown = capsys.readouterr().err
    assert "--token" in shown and "hunter2" not in shown


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_an_interval_that_is_none_is_refused(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["top", "localhost:1", f"--interval={interval}"])
    assert refused.value.code == 2
    assert interval in capsys.readouterr().err


def test_a_token_that_would_break_the_request_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "localhost:1", "--once", "--token", "a\r\nHost: x"]) == 2
    assert "token" in capsys.readouterr().err


def test_an_app_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "http://127.0.0.1:1", "--once"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_the_metrics_are_parsed_as_prometheus_parses_them(plain: LiveApp) -> None:
    plain.run("forecast", refuse=False)
    # Kailash tells of a type that the format does not have, which prometheus_client refuses.
    text = "\n".join(line for line in plain.get("/metrics").text.split("\n") if not line.startswith("# TYPE kailash"))
    theirs = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    ours = {(each.name, *sorted(each.labels.items())): each.value for each in parse(text)}
    assert len(ours) > 100
    assert ours == pytest.approx(theirs, nan_ok=True)


def test_labels_with_everything_in_them() -> None:
    text = 'a{x="1\\"}{,\\\\",y="n\\nn\u2028"} 2 1700000000\n# b 1\nc 3 # {trace="x"} 1\nd nonsense\ne{z="="} +Inf'
    assert [(each.name, each.labels, each.value) for each in parse(text)] == [
        ("a", {"x": '1"}{,\\', "y": "n\nn\u2028"}, 2.0),
        ("c", {}, 3.0),
        ("e", {"z": "="}, float("inf")),
    ]


def test_metrics_of_others_are_no_figures() -> None:
    assert reading_of("python_gc_objects_collected_total 1\n", 0) is None


def test_both_sources_tell_the_same(busy: LiveApp) -> None:
    page, metrics = AppSource(busy.url), AppSource(busy.url)
    assert page.path == "/nexus-core/data"
    metrics._live_page = lambda: None  # type: ignore[method-assign]
    page.view(), metrics.view()
    time.sleep(1.5)
    one, other = page.view(), metrics.view()
    assert metrics.path == "/metrics"
    assert set(one["samples"][-1]) == set(other["samples"][-1])
    assert [pool["name"] for pool in one["now"]["pools"]] == [pool["name"] for pool in other["now"]["pools"]]
    assert {row["node"] for row in one["now"]["nodes"]} == {row["node"] for row in other["now"]["nodes"]}
    assert other["now"]["places"] == one["now"]["places"] == 16
    runs = [sum(row["runs"] for row in view["now"]["workflows"]) for view in (one, other)]
    assert runs[0] > 0 and abs(runs[1] - runs[0]) < 2000


def test_counts_are_those_of_the_runs(plain: LiveApp) -> None:
    source = AppSource(plain.url)
    before = sum(row["runs"] for row in source.view()["now"]["workflows"])
    for _ in range(3):
        assert plain.run("thumbnail", refuse=False).ok
    view = source.view()
    assert sum(row["runs"] for row in view["now"]["workflows"]) - before == 3
    sample = view["samples"][-1]
    assert sample["throughput"] * sample["seconds"] == pytest.approx(3)
    assert view["now"]["cache"]["entries"] == 0


def test_an_app_of_an_older_version_tells_of_no_cached_runs() -> None:
    """The rows of ``GOOD`` are what it told before there was such a count."""
    view = as_view(GOOD)
    assert view is not None
    assert view["now"]["workflows"][0]["cached"] is view["now"]["cached"] is None
    assert "From cache" in as_text(view, "http://127.0.0.1")


def test_what_is_printed_once(busy: LiveApp, plain: LiveApp, capsys: pytest.CaptureFixture[str]) -> None:
    for app in (busy, plain):
        plain.run("orders", refuse=False)
        assert main(["top", app.url, "--once", "--interval", "0.5"]) == 0
        shown = capsys.readouterr().out
        for part in ("Throughput", "Latency p99", "Slowest nodes", "price", "orders database"):
            assert part in shown, part
    assert "Cache hits" in shown


def test_credentials_are_asked_for_and_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LiveApp(tmp_path, key=True) as app:
        for arguments in ([], ["--token", "wrong"], ["--api-key", "wrong"]):
            assert main(["top", app.url, "--once", *arguments]) == 1
            assert "credentials" in capsys.readouterr().err
        assert main(["top", app.url, *(["--token", "wrong"])]) == 1, "the view does not even begin"
        assert main(["top", app.url, "--once", "--api-key", KEY]) == 0
        done = command("top", app.url, "--once", home=tmp_path, NEXUS_CORE_API_KEY=KEY)
        assert (done.returncode, "Throughput" in done.stdout) == (0, True), done.stderr


def test_credentials_follow_no_redirect(tmp_path: Path) -> None:
    seen: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/stolen")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = AppSource(f"http://127.0.0.1:{server.server_address[1]}", {"Authorization": "Bearer secret"})
        with pytest.raises(SourceError, match="redirects"):
            source.view()
        server.shutdown()
    assert seen == ["/nexus-core/data?after=0"]


HOSTILE = "\x1b]0;title\x07 \x9b2J\nnext\udcff"
GOOD: dict[str, object] = {
    "app": HOSTILE, "version": "1", "runtime": HOSTILE, "number": 1, "restarted": False, "interval": 1,
    "samples": [{"at": 1.0, "seconds": 1.0, "throughput": math.inf, "cpu": math.nan, "p50": "1", "memory": 10**400}],
    "now": {
        "seconds": 1.0, "places": None, "runs": 5, "cache": {"entries": math.nan},
        "process": {"cpus": math.nan, "memory_limit": math.inf},
        "workflows": [dict.fromkeys(("runs", "failed", "delegated", "throughput", "error_rate", "p50", "p99"), math.nan)
                      | {"name": HOSTILE}],
        "nodes": [], "pools": [],
        "alerts": [{"severity": HOSTILE, "metric": "m", "message": HOSTILE, "timestamp": math.nan}],
    },
}  # fmt: skip


@contextlib.contextmanager
def answering(*parts: bytes, pause: float = 0.0, length: int | None = None) -> Iterator[str]:
    """Something that answers to everything the same, a part at a time."""
    over = threading.Event()

    class Anything(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(sum(map(len, parts)) if length is None else length))
            self.end_headers()
            with contextlib.suppress(OSError):
                for part in parts:
                    self.wfile.write(part)
                    self.wfile.flush()
                    if over.wait(pause):
                        break

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Anything) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"{", b"[" * 200_000, b'{"number": 1}', b'{"number": true, "now": {}}', b"null", bytes(range(256)),
        json.dumps(GOOD | {"number": "1"}).encode(), json.dumps(GOOD | {"samples": [1]}).encode(),
        json.dumps(GOOD | {"now": GOOD["now"] | {"nodes": [{}]}}).encode(),  # type: ignore[operator]
    ],
)  # fmt: skip
def test_answers_that_are_no_figures(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(answer) as url:
        assert main(["top", url, "--once", "--interval", "0.01"]) == 1
    assert "nothing of nexus-core is among the figures" in capsys.readouterr().err


def test_numbers_that_are_none_and_texts_that_are_orders(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(json.dumps(GOOD).encode()) as url:
        assert main(["top", url, "--once", "--interval", "0.01"]) == 0
        shown = capsys.readouterr().out

        async def look() -> str:
            app = TopApp(AppSource(url), 0.1)
            async with app.run_test(size=(160, 40)):
                return await until(app, "live", "Workflows", "title")

        screen = asyncio.run(look())
    assert "\\x1b]0;title\\x07 \\x9b2J\\nnext\\udcff" in shown and "5 runs so far" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown) and "nan" not in shown and "inf" not in shown
    assert "\x1b" not in screen


def test_metrics_with_values_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        'nexus_core_workflow_run_seconds_bucket{le="abc",workflow="w"} 3\n'
        'nexus_core_workflow_run_seconds_bucket{le="NaN",workflow="w"} 3\n'
        'nexus_core_workflow_runs_total{workflow="w\\n",outcome="completed"} NaN\n'
        "nexus_core_process_resident_memory_bytes +Inf\nnexus_core_process_cpus NaN\n"
    )
    with answering(text.encode()) as url:
        assert main(["top", url, "--once", "--interval", "0.01"]) == 0
    assert "w\\n" in capsys.readouterr().out


def test_an_answer_that_breaks_off_is_not_taken_for_somebody_else_s(busy: LiveApp) -> None:
    with answering(b'{"number"', length=1000) as url:
        source = AppSource(url)
        with pytest.raises(SourceError, match="breaks off") as refused:
            source.view()
        assert refused.value.passing and source.path == "/nexus-core/data"


def test_an_answer_without_an_end_is_not_waited_for() -> None:
    with answering(*[b"x"] * 1000, pause=0.05) as url:
        source = AppSource(url, timeout=0.5)
        with pytest.raises(SourceError, match="no whole answer within 1 s") as refused:
            source.view()
        assert refused.value.passing


def test_the_view_needs_a_terminal(busy: LiveApp, tmp_path: Path) -> None:
    done = command("top", busy.url, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and "--once" in done.stderr


def test_who_leaves_does_not_wait_for_the_app() -> None:
    """The app takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = (
            "import asyncio, sys\n"
            "from nexus_core.top.screen import TopApp\n"
            "from nexus_core.top.source import AppSource\n"
            "async def main():\n"
            "    app = TopApp(AppSource(sys.argv[1], timeout=3600), 0.1)\n"
            "    async with app.run_test() as pilot:\n"
            "        await asyncio.to_thread(sys.stdin.readline)\n"
            "        await pilot.press('q')\n"
            "asyncio.run(main())\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, f"http://127.0.0.1:{silent.getsockname()[1]}"],
            stdin=subprocess.PIPE, text=True, env=environment(Path.home()),
        ) as process:  # fmt: skip
            try:
                silent.settimeout(LIMIT)
                with silent.accept()[0]:
                    process.communicate("go\n", timeout=LIMIT)
            finally:
                process.kill()
    assert process.returncode == 0


def test_what_is_printed_once_is_of_now(plain: LiveApp, capsys: pytest.CaptureFixture[str]) -> None:
    with LiveApp(Path.home()) as app:
        AppSource(app.url).view()
        assert app.run("thumbnail", refuse=False).ok
        time.sleep(1.1)
        AppSource(app.url).view()  # somebody has looked since, and has seen the run
        time.sleep(1.1)
        assert main(["top", app.url, "--once", "--interval", "1.1"]) == 0
    shown = capsys.readouterr().out
    assert "1 runs so far" in shown and re.search(r"Throughput +0/s", shown), shown


def test_an_app_that_is_not_attached_is_told_what_to_do(tmp_path: Path) -> None:
    with LiveApp(tmp_path, "plain") as app:
        app.post("/detach")
        with pytest.raises(SourceError, match=r"nexus_core\.attach") as refused:
            AppSource(app.url).view()
    assert not refused.value.passing


def test_without_textual_it_says_what_to_install_and_prints_once(busy: LiveApp, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('textual', 'rich', 'prometheus_client'): raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'textual' else real(name, package)\n"
        "from nexus_core.commands import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, "top", busy.url, *arguments], env=environment(tmp_path),
            capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip

    refused = run()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nexus-core-rs[top]" in refused.stderr and "--once" in refused.stderr
    once = run("--once")
    assert (once.returncode, "Throughput" in once.stdout) == (0, True), once.stderr


# --- the view in the terminal --------------------------------------------------------------


def shown(app: TopApp) -> str:
    """What is on the screen."""
    return app.export_screenshot().replace("&#160;", " ")


async def until(app: TopApp, *parts: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        screen = shown(app)
        if all(part in screen for part in parts):
            return screen
        assert time.monotonic() < deadline, f"{parts} never appeared"
        await asyncio.sleep(0.1)


def test_the_view_shows_figures_tables_and_alerts(busy: LiveApp) -> None:
    async def look() -> None:
        app = TopApp(AppSource(busy.url), 0.2)
        async with app.run_test(size=(120, 46)) as pilot:
            await until(app, "live", "Throughput", "Slowest nodes", "north", "orders database", "forecast")
            await asyncio.to_thread(
                busy.post, "/alert", params={"severity": "critical", "message": "[b]too many errors"}
            )
            await until(app, "critical", "[b]too many errors")
            await asyncio.to_thread(busy.post, "/alert", params={"severity": "", "message": ""})
            await pilot.press("p")
            await until(app, "paused")
            await pilot.press("p")
            await until(app, "live")
            before = shown(app)
            await pilot.press("t")
            await pilot.pause()
            assert shown(app) != before
            await pilot.press("q")
        assert app.return_code == 0

    asyncio.run(look())


def test_the_view_comes_back_after_the_app_has_been_away(tmp_path: Path) -> None:
    async def look(stack: contextlib.ExitStack) -> None:
        served = stack.enter_context(LiveApp(tmp_path))
        app = TopApp(AppSource(served.url), 0.2)
        async with app.run_test(size=(160, 40)) as pilot:
            await until(app, "live")
            await asyncio.to_thread(stack.close)
            await until(app, "cannot be reached", "trying again")
            again = await asyncio.to_thread(stack.enter_context, LiveApp(tmp_path, port=served.port))
            await pilot.press("r")
            await until(app, "live")
            await asyncio.to_thread(again.run, "forecast", refuse=False)
            await until(app, "north")

    with contextlib.ExitStack() as stack:
        asyncio.run(look(stack))


def test_a_small_terminal(busy: LiveApp) -> None:
    async def look() -> None:
        app = TopApp(AppSource(busy.url), 0.2)
        async with app.run_test(size=(40, 12)):
            await until(app, "Throughput")

    asyncio.run(look())


def test_a_picture(busy: LiveApp) -> None:
    """What docs/command-line.md shows; written there when NEXUS_SCREENSHOTS names the folder."""
    folder = os.environ.get("NEXUS_SCREENSHOTS")

    async def look() -> str:
        app = TopApp(AppSource(busy.url), 0.5)
        async with app.run_test(size=(112, 42)) as pilot:
            await until(app, "live", "north")
            await asyncio.to_thread(
                busy.post, "/alert", params={"severity": "warning", "message": "error_rate is 2.4 %"}
            )
            await asyncio.sleep(60 if folder else 1)
            await until(app, "warning")
            await pilot.pause()
            return app.export_screenshot(title="nexus-core top http://localhost:8000")

    picture = asyncio.run(look()).replace(busy.url, "http://localhost:8000")
    assert picture.startswith("<svg") and 20_000 < len(picture) < 300_000
    if folder:
        (Path(folder) / "top.svg").write_text(picture, encoding="utf-8")
