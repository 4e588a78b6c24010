"""Grades and the report follow from the figures."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nexus_core import PerformanceBestPractices
from nexus_core.best_practices.grades import average_grade, grade_with_reason

_report = PerformanceBestPractices.generate_performance_report


def load(
    rate: float = 100.0, errors: float = 0.0, mean: float = 0.05, requests: int = 100, **more: Any
) -> dict[str, Any]:
    failed = round(requests * errors / 100)
    groups = [{"type": "ValueError", "count": failed, "example": "<b>no</b> | _x_"}] if failed else []
    return {
        "workflow_name": "w", "test_duration": requests / rate if rate else 1.0, "total_requests": requests,
        "error_count": failed, "error_rate": errors, "requests_per_second": rate, "avg_response_time": mean,
        "min_response_time": mean / 2, "max_response_time": mean * 3,
        "percentiles": {"p50": mean, "p90": mean * 1.5, "p95": mean * 2, "p99": mean * 2.5, "p999": mean * 3, "max": mean * 3},
        "errors": groups,
        "timeline": [{"start": 0.0, "seconds": 1.0, "succeeded": 50, "failed": 0}, {"start": 1.0, "seconds": 1.0, "succeeded": 50, "failed": 0}],
        **more,
    }  # fmt: skip


def suite(light: Any = None, medium: Any = None, heavy: Any = None) -> dict[str, Any]:
    loads = (light or load(), medium or load(), heavy or load())
    grade, reason = grade_with_reason(*loads)
    return {
        "light_load": loads[0], "medium_load": loads[1], "heavy_load": loads[2],
        "performance_grade": grade, "grade_reason": reason,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("light", "medium", "heavy", "grade"),
    [
        (load(), load(), load(), "A"),
        (load(), load(), load(errors=0.9, mean=0.99, rate=10.1), "A"),
        (load(), load(), load(errors=1.0), "B"),
        (load(), load(), load(mean=1.0), "B"),
        (load(), load(), load(rate=10.0), "B"),
        (load(), load(errors=2.0), load(mean=1.0), "C"),
        (load(), load(mean=2.0), load(mean=1.0), "C"),
        (load(), load(rate=5.0), load(mean=1.0), "C"),
        (load(errors=5.0), load(rate=5.0), load(mean=1.0), "D"),
        (load(mean=5.0), load(rate=5.0), load(mean=1.0), "D"),
        (load(requests=0), load(requests=0), load(requests=0), "D"),
    ],
)
def test_grades_are_by_the_guides_limits(light: Any, medium: Any, heavy: Any, grade: str) -> None:
    found, reason = grade_with_reason(light, medium, heavy)
    assert found == grade
    assert "load" in reason


@pytest.mark.parametrize(
    ("grades", "average"),
    [([], None), ([None], None), (["A"], "A"), (["A", "D"], "C"), (["A", "A", "B"], "A"), (["A", None, "C"], "B")],
)
def test_the_average_grade(grades: list[str | None], average: str | None) -> None:
    assert average_grade(grades) == average


def test_the_summary_is_computed() -> None:
    bad = suite(load(errors=50.0), load(mean=6.0), load(rate=50.0))
    report = _report({"good": suite(), "bad": bad}, ["cache"])
    summary = report["executive_summary"]
    assert summary["total_workflows_tested"] == 2
    assert (suite()["performance_grade"], bad["performance_grade"]) == ("A", "A")
    assert summary["optimization_opportunities"] == 1
    assert summary["critical_issues"] == 3
    assert summary["critical_issue_details"] == [
        "bad, light load: 50.0 % of requests failed, most of them ValueError: <b>no</b> | _x_",
        "bad, medium load: a reply took 6.00 s on average",
        "bad: 50.0 requests/s under heavy load, after 100.0 under medium load: more load makes it do less",
    ]
    assert [step for step in report["next_steps"] if step.startswith("Mend: ")] == [
        f"Mend: {issue}" for issue in summary["critical_issue_details"]
    ]


def test_a_generator_that_fell_behind_is_a_next_step() -> None:
    behind = load(generator={"fell_behind": True, "why": "busy"})
    report = _report({"w": suite(heavy=behind)}, [])
    assert "Test w again with another generator (heavy load): busy" in report["next_steps"]


def test_a_single_load_test_is_reported_too() -> None:
    report = _report({"w": load(load="10 users")}, [])
    assert report["executive_summary"]["average_performance_grade"] is None
    assert "10 users" in report.to_markdown()


class _Page(HTMLParser):
    """Notes what a page loads from elsewhere, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.opened: list[str] = []
        self.outside: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [(tag, name) for name, _ in attrs if name in ("src", "href")]
        if tag not in ("meta", "line", "br"):
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


