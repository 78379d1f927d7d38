"""Layers of the standard library as graphs, run by the evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from torch import nn

from archc.checker.program import Program, elaborate
from archc.checker.typed import Unit
from archc.diagnostics.model import Problems
from archc.diagnostics.render import terminal
from archc.resources import STDLIB, folder


def text(name: str) -> tuple[str, str]:
    """`norm` -> (where its file would be, what stands in it)."""
    return f"std/{name}.arch", (folder(STDLIB) / f"{name}.arch").read_text("utf-8")


def resolve(dotted: str, _: str) -> tuple[str, str] | None:
    head, _, name = dotted.partition(".")
    return text(name) if head == "std" else None


@cache
def unit(layer: str, static: tuple[tuple[str, object], ...] = ()) -> Unit:
    """`norm.LayerNorm` with static choices, which may name any layer or function of the standard library."""
    file, name = layer.split(".")
    problems = Problems()
    path, source = text(file)
    if file == "vision":
        source += "\nimport std.kan\n"
    program = Program.load(source, path, resolve, problems)
    made = elaborate(program, name, dict(static), problems) if program else None
    assert made is not None, "\n".join(terminal(p, program.sources if program else {path: source}) for p in problems.sorted())
    return made


def state(module: nn.Module) -> Mapping[str, object]:
    """Params and buffers as arrays, copied."""
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}
