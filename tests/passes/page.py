"""Writes docs/passes.md from the passes, the pipelines and the rules: `python -m tests.passes.page`."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from archc.pipelines import MODES, PASSES, TARGETS
from archc.rules.read import rules

PATH = Path(__file__).parents[2] / "docs" / "passes.md"


def page() -> str:
    """The page: pipelines, passes with their modules' documentation, rules as they are written."""
    lines = ["# Passes and rules", "",
             "`archc ir FILE --for MODE --after PASS [--diff]` shows what a pass does to a layer. This page is written by",
             "`python -m tests.passes.page`.", "", "## Pipelines", ""]
    for name, passes in {**MODES, **{f"target {name}": passes for name, passes in TARGETS.items()}}.items():
        lines.append(f"- **{name}**: {', '.join(current.name for current in passes)}")
    lines += ["", "## Passes", ""]
    for current in PASSES.values():
        module = sys.modules[(inspect.unwrap(current.run)).__module__]
        sentence = current.sentence[0].upper() + current.sentence[1:]
        lines += [f"### {current.name}", "", f"{sentence}. Promise: {current.keeps.value}.", ""]
        if current.run.__name__ != "<lambda>":
            lines += ["```text", inspect.cleandoc(module.__doc__ or ""), "```", ""]
    lines += ["## Rules", "", "`exact` keeps every bit but the sign of a zero; `reassociates` is equal over the reals and may",
              "round otherwise; `on finite inputs` is used only where it is asked for.", "", "```text"]
    lines += [rule.text for rule in rules()]
    return "\n".join(lines) + "\n```\n"


if __name__ == "__main__":
    PATH.write_text(page())
