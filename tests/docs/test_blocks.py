"""Every block of `.arch` in the documentation is a program that checks, or meets the diagnostic that it announces.

A block announces one as "```arch error CODE". The first block on the page of a diagnostic comes with its message from
`tests/errors`, where it is checked beside the files that it imports; `docs/compiled.md` shows parts of the library.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archc.api import check
from archc.diagnostics.model import Problems
from archc.syntax.format import format_text

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
BLOCK = re.compile(r"^```(arch[^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str, str]]:
    found = []
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text())):
            if page.name != "compiled.md" and (page.parent.name != "errors" or number > 0):
                found.append((f"{page.relative_to(ROOT)}:{number + 1}", match[1], match[2]))
    return found


@pytest.mark.parametrize(("place", "head", "text"), blocks(), ids=[place for place, _, _ in blocks()])
def test_a_block_checks_or_meets_what_it_announces(place: str, head: str, text: str) -> None:
    words = head.split()[1:]
    expected = words[1:] if words[:1] == ["error"] else []
    found = check(text, str(ROOT / "docs" / "block.arch"))
    assert [d.code for d in found] == expected, "\n".join(map(str, found))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_what_parses_is_laid_out(page: Path) -> None:
    for match in BLOCK.finditer(page.read_text()):
        assert format_text(match[2], "block.arch", Problems()) in (match[2], None)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
