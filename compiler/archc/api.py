"""The Python interface: check, compile and load `.arch` programs. With `sources`, the only place that touches files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archc import sources
from archc.check.program import Program, check_program, elaborate
from archc.check.typed import Unit
from archc.diagnostics.model import CompilerBug, Problems
from archc.diagnostics.public import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archc.ir.graph import Graph
    from archc.ir.module import Package

Static = "bool | int | float | str | list[int]"


def check(text: str, path: str = "<text>") -> list[Diagnostic]:
    """Everything that is wrong with a program given as text, in order of place; an empty list if nothing is.

    Imports are looked for below the folder of `path`, and in the standard library. Never raises for bad input.
    """
    problems = Problems()
    with guarded(path):
        program = sources.load_text(text, path, problems)
        _check(program, problems)
    return _public(problems, program, {path: text})


def check_file(source: str | Path) -> list[Diagnostic]:
    """Everything that is wrong with a file, or a module of the standard library such as `"std.norm"`."""
    problems = Problems()
    with guarded(str(source)):
        program = sources.load_file(source, problems)
        _check(program, problems)
    return _public(problems, program, {})


def _check(program: Program | None, problems: Problems) -> None:
    if program is not None and not problems.errors:
        check_program(program, problems)


def _public(problems: Problems, program: Program | None, texts: Mapping[str, str]) -> list[Diagnostic]:
    known = program.sources if program is not None else texts
    return [Diagnostic.of(problem, known) for problem in problems.sorted()]


def open_program(source: str | Path) -> Program:
    """A program without errors, from a file or the library. Raises UserError or Limit with all that is wrong."""
    problems = Problems()
    with guarded(str(source)):
        program = sources.load_file(source, problems)
        _check(program, problems)
    sources.raise_errors(problems, program)
    assert program is not None
    return program


def unit(program: Program, layer: str, static: Mapping[str, object] | None = None) -> Unit:
    """One layer with its static choices. Raises UserError for an unknown layer or choice, and for what is wrong with it then."""
    problems = Problems()
    with guarded(program.root.path):
        found = elaborate(program, layer, static or {}, problems)
    sources.raise_errors(problems, program)
    assert found is not None
    return found


def graph(
    source: str | Path, layer: str, *, method: str = "forward", mode: str = "train", static: Mapping[str, object] | None = None
) -> Graph:
    """A method of a layer as one graph, with its sub-layers inlined. `mode` is "train" or "eval"."""
    from archc.ir.lower import lower_graph

    found = unit(open_program(source), layer, static)
    with guarded(str(source)):
        return lower_graph(found, method, mode)


def package(program: Program, layers: Iterable[str], static: Mapping[str, object] | None = None) -> Package:
    """The modules of layers and of everything they are made of."""
    from archc.ir.lower import lower_package

    units = [unit(program, layer, static) for layer in layers]
    with guarded(program.root.path):
        return lower_package(units, program.root.path)


@contextmanager
def guarded(source: str) -> Iterator[None]:
    """Whatever goes wrong inside the compiler is a CompilerBug that says how to report it."""
    from archc.diagnostics.model import ArchError

    try:
        yield
    except (ArchError, CompilerBug, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        raise CompilerBug(f"{type(error).__name__}: {error} (while compiling {source})") from error
