"""The clients: an ordinary one that reads every reply, and wrk, which makes the load."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from service.processes import ProcessFailed, Unavailable

HOW_TO_INSTALL = "wrk is not installed: `apt-get install wrk` (Debian, Ubuntu), `brew install wrk` (macOS)"
BODY = '{"inputs": {}}'
REPLY_TIMEOUT = 60

# wrk prints tables for people; its script can print what a program reads. Times are in microseconds there.
SCRIPT = """
wrk.method = "POST"
wrk.body = 'BODY'
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency, requests)
    local errors = summary.errors
    io.stderr:write(string.format(
        '{"replies": %d, "seconds": %.6f, "p50": %.9f, "p99": %.9f, "errors": {"connect": %d, "read": %d, ' ..
        '"write": %d, "status": %d, "timeout": %d}}\\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout
    ))
end
""".replace("BODY", BODY)


def path(workflow: str) -> str:
    return f"/workflows/{workflow}/execute"


def check(port: int, workflow: str, expected: dict[str, Any], *, times: int) -> None:
    """Ask as an ordinary client does; a server that answers something else is not faster, it is wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REPLY_TIMEOUT)
    try:
        for _ in range(times):
            connection.request("POST", path(workflow), BODY, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200 or json.loads(body)["outputs"] != expected:
                raise ProcessFailed(f"{path(workflow)} answered {reply.status} {body[:300]!r}")
    finally:
        connection.close()


def wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise Unavailable(HOW_TO_INSTALL)
    return found


def load(folder: Path, port: int, workflow: str, *, connections: int, seconds: int) -> dict[str, float]:
    """Keep so many connections busy for so long; returns requests a second and seconds of latency."""
    script = folder / "post.lua"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [
        wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", f"{REPLY_TIMEOUT}s", "--script", str(script), f"http://127.0.0.1:{port}{path(workflow)}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + REPLY_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise ProcessFailed(f"wrk on {workflow}: no end after {seconds + REPLY_TIMEOUT} s") from None
    try:
        summary = json.loads(done.stderr.strip().splitlines()[-1])
    except (json.JSONDecodeError, IndexError):
        raise ProcessFailed(f"wrk on {workflow}: exit {done.returncode}: {done.stderr or done.stdout}") from None
    if any(summary["errors"].values()):
        raise ProcessFailed(f"wrk on {workflow}: not every request was answered with 200: {summary['errors']}")
    if not summary["replies"]:
        raise ProcessFailed(f"wrk on {workflow}: no reply in {seconds} s")
    return {
        "replies": summary["replies"],
        "requests": summary["replies"] / summary["seconds"],
        "p50": summary["p50"],
        "p99": summary["p99"],
    }
