"""Small programs checked and evaluated from text, for the tests of the language."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from archc.checker.program import Program, check_program, elaborate
from archc.checker.typed import Unit
from archc.diagnostics.codes import IMPORT_UNKNOWN
from archc.diagnostics.model import Kind, Problems
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.lower import lower_graph

STDLIB = Path(__file__).parents[2] / "stdlib"


def load(text: str) -> tuple[Program | None, Problems]:
    problems = Problems()

    def resolve(name: str, _importing: str) -> tuple[str, str] | Kind:
        path = STDLIB / (name.removeprefix("std.") + ".arch")
        return (str(path), path.read_text()) if path.exists() else IMPORT_UNKNOWN

    return Program.load(text, "test.arch", resolve, problems), problems


def codes(text: str) -> list[str]:
    """The codes of everything that is wrong with a program, in order of place."""
    program, problems = load(text)
    if program is not None:
        check_program(program, problems)
    return [problem.kind.code for problem in problems.sorted()]


def unit(text: str, name: str | None = None, **statics: object) -> Unit:
    program, problems = load(text)
    assert program is not None and not problems.errors, problems.found
    found = elaborate(program, name or program.layers[-1].name, statics, problems)
    assert found is not None, [(p.kind.code, p.facts) for p in problems.found]
    return found


def graph(text: str, mode: str = "train", **statics: object) -> Graph:
    return lower_graph(unit(text, **statics), "forward", mode)


def fn_layer(fn: str, signature: str, call: str, result: str) -> str:
    """A layer around a fn, so that it can be evaluated."""
    return f"{fn}\nlayer Whole() {{\n    forward({signature}) -> {result} {{ return {call} }}\n}}\n"


def run(text: str, inputs: dict[str, np.ndarray], numbers: dict[str, float] | None = None, mode: str = "train",
        **statics: object) -> np.ndarray:
    """The one result of the last layer of a program."""
    result = evaluate(graph(text, mode, **statics), inputs, numbers or {})
    (value,) = result.outputs.values()
    return value
