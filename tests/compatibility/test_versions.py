"""The versions of Kailash that are tested are stated once; with another one runs go on, with one warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from nexus_core.runtime.known_digests import DIGESTS
from nexus_core.runtime.known_sources import current_digests
from nexus_core.versions import TESTED_RANGE, installed_versions, range_in_words, untested

from .table import ROOT

#: A Kailash that says that it is of another version.
PRELUDE = """
import importlib.metadata, sys, warnings
original = importlib.metadata.version
importlib.metadata.version = lambda name: "9.9.9" if name == "kailash" else original(name)
from kailash.workflow.builder import WorkflowBuilder
builder = WorkflowBuilder()
builder.add_node("PythonCodeNode", "n", {"code": "result = 1"})
workflow = builder.build()
"""


def run(code: str, home: Path) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        env={**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_versions_are_tested_ones() -> None:
    assert not untested(*TESTED_RANGE), installed_versions()


def test_the_extra_asks_for_the_tested_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["optional-dependencies"]["nexus"]:
        name, oldest, above = re.fullmatch(r"([\w-]+)>=([\d.]+),<([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        tested_from, tested_to = TESTED_RANGE[name]
        assert tested_from == f"{oldest}.0"
        major, minor, _ = (int(part) for part in tested_to.split("."))
        assert above == f"{major}.{minor + 1}"


def test_the_oldest_versions_have_a_lock_of_their_own() -> None:
    lock = (ROOT / "requirements" / "oldest.txt").read_text(encoding="utf-8")
    for name, (oldest, _) in TESTED_RANGE.items():
        assert re.search(rf"^{name}=={re.escape(oldest)} \\$", lock, re.M), name


def test_the_newest_versions_are_those_of_the_other_lock() -> None:
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    for name, (_, newest) in TESTED_RANGE.items():
        assert re.search(rf"^{name}=={re.escape(newest)} \\$", lock, re.M), name


def test_the_page_states_the_range() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert range_in_words() in " ".join(page.split())


def test_every_function_of_the_installed_kailash_is_known() -> None:
    found = current_digests()
    assert found.keys() == DIGESTS.keys()
    unknown = [name for name, digest in found.items() if digest not in DIGESTS[name]]
    assert not unknown, "run scripts/known_sources.py once the differential tests pass with this version"


@pytest.mark.parametrize("version", ["2.62.9", "2.65.1", "3.0", "2.66.0rc1", "2.63.0.dev1", "odd"])
def test_a_version_outside_the_range_is_untested(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_core.versions.version", lambda name: version)
    assert untested("kailash") == {"kailash": version}


@pytest.mark.parametrize("version", ["2.63.0", "2.63", "2.64.7", "2.65.0", "2.65.0.post1", "2.64.0+local"])
def test_a_version_inside_the_range_is_tested(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_core.versions.version", lambda name: version)
    assert untested("kailash") == {}


def test_another_version_that_does_the_same_runs_natively_with_one_warning(tmp_path: Path) -> None:
    said = run(
        """
        import asyncio
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
            line = sys._getframe().f_lineno + 1
            for _ in range(3):
                with LocalRuntime(strict=True) as runtime:
                    print(runtime.execute(workflow)[0])
                runtime = AsyncLocalRuntime(strict=True)
                print(asyncio.run(runtime.execute_workflow_async(workflow, {}))[0])
                runtime.close()
        ours = [each for each in caught if each.category.__name__ == "UntestedVersionWarning"]
        print(len(ours), ours[0].filename, str(ours[0].message))
        """,
        tmp_path,
    )
    *results, warning = said.splitlines()
    assert results == ["{'n': {'result': 1}}"] * 6
    assert warning.startswith(f"1 <string> nexus_core is tested with {range_in_words()}; here is kailash 9.9.9. ")


def test_a_tested_version_is_not_warned_of(tmp_path: Path) -> None:
    said = run(
        """
        importlib.metadata.version = original
        warnings.simplefilter("error")
        from nexus_core.runtime import LocalRuntime
        with LocalRuntime() as runtime:
            print(runtime.execute(workflow)[0])
        """,
        tmp_path,
    )
    assert said == "{'n': {'result': 1}}\n"


@pytest.mark.parametrize(
    ("owner", "name", "kinds"),
    [
        ("kailash.runtime.local:LocalRuntime", "_prepare_node_inputs", ["LocalRuntime"]),
        ("kailash.runtime.async_local:AsyncLocalRuntime", "_execute_workflow_internal", ["AsyncLocalRuntime"]),
        ("kailash.nodes.base:Node", "validate_outputs", ["LocalRuntime", "AsyncLocalRuntime"]),
    ],
)
def test_what_another_version_does_in_its_own_way_is_left_to_it(
    owner: str, name: str, kinds: list[str], tmp_path: Path
) -> None:
    module, _, cls = owner.partition(":")
    # The same behaviour in other words, in a file of its own, since its source is looked at.
    (tmp_path / "other_version.py").write_text(
        f"from {module} import {cls}\noriginal = {cls}.{name}\n\n"
        f"def {name}(self, *args, **kwargs):\n    return original(self, *args, **kwargs)\n\n{cls}.{name} = {name}\n"
    )
    said = run(
        f"""
        import asyncio
        sys.path.insert(0, {str(tmp_path)!r})
        import other_version
        warnings.simplefilter("ignore")
        from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
        for kind in (LocalRuntime, AsyncLocalRuntime):
            with kind() as runtime:
                print(kind.__name__, runtime.execute(workflow)[0], runtime.explain(workflow).reasons)
        """,
        tmp_path,
    )
    reason = f"this version of Kailash's {cls}.{name} is not known"
    for line, kind in zip(said.splitlines(), ("LocalRuntime", "AsyncLocalRuntime"), strict=True):
        assert line.startswith(f"{kind} {{'n': {{'result': 1}}}}")
        assert (reason in line) is (kind in kinds)


def test_another_version_without_what_the_engine_is_built_on_still_runs(tmp_path: Path) -> None:
    said = run(
        """
        import asyncio
        import kailash.runtime.async_local, kailash.runtime._time_limits
        del kailash.runtime._time_limits._TimeLimitClassifier
        warnings.simplefilter("ignore")
        from nexus_core.runtime import AsyncLocalRuntime, DelegationError, LocalRuntime
        for kind in (LocalRuntime, AsyncLocalRuntime):
            with kind() as runtime:
                print(runtime.execute(workflow)[0], runtime.explain(workflow).reasons, runtime.engine_statistics())
            with kind(strict=True) as runtime:
                try:
                    runtime.execute(workflow)
                except DelegationError as error:
                    print(error.reasons)
        async def events():
            async with AsyncLocalRuntime() as runtime:
                return [type(event).__name__ async for event in runtime.stream(workflow)]
        print(asyncio.run(events()))
        """,
        tmp_path,
    )
    reasons = "('this version of Kailash is not known',)"
    ran = f"{{'n': {{'result': 1}}}} {reasons} " + str(
        {"native_runs": 0, "delegated_runs": {"this version of Kailash is not known": 1}}
    )
    assert said.splitlines() == [ran, reasons, ran, reasons, "['RunStarted', 'RunFinished']"]


def test_an_argument_that_no_version_knows_is_refused_in_kailashs_words() -> None:
    from .table import OURS, STOCK

    texts = []
    for cls in (STOCK["LocalRuntime"], OURS["LocalRuntime"]):
        with pytest.raises(TypeError) as caught:
            cls(made_up=1)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
