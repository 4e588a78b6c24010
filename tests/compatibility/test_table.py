"""The table says nothing that is not there, and leaves out nothing that is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import table
from .table import OURS, ROOT, STOCK, Row

ARGUMENTS = [section for section in table.sections() if section.get("of") and not table.of_methods(section["of"])]
METHODS = [section for section in table.sections() if section.get("of") and table.of_methods(section["of"])]
NAMED_TESTS = sorted(
    {
        test
        for section in table.sections()
        for entry in (section, *section.get("row", ()), *section.get("difference", ()))
        for test in entry.get("tests", ())
    }
)


def title(section: dict[str, Any]) -> str:
    return f"{section['file']}: {section['title']}"


def names(section: dict[str, Any], *how: str) -> list[str]:
    return [name.partition("=")[0] for row in section["row"] if not how or row["how"] in how for name in row["names"]]


def test_the_page_is_what_the_table_says() -> None:
    writer = table.page_writer()
    assert writer.PAGE.read_text(encoding="utf-8") == writer.render(), "run: make docs-compatibility"


@pytest.mark.parametrize("section", ARGUMENTS, ids=title)
def test_every_argument_of_kailashs_is_listed_and_no_other(section: dict[str, Any]) -> None:
    expected = set().union(*(table.arguments_of(name) for name in section["of"]))
    assert set(names(section)) - set(names(section, "ours")) == expected


@pytest.mark.parametrize("section", ARGUMENTS, ids=title)
def test_no_argument_is_listed_twice_for_one_value(section: dict[str, Any]) -> None:
    listed = [name for row in section["row"] for name in row["names"]]
    assert sorted(listed) == sorted(set(listed))


def test_every_method_of_kailashs_local_runtime_is_listed_and_no_other() -> None:
    (section,) = [section for section in METHODS if section["of"] == ["LocalRuntime"]]
    ours = names(section, "ours")
    assert sorted(set(names(section)) - set(ours)) == sorted(table.public_names(STOCK["LocalRuntime"]))
    assert set(ours) == table.public_names(OURS["LocalRuntime"]) - table.public_names(STOCK["LocalRuntime"])


def test_every_method_that_kailashs_async_runtime_has_of_its_own_is_listed_and_no_other() -> None:
    (section,) = [section for section in METHODS if section["of"] == ["AsyncLocalRuntime"]]
    asynchronous, local = STOCK["AsyncLocalRuntime"], STOCK["LocalRuntime"]
    own = {
        name
        for name in table.public_names(asynchronous)
        if getattr(asynchronous, name) is not getattr(local, name, None)
    }
    assert set(names(section)) - set(names(section, "ours")) == own
    inherited = table.public_names(OURS["LocalRuntime"]) | table.public_names(asynchronous)
    assert set(names(section, "ours")) == table.public_names(OURS["AsyncLocalRuntime"]) - inherited


@pytest.mark.parametrize("row", [row for row in table.rows() if table.of_methods(row.of) and row.of], ids=str)
def test_a_method_is_kailashs_own_code_if_the_table_says_so(row: Row) -> None:
    ours = getattr(OURS[row.runtime], row.name)
    stock = getattr(STOCK[row.runtime], row.name, None)
    assert row.how in ("native", "as Kailash's", "ours")
    if row.how == "as Kailash's":
        assert ours is stock
    elif row.how == "ours":
        assert stock is None


@pytest.mark.parametrize("test", NAMED_TESTS)
def test_a_test_that_the_table_names_exists(test: str) -> None:
    file, _, function = test.partition("::")
    path = ROOT / "tests" / file
    found = table.functions_of(path)
    assert function in found if function else any(name.partition("::")[2] or name.startswith("test_") for name in found)


@pytest.mark.parametrize("section", [s for s in table.sections() if s["file"] != "upstream"], ids=title)
def test_every_row_says_something_and_names_a_test(section: dict[str, Any]) -> None:
    for row in section.get("row", ()):
        if "how" in row:
            assert row["how"] in ("native", "delegated", "as Kailash's", "ours"), row
            assert row["text"].strip() and row["names"], row
            assert row.get("tests") or section.get("tests"), row
            assert row["how"] != "ours" or row.get("tests"), row
        else:
            assert len(row["cells"]) == len(section["columns"]) and all(row["cells"]), row
    for difference in section.get("difference", ()):
        assert difference["text"].strip() and difference["tests"], difference


def test_links_of_the_page_lead_somewhere() -> None:
    page = table.page_writer().PAGE
    for target in re.findall(r"\]\((?!#|https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target


def test_an_explained_test_of_upstream_has_a_reason() -> None:
    explained = table.page_writer().ids_that_fail()
    assert explained
    for test, reason in explained.items():
        assert re.fullmatch(r"(packages/[\w-]+/)?tests/[\w/]+\.py(::\w+)+(\[.+\])?", test), test
        assert reason.strip(), test
