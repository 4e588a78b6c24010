"""Runs Kailash's own tests with our runtimes in the place of Kailash's (`make compat`).

    KAILASH_SRC   a clone or mirror of terrene-foundation/kailash-py
    COMPAT_DIR    the folder of the harness, with run.sh and ids.txt
    IDS           the list of tests to run: a file of COMPAT_DIR, or a path (ids.txt)
    VENV          an environment with Kailash (made in WORK)
    WORK          where the clone, the environment and the results go (.cache/compat)
    JOBS          tests that run at a time (2)

Every test on the list has to pass, apart from those that docs/compatibility/upstream.toml explains.
Exits with 1 if another one fails, and with 2 if something that is needed is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import compatibility

SWAP = "nexus_core.runtime:LocalRuntime,nexus_core.runtime:AsyncLocalRuntime"
PACKAGE = compatibility.ROOT / "python"

#: Seconds between two looks at how far the tests are.
INTERVAL = 10.0


class MissingError(Exception):
    """Something that the run needs is not there; the text says what to do."""


def folder(name: str, what: str, *files: str) -> Path:
    """The folder that an environment variable names."""
    given = os.environ.get(name)
    if not given:
        raise MissingError(f"set {name} to {what}")
    path = Path(given).expanduser().resolve()
    if not path.is_dir():
        raise MissingError(f"{name} is {given!r}, which is no folder; it has to be {what}")
    for file in files:
        if not (path / file).is_file():
            raise MissingError(f"{name} is {given!r}, which has no {file}; it has to be {what}")
    return path


def list_of_tests(harness: Path) -> Path:
    """The file with the ids of the tests to run."""
    given = os.environ.get("IDS") or "ids.txt"
    for path in (harness / given, Path(given).resolve()):
        if path.is_file():
            return path
    raise MissingError(f"IDS is {given!r}, which is neither a file of COMPAT_DIR nor a path")


def environment(harness: Path, work: Path) -> Path:
    """An environment with the Kailash that the tests are for."""
    given = os.environ.get("VENV")
    venv = Path(given).resolve() if given else work / "venv"
    if not (venv / "bin" / "python").exists():
        # Of this interpreter: the extension is built for it.
        print(f"making {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([*pip, "--requirement", str(harness / "requirements.txt")], check=True)
        except BaseException:
            shutil.rmtree(venv)  # half an environment would pass for a whole one
            raise
    return venv


def package(work: Path) -> Path:
    """A copy of the package, so that an edit meanwhile does not change what is tested."""
    if not any((PACKAGE / "nexus_core").glob("_core.*.so")):
        raise MissingError("the extension is not built: run `make compat`, which builds it")
    copy = work / "package"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def run(harness: Path, source: Path, ids: Path, work: Path) -> Path:
    """Runs the tests and shows how far they are; returns the folder with the results."""
    count = sum(1 for line in ids.read_text(encoding="utf-8").splitlines() if line.strip())
    results = work / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    settings = {
        "KAILASH_SRC": str(source),
        "VENV": str(environment(harness, work)),
        "WORK": str(work),
        "OUT": str(results),
        "PYTHONPATH": str(package(work)),
    }
    print(f"running {count} tests of Kailash's in {work}", flush=True)
    process = subprocess.Popen(["bash", str(harness / "run.sh"), SWAP, str(ids)], env={**os.environ, **settings})
    try:
        shown, last = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - last >= INTERVAL:
                last = time.monotonic()
                ended = _lines(results / "results.jsonl")
                if ended != shown:
                    shown = ended
                    print(f"  {ended} of {count}", flush=True)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode or not (results / "not_passed.txt").is_file():
        logs = ", ".join(str(path) for path in sorted(results.glob("*.log"))) or "no log was written"
        raise MissingError(f"run.sh ended with status {process.returncode} and without a result: {logs}")
    return results


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def judge(results: Path, ids: Path) -> int:
    """Says which tests failed without an explanation; returns the exit status."""
    failed: dict[str, str] = {}
    for line in (results / "not_passed.txt").read_text(encoding="utf-8").splitlines():
        test, outcome, why = (*line.split("\t", 2), "", "")[:3]
        failed[test] = f"{outcome}: {why}" if why else outcome
    (results / "failing_ids.txt").write_text("".join(f"{test}\n" for test in failed), encoding="utf-8")
    explained = compatibility.ids_that_fail()
    for test in sorted(set(failed) & set(explained)):
        print(f"explained: {test}\n    {explained[test]}")
    wanted = set(ids.read_text(encoding="utf-8").split("\n"))
    for test in sorted((set(compatibility.exceptions()) & wanted) - set(failed)):
        print(f"passes, although docs/compatibility/upstream.toml explains why it would not: {test}")
    unexplained = sorted(set(failed) - set(explained))
    for test in unexplained:
        print(f"FAILED: {test}\n    {failed[test]}")
    print(f"{len(failed)} did not pass, {len(unexplained)} of them without an explanation; ids in {results}")
    return 1 if unexplained else 0


def main() -> int:
    """Runs and judges; returns the exit status."""
    try:
        source = folder("KAILASH_SRC", "a clone or mirror of terrene-foundation/kailash-py")
        harness = folder("COMPAT_DIR", "the folder of the harness", "run.sh", "ids.txt", "requirements.txt")
        ids = list_of_tests(harness)
        work = Path(os.environ.get("WORK") or compatibility.ROOT / ".cache" / "compat").resolve()
        work.mkdir(parents=True, exist_ok=True)
        results = run(harness, source, ids, work)
    except MissingError as missing:
        print(f"make compat: {missing}", file=sys.stderr)
        return 2
    return judge(results, ids)


if __name__ == "__main__":
    raise SystemExit(main())