def test_the_page_is_whole_needs_no_network_and_escapes_what_others_wrote() -> None:
    name = "<script>alert('x')</script>"
    html = _report({name: suite(load(errors=50.0))}, ["<img src=x onerror=alert(1)>"]).to_html()
    page = _Page()
    page.feed(html)
    page.close()
    assert page.opened == []
    assert page.outside == []
    assert not {"script", "img", "b", "link"} & set(page.tags)
    assert page.tags.count("svg") == 2
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in html


def test_where_nothing_succeeded_there_are_no_times() -> None:
    failing = load(rate=0.0, errors=100.0, mean=0.0)
    report = _report({"w": suite(failing, failing, failing)}, [])
    assert "| light load | 0.0 | 100.00 % | – | – | – | – | – |" in report.to_markdown()
    assert "ms</td>" not in report.to_html()


def test_a_last_interval_that_is_too_short_for_a_rate_is_not_drawn() -> None:
    whole = {"start": 0.0, "seconds": 1.0, "succeeded": 50, "failed": 0}
    rest = {"start": 2.0, "seconds": 0.01, "succeeded": 20, "failed": 0}
    timed = load(timeline=[whole, {**whole, "start": 1.0}, rest])
    html = _report({"w": suite(timed, timed, timed)}, []).to_html()
    assert "50 /s" in html
    assert "2e+03 /s" not in html


def test_markdown_has_a_row_for_each_load_and_escapes() -> None:
    text = _report({"w|x": suite(load(errors=50.0))}, ["use `cache`"]).to_markdown()
    assert text.count("| 100.0 |") == 3
    assert "## w\\|x: A" in text
    assert "\\<b\\>no\\</b\\> \\| \\_x\\_" in text
    assert "- use \\`cache\\`" in text


def test_it_is_saved_as_its_ending_says(tmp_path: Path) -> None:
    report = _report({"w": suite()}, [])
    assert report.save(tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert report.save(str(tmp_path / "r.md")).read_text(encoding="utf-8").startswith("# Performance report")
    assert json.loads(report.save(tmp_path / "r.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    with pytest.raises(ValueError, match=r"saved as \.html, \.md or \.json, got .*r\.pdf"):
        report.save(tmp_path / "r.pdf")


@pytest.mark.parametrize(
    ("results", "recommendations", "said"),
    [
        ([], [], "test_results must be what run_benchmark_suite returns"),
        ({"w": 3}, [], r"test_results\['w'\] has no load test in it"),
        ({"w": {}}, [], r"test_results\['w'\] has no load test in it"),
        (
            {"w": {"total_requests": 5}},
            [],
            r"test_results\['w'\], load, is not what run_load_test returns: .*'error_rate'",
        ),
        ({"w": {"light_load": {}}}, [], r"test_results\['w'\], light_load, is not .* no number under 'total_requests'"),
        ({"w": load(avg_response_time="0.1")}, [], r"no number under 'avg_response_time'"),
        ({}, "cache", "recommendations must be a list, got 'cache'"),
        ({}, None, "recommendations must be a list, got None"),
    ],
)
def test_what_is_no_result(results: Any, recommendations: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        _report(results, recommendations)
