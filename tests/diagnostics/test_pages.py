"""Every diagnostic has a page; its example is a program of `tests/errors`, and what it says to use instead is checked.

`pytest --bless` rewrites what is made of a page. Its "Why" and "Use instead" are written by hand, in the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archc import api
from archc.diagnostics.codes import KINDS
from archc.diagnostics.pages import HEADINGS, index, page, sections
from tests.diagnostics.programs import FOLDER, problems_of, said

PAGES = Path(__file__).parents[2] / "docs" / "errors"


@pytest.mark.parametrize("code", sorted(KINDS))
def test_page(code: str, golden) -> None:  # type: ignore[no-untyped-def]
    path = PAGES / f"{code}.md"
    existing = path.read_text(encoding="utf-8") if path.exists() else ""
    stem = FOLDER / code.replace("-", "_")
    program = stem.with_suffix(".arch").read_text(encoding="utf-8") if stem.with_suffix(".arch").exists() else ""
    message = said(*problems_of(stem.with_suffix(".arch"))) if program else ""
    golden(path, page(KINDS[code], program, message, existing))
    found = sections(path.read_text(encoding="utf-8"))
    assert tuple(found) == HEADINGS
    assert found["Why"] and found["Use instead"], f"write the sections 'Why' and 'Use instead' of {path}"
    for good in re.findall(r"```arch\n(.*?)```", found["Use instead"], re.DOTALL):
        assert [str(diagnostic) for diagnostic in api.check(good, "good.arch")] == []


def test_the_list_of_pages(golden) -> None:  # type: ignore[no-untyped-def]
    golden(PAGES / "README.md", index(KINDS.values()))
    assert sorted(path.stem for path in PAGES.glob("*.md")) == sorted([*KINDS, "README"])
