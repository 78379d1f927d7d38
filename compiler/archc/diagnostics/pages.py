"""The page of a diagnostic in `docs/errors`: what it is, why, an example, and what to use instead.

The first and the third section are made from the declaration and from the program in `tests/errors`; the other two are written by
hand in the page and kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from archc.diagnostics.model import Kind

HEADINGS = ("What", "Why", "Example", "Use instead")


def sections(page: str) -> dict[str, str]:
    """The text below each heading of a page."""
    found: dict[str, str] = {}
    for part in page.split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        found[heading.strip()] = text.strip()
    return found


def page(kind: Kind, program: str, said: str, existing: str) -> str:
    """The page as it should be. `program` and `said` are empty for a kind that no text of a program meets by itself."""
    kept = sections(existing)
    what = f"{kind.summary}. It is {'an error' if kind.severity == 'error' else 'a warning'}"
    what += ", and a limit of this version rather than a mistake." if kind.exit == "limit" else "."
    message = f"```text\n{said.strip() or f'{kind.severity}[{kind.code}]: {kind.title}'}\n```"
    example = f"```arch\n{program.strip()}\n```\n\n{message}" if program else message
    texts = (what, kept.get("Why", ""), example, kept.get("Use instead", ""))
    return f"# {kind.code}\n\n" + "\n\n".join(f"## {h}\n\n{t}".rstrip() for h, t in zip(HEADINGS, texts, strict=True)) + "\n"


def index(kinds: Iterable[Kind]) -> str:
    """The list of all diagnostics, in the order of their declaration."""
    rows = "\n".join(f"- [{kind.code}]({kind.code}.md): {kind.summary}" for kind in kinds)
    return f"# Diagnostics\n\nWhat archc says, by the name in brackets behind `error` or `warning`.\n\n{rows}\n"
