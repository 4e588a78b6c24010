"""Parts of pages are replaced, and the rest stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("kailash")
pytest.importorskip("distributed")
pytest.importorskip("psutil")

BENCHES = str(Path(__file__).resolve().parents[2] / "benches")


@pytest.fixture
def benches() -> Iterator[dict[str, ModuleType]]:
    """Modules of the benchmarks, which are scripts and no package."""
    before = set(sys.modules)
    sys.path.insert(0, BENCHES)
    try:
        import marked
        import merge
        import run
        import scaling_model
        import scaling_page
        import scaling_plot
        import session

        modules = (marked, merge, run, scaling_model, scaling_page, scaling_plot, session)
        yield {module.__name__: module for module in modules}
    finally:
        sys.path.remove(BENCHES)
        # Their names are common ones.
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and file.startswith(BENCHES):
                del sys.modules[name]


PAGE = "# Benchmarks\n\nintro\n\n## More than one process\n\nold\n\n## Machine and versions\n\n- 2 cores\n"
LONG = "1,000 nodes that compute 100 ms"
TURN = {"seconds": 2.0, "ratio": 1.5, "processors": 1e-5, "overhead": 2e-5, "slots": 1.0}


def _measured(benches: dict[str, Any]) -> Any:
    from service.figures import Cell  # a module of the benchmarks

    session = benches["session"].Session(1)
    session.figures.add(Cell("scaling", "compute_1ms", "local"), 0, TURN)
    return session


def test_a_section_is_replaced_where_it_is(benches: dict[str, Any]) -> None:
    page = benches["merge"].with_groups(PAGE, _measured(benches), ["scaling"], "run it")
    assert page.startswith("# Benchmarks\n\nintro\n\n## More than one process\n\nOf a run of its own on ")
    assert page.endswith("\n## Machine and versions\n\n- 2 cores\n")
    assert "(`run it`)" in page
    assert "| LocalRuntime, threads | 2.00 | 1.50 | 1 | 20 | 10 | – |" in page
    assert "\nold\n" not in page


def test_a_new_section_comes_before_the_last_ones(benches: dict[str, Any]) -> None:
    without = PAGE.replace("## More than one process\n\nold\n\n", "")
    merged = benches["merge"].with_groups(without, _measured(benches), ["scaling"], "run it")
    assert merged == benches["merge"].with_groups(PAGE, _measured(benches), ["scaling"], "run it")


def test_what_was_not_measured_stays(benches: dict[str, Any]) -> None:
    assert benches["merge"].with_groups(PAGE, benches["session"].Session(1), ["scaling"], "run it") == PAGE


@pytest.fixture
def docs(benches: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages that the benchmarks take for those of docs/."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "benchmarks.md").write_text(f"## Caches\n\nof docs\n\n### {LONG}\n\nold\n", encoding="utf-8")
    (folder / "scaling.md").write_text("a\n<!-- measured: runs -->\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(benches["run"], "ROOT", tmp_path)
    return folder


@pytest.mark.usefixtures("docs")
def test_a_merge_elsewhere_begins_with_copies_of_the_pages(benches: dict[str, Any], tmp_path: Path) -> None:
    run = benches["run"]
    options = run.arguments(["--only", "scaling", "--merge", "--quick", "--output", str(tmp_path / "new")])
    run.write_merged(options.output, _measured(benches), options)
    page = (tmp_path / "new" / "benchmarks.md").read_text(encoding="utf-8")
    assert "| LocalRuntime, threads | 2.00 | 1.50 | 1 | 20 | 10 | – |" in page
    assert page.startswith("## Caches\n\nof docs\n")
    assert "2.00 s, 1.50×" in (tmp_path / "new" / "scaling.md").read_text(encoding="utf-8")
    assert (tmp_path / "new" / "benchmarks-scaling.svg").exists()
    (tmp_path / "new" / "benchmarks.md").write_text(PAGE, encoding="utf-8")
    run.write_merged(options.output, _measured(benches), options)
    page = (tmp_path / "new" / "benchmarks.md").read_text(encoding="utf-8")
    assert "## Caches" not in page, "those that are there count"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--only", "cache", "--quick"], "leave out --quick and --without"),
        (["--only", "scaling", "--long", "--without", "stock"], "leave out --quick and --without"),
        (["--only", "scaling"], f"{LONG}, which --merge would lose: add --long"),
    ],
)
@pytest.mark.usefixtures("docs")
def test_a_merge_does_not_take_rows_from_the_docs(
    benches: dict[str, Any], capsys: pytest.CaptureFixture[str], given: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit):
        benches["run"].arguments(["--merge", *given])
    assert problem in capsys.readouterr().err
    benches["run"].arguments(["--merge", *given, "--output", "elsewhere"])


def test_marked_parts_are_replaced(benches: dict[str, Any]) -> None:
    page = "a\n<!-- measured: one -->\nold\n<!-- end -->\nb\n<!-- measured: two -->\n<!-- end -->\n"
    found = benches["marked"].with_parts(page, {"one": "new\nlines"})
    assert found == "a\n<!-- measured: one -->\nnew\nlines\n<!-- end -->\nb\n<!-- measured: two -->\n<!-- end -->\n"
    with pytest.raises(ValueError, match="measured: three"):
        benches["marked"].with_parts(page, {"three": "x"})


def test_the_model_takes_the_costs_that_it_is_given(benches: dict[str, Any]) -> None:
    from layered.costs import Costs  # a module of the benchmarks

    model, costs = benches["scaling_model"], Costs(0.002, 0.0005, 0.003, 0.001, 1e-6, 0.001, 0.02)
    found = model.foreseen(costs)
    words = "\n".join(benches["scaling_page"].costs_part(costs))
    assert "the scheduler 2.0 ms of a processor" in words
    table = "\n".join(benches["scaling_page"].model_part(costs, found))
    assert "about 500 tasks a second" in table
    assert "| 1 ms, a task a node |" in table
    # However many workers: no task begins before the scheduler has sent it.
    assert all(took >= 10_000 * 0.002 for (_, batches, _), took in found.items() if not batches)
    assert benches["scaling_plot"].svg(costs, found).startswith("<svg")
