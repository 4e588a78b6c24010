"""``nexus-core trace``: a trace file in the terminal and as a page."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from nexus_core.commands import main, waiting
from nexus_core.tracing import Trace

from .support import made, scheduled, threads

DIAMOND = [(0, 1), (0, 2), (1, 3), (2, 3)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(made(DIAMOND, [0.1, 0.2, 0.5, 0.1], 2).write(tmp_path / "run.json.gz"))


@pytest.fixture
def several(tmp_path: Path) -> str:
    runs, events = [], []
    for k in range(3):
        run, own = scheduled([("x", "T")], [], [0.1 if k != 1 else 0.4], began=1.0 * k, run=k)
        runs.append(run)
        events += own
    return str(Trace(threads(1), runs, events).write(tmp_path / "several.json"))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["trace", *arguments]) == 0
    return capsys.readouterr().out


def test_chart_and_analysis(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, file, "--width", "70")
    assert "a │" in text and "critical path 700 ms: a → c → d" in text
    assert max(map(len, text.split("\n\n")[0].splitlines())) <= 70


def test_the_chart_alone(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, file, "--gantt", "--by", "thread")
    assert text.startswith("thread-0 │") and "critical path" not in text


def test_the_analysis_alone_with_questions(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, file, "--analyze", "--threads", "1", "3", "--faster", "c=5", "d")
    assert "│" not in text
    for answer in (
        "with 1 thread 900 ms",
        "with 3 threads 700 ms",
        "`c` 5 times as fast 400 ms",
        "`d` twice as fast 650 ms",
    ):
        assert answer in text


def test_the_analysis_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, file, "--json", "--threads", "1"))
    assert found["runs"][0]["critical_path"] == ["a", "c", "d"]
    assert found["runs"][0]["bound"] == "critical path"
    assert found["runs"][0]["what_if"][0]["makespan"] == pytest.approx(0.9)


def test_a_page(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "run.html"
    assert main(["trace", file, "--html", str(page)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {page}\n")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_of_several_runs_the_longest_is_drawn_or_the_one_that_is_asked_for(
    several: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, several, "--gantt").startswith("Run 2 of 3, the longest:\nx │")
    text = shown(capsys, several, "--gantt", "--run", "3")
    assert text.startswith("Run 3 of 3:\nx │") and "100 ms" in text


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["missing.json"], 1, "missing.json: No such file or directory"),
        (["{file}", "--run", "2"], 2, "--run must be from 1 to 1, not 2"),
        (["{file}", "--faster", "z"], 2, "no run of the trace has a node 'z'"),
        (["{file}", "--faster", "a=0"], 2, "the factor must be above 0"),
        (["{file}", "--html", "page.txt"], 2, "name it .html, not 'page.txt'"),
        (["{file}", "--html", "missing/page.html"], 1, "No such file or directory"),
        (["{file}", "--width", "5"], 2, "width must be at least 32"),
        (["{broken}"], 2, "is not a trace"),
    ],
)
def test_what_cannot_be_shown(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    given = [each.format(file=file, broken=broken) for each in arguments]
    assert main(["trace", *given]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("nexus-core: ") and words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("option", "value", "words"), [("--threads", "0", "at least 1"), ("--faster", "a=b", "NODE=FACTOR")]
)
def test_what_makes_no_sense(
    file: str, capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trace", file, option, value])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error(file: str) -> None:
    command = f"{sys.executable} -m nexus_core trace {file} | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_these_characters(file: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nexus_core", "trace", file],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "critical path 700 ms" in done.stdout


class _Terminal(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if "reading" in text:
            self.told.set()
        return super().write(text)


def test_in_a_terminal_it_says_what_takes_so_long_and_wipes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(waiting, "_PATIENCE", 0.0)
    with waiting.waiting("reading run.json"):
        assert terminal.told.wait(60)
    assert terminal.getvalue().startswith("\r\x1b[2Kreading run.json … 0 s")
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_elsewhere_it_says_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE", 0.0)
    with waiting.waiting("reading run.json"):
        pass
    assert capsys.readouterr().err == ""


ESCAPES = "\x1b]0;title\x07\x9b2J"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("began",), None), (("began",), 1e308), (("began",), float("nan")), (("dropped",), [1]), (("dropped",), -1),
        (("process_id",), "x"), (("threads", 0), [1, 2]), (("threads", 0, 0), [1]), (("threads", 0, 1), 0.5),
        (("workflows", 0, "name"), None), (("workflows", 0, "name"), []), (("workflows", 0, "nodes", 0), [1, 2]),
        (("workflows", 0, "nodes", 0, 0), []), (("workflows", 0, "nodes", 0, 1), {}),
        (("workflows", 0, "edges", 0, 0), []), (("workflows", 0, "edges", 0, 0), 99), (("workflows", 0, "edges", 0), [0]),
        (("runs", 0, 0), -1), (("runs", 0, 2), float("inf")), (("runs", 0, 2), 1e9), (("runs", 0, 4), []),
        (("runs", 0, 5), -1), (("runs", 0, 5), [1]), (("event", "ts"), float("nan")), (("event", "dur"), -5.0),
        (("event", "dur"), float("inf")), (("event", "args", "error"), 5), (("event", "args", "run"), 2**40),
    ],
)  # fmt: skip
def test_a_file_with_anything_in_it_is_refused(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: tuple[str | int, ...], value: object
) -> None:
    whole = json.loads(gzip.decompress(Path(file).read_bytes()))
    event = next(each for each in whole["traceEvents"] if each.get("cat") == "node")
    place: Any = {"event": event} if path[0] == "event" else whole["otherData"]["nexus_core"]
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(whole), encoding="utf-8")
    for arguments in ([], ["--html", str(tmp_path / "page.html")]):
        assert main(["trace", str(broken), *arguments]) == 2
        out, err = capsys.readouterr()
        assert (out, "is not a trace that nexus-core has written" in err) == ("", True), err


def test_no_text_of_a_file_gives_orders_to_the_terminal(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = json.loads(gzip.decompress(Path(file).read_bytes()))
    about = whole["otherData"]["nexus_core"]
    about["workflows"][0]["name"] = about["workflows"][0]["nodes"][0][0] = about["threads"][0][0] = ESCAPES
    about["runs"][0][1] = about["runs"][0][4] = about["runs"][0][5] = ESCAPES
    for event in whole["traceEvents"]:
        if event.get("cat") == "node":
            event["args"].update(status="failed", error=ESCAPES)
    hostile = tmp_path / "hostile.json"
    hostile.write_text(json.dumps(whole), encoding="utf-8")
    for arguments in ([], ["--gantt", "--by", "thread"]):
        assert main(["trace", str(hostile), *arguments]) == 0
        shown = capsys.readouterr().out
        assert not {"\x1b", "\x07", "\x9b"} & set(shown) and "\\x1b]0;" in shown


@pytest.mark.parametrize("width", ["0", "31", "10001", "1000000000"])
def test_widths_that_no_terminal_has(file: str, capsys: pytest.CaptureFixture[str], width: str) -> None:
    assert main(["trace", file, "--width", width]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("nexus-core: width must be at ") and err.endswith(f"columns, not {width}\n")


def test_more_threads_than_a_machine_has(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["trace", file, "--threads", "9" * 30])
    assert refused.value.code == 2 and "whole number" in capsys.readouterr().err
    assert main(["trace", file, "--analyze", "--threads", "999999999999"]) == 2
    assert "999999999999" in capsys.readouterr().err


def test_what_is_asked_of_the_analysis_is_checked_too(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", file, "--analyze", "--run", "99"]) == 2
    assert "--run must be from 1" in capsys.readouterr().err
