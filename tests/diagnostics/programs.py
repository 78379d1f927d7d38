"""The programs of `tests/errors`, and what is said of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from archc import sources
from archc.checker.program import check_program, elaborate
from archc.diagnostics.model import ArchError, Problem, Problems
from archc.diagnostics.render import terminal
from archc.ir.lower import lower_graph
from archc.passes.gradient import gradient
from archc.passes.step import step

FOLDER = Path(__file__).parents[1] / "errors"
PROGRAMS = sorted(FOLDER.glob("*.arch"))


def problems_of(path: Path) -> tuple[list[Problem], dict[str, str]]:
    """What is wrong with a program, and the texts.

    A first line `#: layer Name key=value` asks for that layer, so set; `#: backward Name` for the derivative of its forward,
    `#: step Name` for its step.
    """
    text = path.read_text(encoding="utf-8")
    problems = Problems()
    program = sources.load_text(text, path.name, problems, home=path.parent)
    if program is None or problems.errors:
        return problems.sorted(), problems.texts
    check_program(program, problems)
    if text.startswith("#: "):
        verb, name, *settings = text.removeprefix("#: ").split("\n")[0].split()
        statics = {key: int(value) for key, _, value in (setting.partition("=") for setting in settings)}
        unit = elaborate(program, name, statics, problems)
        if verb in ("backward", "step") and unit is not None:
            with pytest.raises(ArchError) as raised:
                (gradient if verb == "backward" else step)(lower_graph(unit, "forward", "train"))
            problems.found += raised.value.problems
    return problems.sorted(), problems.texts


def said(problems: list[Problem], texts: dict[str, str]) -> str:
    """All messages, with paths below the folder of the programs."""
    return "\n\n".join(terminal(problem, texts) for problem in problems).replace(f"{FOLDER}/", "")
